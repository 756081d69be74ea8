// SPDX-License-Identifier: Apache-2.0
#include "registry/schema.h"

#include <chrono>
#include <optional>
#include <string>

#include "tests/catch.h"

namespace leafgate::registry {
namespace {

using std::chrono::seconds;

const std::string kDigits = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

TEST_CASE("every key name is read back as what it names", "[registry][schema]") {
  const auto prefix = GENERATE(as<std::string>(), "leafgate:", "{tenant}.a-b_c:", "a:b:");
  const Schema schema(prefix);
  const auto fingerprint = policy::parse_stored_fingerprint(kDigits).value();

  const KeyName cert = parse_key(schema, schema.cert(fingerprint));
  CHECK(cert.kind == KeyName::Kind::kCert);
  CHECK(cert.fingerprint == fingerprint);
  CHECK(schema.cert(fingerprint) == prefix + "cert:" + kDigits);

  const KeyName device = parse_key(schema, schema.block_device("cert:1 é"));
  CHECK(device.kind == KeyName::Kind::kDeviceBlock);
  CHECK(device.id == "cert:1 é");

  const std::string by_name = "name-" + kDigits;
  for (const std::string& id : {std::string("0a"), by_name}) {
    const KeyName issuer = parse_key(schema, schema.block_issuer(id));
    CHECK(issuer.kind == KeyName::Kind::kIssuerBlock);
    CHECK(issuer.id == id);
  }

  const KeyName pulse = parse_key(schema, schema.pulse("gateway-1", "a1b2"));
  CHECK(pulse.kind == KeyName::Kind::kPulse);
  CHECK(pulse.id == "gateway-1:a1b2");
}

TEST_CASE("a key that is not canonical names nothing", "[registry][schema]") {
  const Schema schema;
  std::string upper = kDigits;
  upper.back() = 'F';
  for (const std::string& key : {std::string(),
                                 std::string("leafgate:"),
                                 "cert:" + kDigits,
                                 "leafgate:cert:" + upper,
                                 "leafgate:cert:" + kDigits + "0",
                                 "leafgate:cert:" + kDigits.substr(1),
                                 "Leafgate:cert:" + kDigits,
                                 std::string("leafgate:block:device:"),
                                 std::string("leafgate:block:device:a/b"),
                                 "leafgate:block:device:" + std::string(65, 'a'),
                                 std::string("leafgate:block:device:a\nb"),
                                 std::string("leafgate:block:device:a\0b", 25),
                                 std::string("leafgate:block:issuer:"),
                                 std::string("leafgate:block:issuer:AB"),
                                 std::string("leafgate:block:issuer:name-ab"),
                                 std::string("leafgate:block:other:x"),
                                 std::string("leafgate:pulse:x"),
                                 std::string("leafgate:pulse:x:"),
                                 std::string("leafgate:pulse::x"),
                                 std::string("leafgate:pulse:a:b:c"),
                                 std::string("leafgate:meta"),
                                 schema.log(),
                                 schema.events(),
                                 schema.index_device(),
                                 schema.index_spki(),
                                 schema.index_expiry(),
                                 schema.broker("x")}) {
    INFO(key);
    CHECK(parse_key(schema, key).kind == KeyName::Kind::kOther);
  }
}

TEST_CASE("prefixes, broker names and issuer ids keep to their alphabets", "[registry][schema]") {
  CHECK(is_prefix("leafgate:"));
  CHECK(is_prefix("{x}:"));
  CHECK(is_prefix(std::string(63, 'a') + ":"));
  for (const std::string& bad :
       {std::string(), std::string("leafgate"), std::string("a b:"), std::string("a*:"),
        std::string("a\n:"), std::string("é:"), std::string(64, 'a') + ":"}) {
    INFO(bad);
    CHECK_FALSE(is_prefix(bad));
  }
  CHECK(is_broker_name("gateway-1.example_A"));
  CHECK(is_broker_name(std::string(64, 'a')));
  for (const std::string& bad : {std::string(), std::string("a:b"), std::string("a b"),
                                 std::string("a/b"), std::string(65, 'a'), std::string("a\0", 2)}) {
    CHECK_FALSE(is_broker_name(bad));
  }
  CHECK(is_issuer_id("0"));
  CHECK(is_issuer_id(kDigits));
  CHECK(is_issuer_id("name-" + kDigits));
  for (const std::string& bad : {std::string(), std::string("name-"), "name-" + kDigits + "0",
                                 kDigits + "0", std::string("0A"), std::string("0:1")}) {
    CHECK_FALSE(is_issuer_id(bad));
  }
}

TEST_CASE("a record admits only what is spelled exactly", "[registry][schema]") {
  using policy::CertState;
  using Text = std::optional<std::string_view>;
  struct Case {
    Text state, retire_at, revoked_at;
    CertState expected;
  };
  const auto c = GENERATE(values<Case>({
      {"pending", {}, {}, CertState::kPending},
      {"active", {}, {}, CertState::kActive},
      {"active", "1", "", CertState::kActive},
      {"inactive", {}, {}, CertState::kInactive},
      {"retiring", "4102444800", {}, CertState::kRetiring},
      {"retired", {}, {}, CertState::kRetired},
      {"revoked", {}, {}, CertState::kRevoked},
      {"active", {}, "1", CertState::kRevoked},
      {"active", {}, "no", CertState::kRevoked},
      {{}, {}, "1", CertState::kRevoked},
      {{}, {}, {}, CertState::kMalformed},
      {"", {}, {}, CertState::kMalformed},
      {"Active", {}, {}, CertState::kMalformed},
      {"active ", {}, {}, CertState::kMalformed},
      {"malformed", {}, {}, CertState::kMalformed},
      {"retiring", {}, {}, CertState::kMalformed},
      {"retiring", "", {}, CertState::kMalformed},
      {"retiring", "tomorrow", {}, CertState::kMalformed},
      {"retiring", "-1", {}, CertState::kMalformed},
  }));
  INFO(c.state.value_or("(none)") << " " << c.retire_at.value_or("(none)") << " "
                                  << c.revoked_at.value_or("(none)"));

  const policy::CertRecord record = parse_record(c.state, c.retire_at, c.revoked_at);

  CHECK(record.state == c.expected);
  CHECK(record.gone_at == policy::kNever);
  CHECK(record.retire_at ==
        (c.expected == CertState::kRetiring ? policy::Time(seconds(4102444800)) : policy::kNever));
}

TEST_CASE("a block without a readable date blocks everything", "[registry][schema]") {
  CHECK(parse_block("1700000000").before == policy::Time(seconds(1700000000)));
  CHECK(parse_block("0").before == policy::Time(seconds(0)));
  CHECK_FALSE(parse_block(std::nullopt).before.has_value());
  for (const std::string_view bad : {"", "soon", "1e9", " 1", "1 ", "-1", "+1", "1.0"}) {
    INFO(bad);
    CHECK_FALSE(parse_block(bad).before.has_value());
  }
}

TEST_CASE("Unix seconds are decimal and end with the year 9999", "[registry][schema]") {
  CHECK(parse_unix_seconds("0") == policy::Time(seconds(0)));
  CHECK(parse_unix_seconds("253402300799") == policy::Time(seconds(253402300799)));
  for (const std::string_view bad : {"", "253402300800", "999999999999", "1000000000000",
                                     "99999999999999999999", "0x1", "1\n", "\xd9\xa1"}) {
    INFO(bad);
    CHECK_FALSE(parse_unix_seconds(bad).has_value());
  }
}

}  // namespace
}  // namespace leafgate::registry
