// SPDX-License-Identifier: Apache-2.0
// What a data set needs after a loss: confirm accepts it as it is, restore puts a backup back.
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/registry/registry_fixture.h"

namespace leafgate::test {
namespace {

using registry::Fields;
using registry::Op;
using Kind = registry::Outcome::Kind;

const std::string kHeld(32, 'a');
const std::string kMeta = "leafgate:meta";

Fields fields_of(const Hash& hash) {
  return {hash.begin(), hash.end()};
}

registry::Change restore(const std::string& key, const Hash& hash) {
  return change(Op::kRestore, key, fields_of(hash));
}

const Hash kRecord = {
    {"state", "active"},         {"device", "dev1"},   {"spki", std::string(64, 'b')},
    {"not_after", "4102444800"}, {"version", "41"},    {"updated_at", "1700000000"},
    {"updated_by", "alice"},     {"note", "as it was"}};

TEST_CASE("confirm gives a data set without an id one, and says what it replaces",
          "[registry][confirm]") {
  Registry registry;

  REQUIRE(registry.dry.confirm(kHeld, "alice", "").ok());
  CHECK(registry.everything().empty());
  const auto outcome = registry.writer.confirm(kHeld, "alice", "disk lost");

  REQUIRE(outcome.ok());
  CHECK(outcome.value().seq == 1);
  const Hash meta = registry.hash(kMeta);
  CHECK(meta.at("id") == outcome.value().to);
  CHECK(meta.at("id").size() == 32);
  CHECK(meta == Hash{{"id", meta.at("id")},
                     {"format", "1"},
                     {"seq", "1"},
                     {"replaces", kHeld},
                     {"confirmed", "1"}});
  const Hash entry = registry.log().back();
  CHECK(entry.at("key") == kMeta);
  CHECK(entry.at("replaces") == kHeld);
  CHECK(entry.at("confirmed") == "1");
  CHECK(entry.at("note") == "disk lost");
}

TEST_CASE("every confirmation is a new one, keeps the id, and clears what it does not replace",
          "[registry][confirm]") {
  Registry registry;
  const auto id = registry.writer.init("cn", false, "alice");
  REQUIRE(id.ok());
  REQUIRE(registry.writer.confirm(kHeld, "alice", "").ok());

  const auto again = registry.writer.confirm("", "alice", "");

  REQUIRE(again.ok());
  CHECK(again.value().to == id.value());
  CHECK(registry.hash(kMeta) == Hash{{"id", id.value()},
                                     {"format", "1"},
                                     {"seq", "3"},
                                     {"device_id", "cn"},
                                     {"confirmed", "3"}});
}

TEST_CASE("a data set does not replace itself, and a confirmation changes no rule",
          "[registry][confirm]") {
  Registry registry;
  const auto id = registry.writer.init("cn", false, "alice");
  REQUIRE(id.ok());
  const auto before = registry.everything();

  CHECK_FALSE(registry.writer.confirm(id.value(), "alice", "").ok());
  CHECK_FALSE(registry.writer.confirm("not an id", "alice", "").ok());
  CHECK_FALSE(registry.writer.confirm(kHeld, "", "").ok());
  CHECK(registry.everything() == before);
}

TEST_CASE("restore writes a record exactly, with its indexes and its place in the count",
          "[registry][restore]") {
  Registry registry;
  const auto wanted = restore(cert_key('1'), kRecord);

  CHECK(registry.apply(registry.dry, wanted).kind == Kind::kApplied);
  CHECK(registry.everything().empty());
  const auto outcome = registry.apply(wanted);

  CHECK(outcome.kind == Kind::kApplied);
  CHECK(outcome.to == "active");
  CHECK(outcome.seq == 42);
  CHECK(registry.hash(cert_key('1')) == kRecord);
  CHECK(registry.sorted_set("leafgate:index:device").front() == "dev1/" + fingerprint('1'));
  CHECK(registry.sorted_set("leafgate:index:expiry").front() == fingerprint('1'));
  CHECK(registry.log().back().at("restored") == "yes");
  CHECK(registry.log().back().at("by") == "tester");
  CHECK(registry.apply(wanted).kind == Kind::kUnchanged);
  CHECK(registry.seq() == 42);
}

TEST_CASE("restore never alters what is there, a revocation least of all", "[registry][restore]") {
  Registry registry;
  Hash revoked = kRecord;
  revoked["state"] = "revoked";
  registry.hset(cert_key('1'), revoked);
  registry.hset("leafgate:block:device:dev1", {{"note", "stolen"}});
  const auto before = registry.everything();

  const auto outcome = registry.apply(restore(cert_key('1'), kRecord));
  CHECK(outcome.kind == Kind::kRefused);
  CHECK(outcome.from == "revoked");
  CHECK_THAT(outcome.message, ContainsSubstring("`state`"));
  CHECK(registry.apply(restore("leafgate:block:device:dev1", {{"before", "1"}})).kind ==
        Kind::kRefused);
  auto with_end = restore(cert_key('1'), revoked);
  with_end.ends_at_ms = 4102444800000;
  CHECK(registry.apply(with_end).kind == Kind::kRefused);
  CHECK(registry.everything() == before);
}

TEST_CASE("restore keeps what people wrote by hand, whatever it is", "[registry][restore]") {
  const Hash odd = {{"state", "no such state"},
                    {"comment", std::string(4096, 'x')},
                    {"\xff\n", std::string("\0\xfe\x1b[2J", 6)},
                    {"", ""}};
  Registry registry;

  const auto outcome = registry.apply(restore(cert_key('1'), odd));

  CHECK(outcome.kind == Kind::kApplied);
  CHECK(outcome.to == "malformed");
  CHECK(registry.hash(cert_key('1')) == odd);
  CHECK(registry.apply(restore("leafgate:block:issuer:0a", {{"before", "soon"}})).kind ==
        Kind::kApplied);
}

TEST_CASE("a time to live is restored while it lasts", "[registry][restore]") {
  Registry registry;
  auto wanted = restore(cert_key('1'), kRecord);
  wanted.ends_at_ms = 4102444800123;
  CHECK(registry.apply(wanted).kind == Kind::kApplied);
  CHECK(registry.call({"PEXPIRETIME", cert_key('1')}).integer() == 4102444800123);
  CHECK(registry.apply(wanted).kind == Kind::kUnchanged);

  auto over = restore(cert_key('2'), kRecord);
  over.ends_at_ms = 1;
  CHECK(registry.apply(over).kind == Kind::kUnchanged);
  CHECK(registry.hash(cert_key('2')).empty());
}

TEST_CASE("meta is restored into a registry without an id, and seq never goes back",
          "[registry][restore]") {
  const Hash meta = {{"id", kHeld}, {"format", "1"}, {"seq", "7"}, {"device_id", "cn"}};
  Registry registry;
  registry.hset(kMeta, {{"seq", "100"}});

  const auto outcome = registry.apply(restore(kMeta, meta));

  CHECK(outcome.kind == Kind::kApplied);
  CHECK(outcome.to == kHeld);
  const std::string restored = registry.hash(kMeta).at("restored");
  CHECK(restored.ends_with("-101"));
  CHECK(registry.hash(kMeta) == Hash{{"id", kHeld},
                                     {"format", "1"},
                                     {"seq", "101"},
                                     {"device_id", "cn"},
                                     {"restored", restored}});
  CHECK(registry.apply(restore(kMeta, meta)).kind == Kind::kUnchanged);
  Hash other = meta;
  other["id"] = std::string(32, 'b');
  CHECK(registry.apply(restore(kMeta, other)).kind == Kind::kRefused);
  CHECK(registry.seq() == 101);
}

TEST_CASE("a spoiled meta is not restored", "[registry][restore]") {
  const auto spoiled =
      GENERATE(as<Hash>(), Hash{{"format", "1"}}, Hash{{"id", "x"}, {"format", "1"}},
               Hash{{"id", kHeld}}, Hash{{"id", kHeld}, {"format", "2"}},
               Hash{{"id", kHeld}, {"format", "1"}, {"seq", "999999999999999"}},
               Hash{{"id", kHeld}, {"format", "1"}, {"device_id", "san_dns"}});
  Registry registry;
  registry.hset(kMeta, {{"device_id", "cn"}});
  const auto before = registry.everything();

  CHECK(registry.apply(restore(kMeta, spoiled)).kind == Kind::kRefused);
  CHECK(registry.everything() == before);
}

}  // namespace
}  // namespace leafgate::test
