// SPDX-License-Identifier: Apache-2.0
#include "registry/writer.h"

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

#include "tests/catch.h"
#include "tests/registry/registry_fixture.h"

namespace leafgate::test {
namespace {

using registry::Change;
using registry::Client;
using registry::Op;
using registry::Outcome;
using registry::Schema;
using registry::Writer;
using Kind = registry::Outcome::Kind;

std::string numbered_key(std::size_t number) {
  std::string digits = std::to_string(number);
  return "leafgate:cert:" + std::string(64 - digits.size(), '0') + digits;
}

std::vector<Change> imports(std::size_t count) {
  std::vector<Change> changes;
  for (std::size_t i = 0; i < count; ++i) {
    changes.push_back(change(Op::kImport, numbered_key(i),
                             {{"state", "active"}, {"device", "dev" + std::to_string(i)}}));
  }
  return changes;
}

TEST_CASE("many changes are made in order, and again without effect", "[registry][writer]") {
  Registry registry;
  const std::size_t count = 2 * Writer::kPipelined + 7;
  const auto changes = imports(count);

  const auto outcomes = registry.writer.apply_all(changes);
  const auto again = registry.writer.apply_all(changes);

  REQUIRE(outcomes.ok());
  REQUIRE(outcomes.value().size() == count);
  for (std::size_t i = 0; i < count; ++i) {
    REQUIRE(outcomes.value()[i].kind == Kind::kApplied);
    REQUIRE(outcomes.value()[i].seq == i + 1);
  }
  REQUIRE(again.ok());
  CHECK(std::all_of(again.value().begin(), again.value().end(),
                    [](const Outcome& outcome) { return outcome.kind == Kind::kUnchanged; }));
  CHECK(registry.seq() == count);
}

TEST_CASE("each of many changes has its own outcome", "[registry][writer]") {
  Registry registry;
  registry.hset(cert_key('1'), {{"state", "active"}});
  registry.hset(cert_key('2'), {{"state", "retired"}});
  const std::vector<Change> changes = {change(Op::kActivate, cert_key('3')),
                                       change(Op::kActivate, cert_key('2')),
                                       change(Op::kDeactivate, cert_key('1'))};

  const auto outcomes = registry.writer.apply_all(changes);

  REQUIRE(outcomes.ok());
  REQUIRE(outcomes.value().size() == 3);
  CHECK(outcomes.value()[0].kind == Kind::kNotFound);
  CHECK(outcomes.value()[1].kind == Kind::kRefused);
  CHECK(outcomes.value()[2].kind == Kind::kApplied);
  CHECK(registry.writer.apply_all({}).value().empty());
}

TEST_CASE("a writer goes on when Redis has forgotten the script", "[registry][writer]") {
  Registry registry;
  registry.hset(cert_key('1'), {{"state", "active"}});
  REQUIRE(registry.apply(change(Op::kDeactivate, cert_key('1'))).kind == Kind::kApplied);

  registry.call({"SCRIPT", "FLUSH"});

  CHECK(registry.apply(change(Op::kActivate, cert_key('1'))).kind == Kind::kApplied);
  CHECK(registry.log().size() == 2);
}

TEST_CASE("of concurrent changes to one version exactly one is made", "[registry][writer]") {
  constexpr int kWriters = 6;
  constexpr int kRounds = 25;
  Registry registry;
  registry.apply(change(Op::kImport, cert_key('1'), {{"state", "active"}}));
  for (int round = 0; round < kRounds; ++round) {
    const Hash record = registry.hash(cert_key('1'));
    const Op op = record.at("state") == "active" ? Op::kDeactivate : Op::kActivate;
    std::vector<Kind> kinds(kWriters, Kind::kRefused);
    std::vector<std::thread> threads;
    for (int i = 0; i < kWriters; ++i) {
      threads.emplace_back([&, i] {
        Client client = shared_redis().client();
        Writer writer(client, Schema{});
        Change wanted = change(op, cert_key('1'));
        wanted.expected_version = std::stoull(record.at("version"));
        const auto outcome = writer.apply(wanted);
        if (outcome) kinds[static_cast<std::size_t>(i)] = outcome.value().kind;
      });
    }
    for (std::thread& thread : threads)
      thread.join();
    REQUIRE(std::count(kinds.begin(), kinds.end(), Kind::kApplied) == 1);
    REQUIRE(std::count(kinds.begin(), kinds.end(), Kind::kConflict) == kWriters - 1);
  }
  CHECK(registry.log().size() == kRounds + 1);
}

TEST_CASE("a Redis that may not be written is told apart from a refusal", "[registry][writer]") {
  Registry registry;
  registry.hset(cert_key('1'), {{"state", "active"}});
  registry.call({"CONFIG", "SET", "min-replicas-to-write", "1"});

  const auto outcome = registry.writer.apply(change(Op::kRevoke, cert_key('1')));

  registry.call({"CONFIG", "SET", "min-replicas-to-write", "0"});
  REQUIRE_FALSE(outcome.ok());
  CHECK(outcome.error().kind == ErrorKind::kUnreachable);
  CHECK_THAT(outcome.error().message, ContainsSubstring(cert_key('1')));
  CHECK(registry.hash(cert_key('1')) == Hash{{"state", "active"}});
}

TEST_CASE("an outage in the middle of many changes is an error", "[registry][writer]") {
  RedisServer server;
  Client client = server.client();
  Writer writer(client, Schema{});
  REQUIRE(writer.apply_all(imports(10)).ok());

  server.kill();
  const auto outcomes = writer.apply_all(imports(10));

  REQUIRE_FALSE(outcomes.ok());
  CHECK(outcomes.error().kind == ErrorKind::kUnreachable);
}

}  // namespace
}  // namespace leafgate::test
