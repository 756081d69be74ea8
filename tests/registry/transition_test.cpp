// SPDX-License-Identifier: Apache-2.0
// What may become what, written down a second time, by hand, and compared with transition.lua.
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/registry/registry_fixture.h"

namespace leafgate::test {
namespace {

using registry::Fields;
using registry::Op;
using registry::Outcome;
using Kind = registry::Outcome::Kind;

constexpr auto kKey = '1';
const std::string kFuture = "4102444800";  // 2100-01-01
const std::string kLater = "4133980800";   // 2101-01-01
const std::string kPast = "1000000000";    // 2001-09-09
const std::string kSpki = std::string(64, 'a');

std::int64_t unix_now() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// What people and programs may find in a record, and what brokers make of it.
struct Start {
  std::string name;
  std::optional<Hash> record;  // nullopt: none
  std::string state;           // as the script names it
};

const std::vector<Start>& starts() {
  static const std::vector<Start> all = {
      {"none", std::nullopt, ""},
      {"pending", Hash{{"state", "pending"}}, "pending"},
      {"active", Hash{{"state", "active"}}, "active"},
      {"inactive", Hash{{"state", "inactive"}}, "inactive"},
      {"retiring", Hash{{"state", "retiring"}, {"retire_at", kFuture}}, "retiring"},
      {"retired", Hash{{"state", "retired"}}, "retired"},
      {"revoked", Hash{{"state", "revoked"}, {"revoked_at", kPast}, {"reason", "superseded"}},
       "revoked"},
      {"unknown word", Hash{{"state", "Active"}}, "malformed"},
      {"no state", Hash{{"device", "dev1"}}, "malformed"},
      {"retiring without date", Hash{{"state", "retiring"}}, "malformed"},
  };
  return all;
}

struct Column {
  std::string name;
  Op op;
  Fields fields;
};

const std::vector<Column>& columns() {
  static const std::vector<Column> all = {
      {"import", Op::kImport, {{"state", "active"}}},
      {"activate", Op::kActivate, {}},
      {"deactivate", Op::kDeactivate, {}},
      {"retire later", Op::kRetire, {{"retire_at", kLater}}},
      {"retire", Op::kRetire, {}},
      {"revoke", Op::kRevoke, {}},
      {"delete", Op::kDelete, {}},
  };
  return all;
}

// Rows as starts(), columns as columns(): the state after it, `=` already so, `-` refused, `?` no
// record, `x` gone.
constexpr std::array<std::array<const char*, 7>, 10> kExpected{{
    // import   activate  deactivate  retire later  retire     revoke     delete
    {"active", "?", "?", "?", "?", "?", "?"},                            // none
    {"=", "active", "inactive", "-", "-", "revoked", "x"},               // pending
    {"=", "=", "inactive", "retiring", "retired", "revoked", "x"},       // active
    {"=", "active", "=", "-", "retired", "revoked", "x"},                // inactive
    {"=", "active", "inactive", "retiring", "retired", "revoked", "x"},  // retiring
    {"=", "-", "-", "-", "=", "revoked", "x"},                           // retired
    {"=", "-", "-", "-", "-", "=", "-"},                                 // revoked
    {"=", "-", "inactive", "-", "-", "revoked", "x"},                    // unknown word
    {"=", "-", "inactive", "-", "-", "revoked", "x"},                    // no state
    {"=", "-", "inactive", "-", "-", "revoked", "x"},                    // retiring without date
}};

Kind expected_kind(const std::string& cell) {
  if (cell == "=") return Kind::kUnchanged;
  if (cell == "-") return Kind::kRefused;
  if (cell == "?") return Kind::kNotFound;
  return Kind::kApplied;
}

void check_applied(Registry& registry, const Start& start, const Outcome& outcome,
                   std::uint64_t seq_before, std::size_t log_before) {
  CHECK(outcome.seq == seq_before + 1);
  CHECK(registry.seq() == outcome.seq);
  const auto log = registry.log();
  REQUIRE(log.size() == log_before + 1);
  CHECK(log.back().at("from") == start.state);
  CHECK(log.back().at("to") == outcome.to);
  CHECK(log.back().at("key") == cert_key(kKey));
  CHECK(log.back().at("by") == "tester");
  CHECK(log.back().at("seq") == std::to_string(outcome.seq));
  const Hash record = registry.hash(cert_key(kKey));
  if (outcome.to.empty()) {
    CHECK(record.empty());
    return;
  }
  CHECK(record.at("state") == outcome.to);
  CHECK(record.at("version") == std::to_string(outcome.seq));
  CHECK(record.at("updated_by") == "tester");
  CHECK(std::abs(std::stoll(record.at("updated_at")) - unix_now()) < 60);
  CHECK(record.contains("retire_at") == (outcome.to == "retiring"));
  CHECK(record.contains("revoked_at") == (outcome.to == "revoked"));
  CHECK(record.contains("reason") == (outcome.to == "revoked"));
}

TEST_CASE("every state and operation end where the table says, in a dry run and for real",
          "[registry][transition]") {
  Registry registry;
  for (std::size_t row = 0; row < starts().size(); ++row) {
    for (std::size_t column = 0; column < columns().size(); ++column) {
      const Start& start = starts()[row];
      const std::string cell = kExpected[row][column];
      INFO(start.name << ", " << columns()[column].name << " -> " << cell);
      registry.call({"DEL", cert_key(kKey)});
      if (start.record) registry.hset(cert_key(kKey), *start.record);
      const auto before = registry.everything();
      const auto seq_before = registry.seq();
      const auto log_before = registry.log().size();
      const auto wanted = change(columns()[column].op, cert_key(kKey), columns()[column].fields);

      const Outcome planned = registry.apply(registry.dry, wanted);
      CHECK(registry.everything() == before);
      const Outcome outcome = registry.apply(wanted);

      CHECK(outcome.kind == expected_kind(cell));
      CHECK(planned.kind == outcome.kind);
      CHECK(planned.from == outcome.from);
      CHECK(planned.to == outcome.to);
      CHECK(planned.message == outcome.message);
      CHECK(planned.seq == 0);
      CHECK(outcome.from == start.state);
      if (outcome.kind == Kind::kApplied) {
        CHECK(outcome.to == (cell == "x" ? "" : cell));
        check_applied(registry, start, outcome, seq_before, log_before);
      } else {
        CHECK(outcome.seq == 0);
        CHECK(outcome.to == start.state);
        CHECK_FALSE(outcome.message.empty());
        CHECK(registry.everything() == before);
      }
    }
  }
}

TEST_CASE("a record with a time of revocation is revoked, whatever its state says",
          "[registry][transition]") {
  const auto state =
      GENERATE(as<std::string>(), "pending", "active", "inactive", "retired", "x", "");
  Registry registry;
  registry.hset(cert_key(kKey),
                {{"state", state}, {"revoked_at", kPast}, {"reason", "keyCompromise"}});
  INFO(state);

  for (const Op op : {Op::kActivate, Op::kDeactivate, Op::kRetire, Op::kDelete}) {
    const Outcome outcome = registry.apply(change(op, cert_key(kKey)));
    CHECK(outcome.kind == Kind::kRefused);
    CHECK(outcome.from == "revoked");
    CHECK_THAT(outcome.message, ContainsSubstring("revo"));
  }

  SECTION("and revoke puts the state right, without touching time and reason") {
    CHECK(registry.apply(change(Op::kRevoke, cert_key(kKey))).kind == Kind::kApplied);
    const Hash record = registry.hash(cert_key(kKey));
    CHECK(record.at("state") == "revoked");
    CHECK(record.at("revoked_at") == kPast);
    CHECK(record.at("reason") == "keyCompromise");
    CHECK(registry.apply(change(Op::kRevoke, cert_key(kKey))).kind == Kind::kUnchanged);
  }
}

TEST_CASE("revoke completes a record that a person only called revoked", "[registry][transition]") {
  Registry registry;
  registry.hset(cert_key(kKey), {{"state", "revoked"}});

  const auto outcome =
      registry.apply(change(Op::kRevoke, cert_key(kKey), {{"reason", "cessationOfOperation"}}));

  CHECK(outcome.kind == Kind::kApplied);
  const Hash record = registry.hash(cert_key(kKey));
  CHECK(record.at("reason") == "cessationOfOperation");
  CHECK(std::abs(std::stoll(record.at("revoked_at")) - unix_now()) < 60);
}

TEST_CASE("a revocation keeps its reason", "[registry][transition]") {
  Registry registry;
  registry.hset(cert_key(kKey), {{"state", "active"}, {"reason", "cessationOfOperation"}});

  CHECK(registry.apply(change(Op::kRevoke, cert_key(kKey), {{"reason", "superseded"}})).kind ==
        Kind::kApplied);
  const auto again =
      registry.apply(change(Op::kRevoke, cert_key(kKey), {{"reason", "keyCompromise"}}));

  CHECK(again.kind == Kind::kRefused);
  CHECK_THAT(again.message, ContainsSubstring("superseded"));
  CHECK(registry.hash(cert_key(kKey)).at("reason") == "superseded");
  CHECK(registry.apply(change(Op::kRevoke, cert_key(kKey), {{"reason", "superseded"}})).kind ==
        Kind::kUnchanged);
}

TEST_CASE("revoke takes each RFC 5280 reason of a revocation, and no other word",
          "[registry][transition]") {
  Registry registry;
  for (const std::string reason :
       {"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded",
        "cessationOfOperation", "privilegeWithdrawn", "aACompromise"}) {
    INFO(reason);
    registry.call({"DEL", cert_key(kKey)});
    registry.hset(cert_key(kKey), {{"state", "active"}});
    CHECK(registry.apply(change(Op::kRevoke, cert_key(kKey), {{"reason", reason}})).kind ==
          Kind::kApplied);
    CHECK(registry.hash(cert_key(kKey)).at("reason") == reason);
    CHECK(registry.log().back().at("reason") == reason);
  }
  registry.call({"DEL", cert_key(kKey)});
  registry.hset(cert_key(kKey), {{"state", "active"}});
  for (const std::string reason : {"removeFromCRL", "keycompromise", "1", "", "stolen"}) {
    INFO(reason);
    CHECK(registry.apply(change(Op::kRevoke, cert_key(kKey), {{"reason", reason}})).kind ==
          Kind::kRefused);
  }
  const auto hold =
      registry.apply(change(Op::kRevoke, cert_key(kKey), {{"reason", "certificateHold"}}));
  CHECK(hold.kind == Kind::kRefused);
  CHECK_THAT(hold.message, ContainsSubstring("deactivate"));
  CHECK(registry.hash(cert_key(kKey)) == Hash{{"state", "active"}});
}

TEST_CASE("a retirement can be moved, taken back and must lie in the future",
          "[registry][transition]") {
  Registry registry;
  registry.hset(cert_key(kKey), {{"state", "active"}});
  const auto retire = [&](const std::string& at) {
    return registry.apply(change(Op::kRetire, cert_key(kKey), {{"retire_at", at}}));
  };

  CHECK(retire(kPast).kind == Kind::kRefused);
  CHECK(retire(std::to_string(unix_now() - 1)).kind == Kind::kRefused);
  CHECK(retire(kFuture).kind == Kind::kApplied);
  CHECK(retire(kFuture).kind == Kind::kUnchanged);
  CHECK(registry.log().back().at("retire_at") == kFuture);
  CHECK(retire(kLater).kind == Kind::kApplied);
  CHECK(registry.hash(cert_key(kKey)).at("retire_at") == kLater);
  CHECK(registry.apply(change(Op::kActivate, cert_key(kKey))).kind == Kind::kApplied);
  CHECK_FALSE(registry.hash(cert_key(kKey)).contains("retire_at"));
}

TEST_CASE("delete refuses a revoked record until its certificate has expired",
          "[registry][transition]") {
  struct Case {
    std::string not_after;
    Kind expected;
  };
  const auto c = GENERATE(values<Case>({
      {"", Kind::kRefused},
      {"soon", Kind::kRefused},
      {"4102444800", Kind::kRefused},
      {"1000000000", Kind::kApplied},
  }));
  Registry registry;
  registry.hset(cert_key(kKey),
                {{"state", "revoked"}, {"revoked_at", kPast}, {"not_after", c.not_after}});
  INFO(c.not_after);

  const auto outcome = registry.apply(change(Op::kDelete, cert_key(kKey)));

  CHECK(outcome.kind == c.expected);
  CHECK(registry.hash(cert_key(kKey)).empty() == (c.expected == Kind::kApplied));
}

TEST_CASE("a change with an expected version is made to that version only",
          "[registry][transition]") {
  Registry registry;
  auto wanted = change(Op::kDeactivate, cert_key(kKey));

  SECTION("a record written by hand has version 0") {
    registry.hset(cert_key(kKey), {{"state", "active"}});
    wanted.expected_version = 1;
    const auto before = registry.everything();
    const auto conflict = registry.apply(wanted);
    CHECK(conflict.kind == Kind::kConflict);
    CHECK(conflict.from == "active");
    CHECK_THAT(conflict.message, ContainsSubstring("`0`"));
    CHECK(registry.everything() == before);
    wanted.expected_version = 0;
    CHECK(registry.apply(wanted).kind == Kind::kApplied);
  }
  SECTION("a conflict is told even when nothing would change") {
    registry.apply(change(Op::kImport, cert_key(kKey), {{"state", "inactive"}}));
    wanted.expected_version = 7;
    CHECK(registry.apply(wanted).kind == Kind::kConflict);
  }
  SECTION("the version after a change is its number in the log") {
    registry.apply(change(Op::kImport, cert_key(kKey), {{"state", "active"}}));
    registry.apply(change(Op::kImport, cert_key('2'), {{"state", "active"}}));
    wanted.expected_version = 1;
    const auto outcome = registry.apply(wanted);
    CHECK(outcome.kind == Kind::kApplied);
    CHECK(registry.hash(cert_key(kKey)).at("version") == std::to_string(outcome.seq));
    CHECK(outcome.seq == 3);
  }
}

const Fields kFacts = {{"device", "dev1"},           {"serial", "0a1b"},     {"issuer", "ab12"},
                       {"not_before", "1700000000"}, {"not_after", kFuture}, {"spki", kSpki}};

Fields with_state(const std::string& state, Fields fields = kFacts) {
  fields.emplace_back("state", state);
  return fields;
}

TEST_CASE("import stores what it is given and never alters a record", "[registry][transition]") {
  Registry registry;
  const auto first = registry.apply(change(Op::kImport, cert_key(kKey), with_state("pending")));
  REQUIRE(first.kind == Kind::kApplied);
  for (const auto& [name, value] : kFacts)
    CHECK(registry.hash(cert_key(kKey)).at(name) == value);
  const auto before = registry.everything();

  SECTION("the same facts again are no news, whatever state they ask for") {
    CHECK(registry.apply(change(Op::kImport, cert_key(kKey), with_state("active"))).kind ==
          Kind::kUnchanged);
  }
  SECTION("nor when the certificate has moved on since") {
    registry.apply(change(Op::kRevoke, cert_key(kKey)));
    CHECK(registry.apply(change(Op::kImport, cert_key(kKey), with_state("active"))).kind ==
          Kind::kUnchanged);
    CHECK(registry.hash(cert_key(kKey)).at("state") == "revoked");
    return;
  }
  SECTION("another fact is refused and named") {
    auto fields = with_state("pending");
    fields[0].second = "dev2";
    const auto outcome = registry.apply(change(Op::kImport, cert_key(kKey), fields));
    CHECK(outcome.kind == Kind::kRefused);
    CHECK_THAT(outcome.message, ContainsSubstring("`device`"));
  }
  CHECK(registry.everything() == before);
}

TEST_CASE("import takes each state with what belongs to it", "[registry][transition]") {
  struct Case {
    Fields fields;
    Kind expected;
  };
  const auto c = GENERATE(values<Case>({
      {{{"state", "pending"}}, Kind::kApplied},
      {{{"state", "active"}}, Kind::kApplied},
      {{{"state", "inactive"}}, Kind::kApplied},
      {{{"state", "retired"}}, Kind::kApplied},
      {{{"state", "retiring"}, {"retire_at", "1000000000"}}, Kind::kApplied},
      {{{"state", "revoked"}}, Kind::kApplied},
      {{{"state", "revoked"}, {"reason", "superseded"}, {"revoked_at", "1000000000"}},
       Kind::kApplied},
      {{}, Kind::kRefused},
      {{{"device", "dev1"}}, Kind::kRefused},
      {{{"state", "malformed"}}, Kind::kRefused},
      {{{"state", ""}}, Kind::kRefused},
      {{{"state", "retiring"}}, Kind::kRefused},
      {{{"state", "active"}, {"retire_at", "4102444800"}}, Kind::kRefused},
      {{{"state", "active"}, {"reason", "superseded"}}, Kind::kRefused},
      {{{"state", "active"}, {"revoked_at", "1000000000"}}, Kind::kRefused},
  }));
  Registry registry;

  const auto outcome = registry.apply(change(Op::kImport, cert_key(kKey), c.fields));

  CHECK(outcome.kind == c.expected);
  const Hash record = registry.hash(cert_key(kKey));
  CHECK(record.empty() == (c.expected != Kind::kApplied));
  for (const auto& [name, value] : c.fields) {
    if (c.expected == Kind::kApplied) CHECK(record.at(name) == value);
  }
  if (outcome.to == "revoked") {
    CHECK(record.contains("revoked_at"));
    CHECK(record.contains("reason"));
  }
}

TEST_CASE("a transition adds the facts a bare HSET left out and changes none",
          "[registry][transition]") {
  Registry registry;
  registry.hset(cert_key(kKey), {{"state", "active"}, {"device", "dev1"}});

  const auto outcome = registry.apply(change(Op::kActivate, cert_key(kKey), kFacts));
  CHECK(outcome.kind == Kind::kApplied);
  CHECK(outcome.to == "active");
  for (const auto& [name, value] : kFacts)
    CHECK(registry.hash(cert_key(kKey)).at(name) == value);
  CHECK(registry.apply(change(Op::kActivate, cert_key(kKey), kFacts)).kind == Kind::kUnchanged);
  const auto before = registry.everything();

  const auto other = registry.apply(change(Op::kDeactivate, cert_key(kKey), {{"serial", "ff"}}));
  CHECK(other.kind == Kind::kRefused);
  CHECK_THAT(other.message, ContainsSubstring("`serial`"));
  CHECK(registry.everything() == before);
}

TEST_CASE("the indexes say what the records say after every change", "[registry][transition]") {
  Registry registry;
  const std::string device_member = "dev1/" + fingerprint(kKey);
  const std::string spki_member = kSpki + "/" + fingerprint(kKey);
  const auto check_indexed = [&] {
    CHECK(registry.sorted_set("leafgate:index:device") ==
          std::vector<std::string>{device_member, "0"});
    CHECK(registry.sorted_set("leafgate:index:spki") == std::vector<std::string>{spki_member, "0"});
    CHECK(registry.sorted_set("leafgate:index:expiry") ==
          std::vector<std::string>{fingerprint(kKey), kFuture});
  };

  registry.apply(change(Op::kImport, cert_key(kKey), with_state("pending")));
  check_indexed();
  for (const auto& [op, fields] :
       std::vector<std::pair<Op, Fields>>{{Op::kActivate, {}},
                                          {Op::kRetire, {{"retire_at", kLater}}},
                                          {Op::kDeactivate, {}},
                                          {Op::kRetire, {}}}) {
    INFO(to_string(op));
    CHECK(registry.apply(change(op, cert_key(kKey), fields)).kind == Kind::kApplied);
    check_indexed();
  }
  CHECK(registry.apply(change(Op::kDelete, cert_key(kKey))).kind == Kind::kApplied);
  for (const char* index :
       {"leafgate:index:device", "leafgate:index:spki", "leafgate:index:expiry"}) {
    CHECK(registry.sorted_set(index).empty());
  }
}

TEST_CASE("a record written by hand is indexed by its first transition", "[registry][transition]") {
  Registry registry;
  registry.hset(cert_key(kKey), {{"state", "active"}, {"device", "dev1"}});
  registry.hset(cert_key('2'), {{"state", "active"}, {"device", "a/b"}, {"spki", "short"}});

  registry.apply(change(Op::kDeactivate, cert_key(kKey)));
  registry.apply(change(Op::kDeactivate, cert_key('2')));

  CHECK(registry.sorted_set("leafgate:index:device") ==
        std::vector<std::string>{"dev1/" + fingerprint(kKey), "0"});
  CHECK(registry.sorted_set("leafgate:index:spki").empty());
}

TEST_CASE("a fact added later is indexed", "[registry][transition]") {
  Registry registry;
  registry.apply(change(Op::kImport, cert_key(kKey), {{"state", "active"}}));
  CHECK(registry.sorted_set("leafgate:index:device").empty());

  registry.apply(change(Op::kDeactivate, cert_key(kKey), {{"device", "dev1"}}));

  CHECK(registry.sorted_set("leafgate:index:device") ==
        std::vector<std::string>{"dev1/" + fingerprint(kKey), "0"});
}

TEST_CASE("the note is that of the last change", "[registry][transition]") {
  Registry registry;
  auto first = change(Op::kImport, cert_key(kKey), {{"state", "active"}});
  first.note = "batch 7, Gerät Köln";
  registry.apply(first);
  CHECK(registry.hash(cert_key(kKey)).at("note") == first.note);
  CHECK(registry.log().back().at("note") == first.note);

  registry.apply(change(Op::kDeactivate, cert_key(kKey)));

  CHECK_FALSE(registry.hash(cert_key(kKey)).contains("note"));
  CHECK(registry.log().back().at("note").empty());
}

TEST_CASE("a transition makes the record permanent", "[registry][transition]") {
  Registry registry;
  registry.hset(cert_key(kKey), {{"state", "active"}});
  registry.call({"EXPIRE", cert_key(kKey), "1000"});

  CHECK(registry.apply(change(Op::kActivate, cert_key(kKey))).kind == Kind::kUnchanged);
  CHECK(registry.call({"TTL", cert_key(kKey)}).integer().value() > 0);
  const auto planned = registry.apply(registry.dry, change(Op::kRevoke, cert_key(kKey)));
  CHECK(registry.call({"TTL", cert_key(kKey)}).integer().value() > 0);
  const auto outcome = registry.apply(change(Op::kRevoke, cert_key(kKey)));

  CHECK(registry.call({"TTL", cert_key(kKey)}).integer() == -1);
  CHECK_THAT(outcome.message, ContainsSubstring("time to live"));
  CHECK(planned.message == outcome.message);
}

TEST_CASE("a full Redis can still be told to refuse, and not to admit more",
          "[registry][transition]") {
  Registry registry;
  registry.hset(cert_key(kKey), {{"state", "active"}});
  registry.call({"CONFIG", "SET", "maxmemory", "1"});

  CHECK(registry.apply(change(Op::kDeactivate, cert_key(kKey))).kind == Kind::kApplied);
  CHECK(registry.apply(change(Op::kRevoke, cert_key(kKey))).kind == Kind::kApplied);
  CHECK(registry.apply(change(Op::kBlock, "leafgate:block:device:dev1")).kind == Kind::kApplied);
  const auto imported =
      registry.writer.apply(change(Op::kImport, cert_key('2'), {{"state", "active"}}));

  REQUIRE_FALSE(imported.ok());
  CHECK(imported.error().kind == ErrorKind::kUnreachable);
  CHECK_THAT(imported.error().message, ContainsSubstring("OOM"));
  CHECK(registry.hash(cert_key('2')).empty());
  CHECK(registry.log().size() == 3);
}

}  // namespace
}  // namespace leafgate::test
