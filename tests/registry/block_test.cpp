// SPDX-License-Identifier: Apache-2.0
// Blocks of devices and issuers, and meta: what transition.lua does beside certificates.
#include <optional>
#include <string>

#include "tests/catch.h"
#include "tests/registry/registry_fixture.h"

namespace leafgate::test {
namespace {

using registry::Fields;
using registry::Op;
using Kind = registry::Outcome::Kind;

const std::string kBlock = "leafgate:block:device:dev1";

Fields before(const std::string& time) {
  return time.empty() ? Fields{} : Fields{{"before", time}};
}

TEST_CASE("block writes who, when and why, and unblock removes it", "[registry][block]") {
  const auto key = GENERATE(as<std::string>(), "leafgate:block:device:dev1",
                            "leafgate:block:device:cert:dev 1é", "leafgate:block:issuer:0a1b2c",
                            "leafgate:block:issuer:name-" + std::string(64, 'f'));
  Registry registry;
  INFO(key);
  auto wanted = change(Op::kBlock, key, before("1700000000"));
  wanted.note = "stolen van";

  const auto planned = registry.apply(registry.dry, wanted);
  CHECK(registry.everything().empty());
  const auto outcome = registry.apply(wanted);

  CHECK(planned.kind == Kind::kApplied);
  CHECK(outcome.kind == Kind::kApplied);
  CHECK(outcome.from.empty());
  CHECK(outcome.to == "blocked");
  const Hash block = registry.hash(key);
  CHECK(block.at("before") == "1700000000");
  CHECK(block.at("note") == "stolen van");
  CHECK(block.at("updated_by") == "tester");
  CHECK(block.contains("updated_at"));
  CHECK(block.size() == 4);
  CHECK(registry.log().back().at("key") == key);
  CHECK(registry.log().back().at("before") == "1700000000");

  const auto unblocked = registry.apply(change(Op::kUnblock, key));
  CHECK(unblocked.kind == Kind::kApplied);
  CHECK(unblocked.from == "blocked");
  CHECK(unblocked.to.empty());
  CHECK(registry.hash(key).empty());
  CHECK(registry.log().size() == 2);
  CHECK(registry.apply(change(Op::kUnblock, key)).kind == Kind::kNotFound);
}

TEST_CASE("a block can be made stricter and never looser", "[registry][block]") {
  struct Case {
    std::string stands, wanted;
    Kind expected;
  };
  const auto c = GENERATE(values<Case>({
      {"", "", Kind::kUnchanged},
      {"", "1700000000", Kind::kRefused},
      {"1700000000", "", Kind::kApplied},
      {"1700000000", "1700000000", Kind::kUnchanged},
      {"1700000000", "1700000001", Kind::kApplied},
      {"1700000000", "1699999999", Kind::kRefused},
      {"1700000000", "999999999", Kind::kRefused},
      {"last week", "", Kind::kUnchanged},  // a date nobody can read blocks everything
      {"last week", "1700000000", Kind::kRefused},
  }));
  Registry registry;
  INFO("`" << c.stands << "` -> `" << c.wanted << "`");
  registry.hset(kBlock, {{"before", c.stands}, {"note", "by hand"}});

  const auto outcome = registry.apply(change(Op::kBlock, kBlock, before(c.wanted)));

  CHECK(outcome.kind == c.expected);
  const Hash block = registry.hash(kBlock);
  const bool applied = c.expected == Kind::kApplied;
  CHECK(block.contains("updated_by") == applied);
  const std::string stands = block.contains("before") ? block.at("before") : "";
  CHECK(stands == (applied ? c.wanted : c.stands));
}

TEST_CASE("blocking again makes a block with a time to live permanent", "[registry][block]") {
  Registry registry;
  registry.hset(kBlock, {{"before", "1700000000"}});
  registry.call({"EXPIRE", kBlock, "1000"});

  registry.apply(change(Op::kBlock, kBlock));

  CHECK(registry.call({"TTL", kBlock}).integer() == -1);
}

TEST_CASE("init gives the data set an id once, and guards its device-id rule", "[registry][init]") {
  Registry registry;
  const auto planned = registry.dry.init("cn", false, "tester");
  REQUIRE(planned.ok());
  CHECK(registry.everything().empty());

  const auto first = registry.writer.init("cn", false, "tester");
  REQUIRE(first.ok());
  CHECK(first.value().size() == 32);
  CHECK(first.value() != planned.value());
  CHECK(registry.hash("leafgate:meta") ==
        Hash{{"id", first.value()}, {"format", "1"}, {"device_id", "cn"}, {"seq", "1"}});
  CHECK(registry.log().back().at("device_id") == "cn");

  const auto again = registry.writer.init("cn", false, "tester");
  REQUIRE(again.ok());
  CHECK(again.value() == first.value());
  CHECK(registry.seq() == 1);

  const auto other = registry.writer.init("san_uri:urn:device:", false, "tester");
  REQUIRE_FALSE(other.ok());
  CHECK(other.error().kind == ErrorKind::kRefused);
  CHECK_THAT(other.error().message, ContainsSubstring("`cn`"));

  const auto changed = registry.writer.init("san_uri:urn:device:", true, "tester");
  REQUIRE(changed.ok());
  CHECK(changed.value() == first.value());
  CHECK(registry.hash("leafgate:meta").at("device_id") == "san_uri:urn:device:");
}

TEST_CASE("init after other transitions keeps their numbering", "[registry][init]") {
  Registry registry;
  registry.apply(change(Op::kImport, cert_key('1'), {{"state", "active"}}));

  REQUIRE(registry.writer.init("cn", false, "tester").ok());

  CHECK(registry.seq() == 2);
  CHECK(registry.hash("leafgate:meta").contains("id"));
}

TEST_CASE("nothing is written to a data set of another format", "[registry][init]") {
  Registry registry;
  registry.hset("leafgate:meta", {{"format", "2"}});
  const auto before_change = registry.everything();

  const auto outcome = registry.apply(change(Op::kImport, cert_key('1'), {{"state", "active"}}));

  CHECK(outcome.kind == Kind::kRefused);
  CHECK_THAT(outcome.message, ContainsSubstring("newer"));
  CHECK_FALSE(registry.writer.init("cn", true, "tester").ok());
  CHECK(registry.everything() == before_change);
}

}  // namespace
}  // namespace leafgate::test
