// SPDX-License-Identifier: Apache-2.0
#include "policy/identity.h"

#include "tests/catch.h"
#include "tests/policy/samples.h"

namespace leafgate::policy {
namespace {

CertFacts named(std::vector<std::string> common_names) {
  auto facts = good_certificate();
  facts.common_names = std::move(common_names);
  return facts;
}

TEST_CASE("a device id is one topic level and nothing else", "[policy][identity]") {
  CHECK(is_device_id("d"));
  CHECK(is_device_id("dev 1:ab.c-d_e@f"));
  CHECK(is_device_id("Z\xC3\xBCrich"));
  CHECK(is_device_id(std::string(64, 'x')));

  CHECK_FALSE(is_device_id(""));
  CHECK_FALSE(is_device_id(std::string(65, 'x')));
  for (const auto* id :
       {"a+", "+", "#", "a#b", "a/b", "/", "$SYS", "a$", "a\nb", "a\x7F", "\xC0\xAF"}) {
    INFO(id);
    CHECK_FALSE(is_device_id(id));
  }
  CHECK_FALSE(is_device_id(std::string("dev1\0x", 6)));
}

TEST_CASE("the device id comes from the field the rule names", "[policy][identity]") {
  auto facts = good_certificate();
  facts.common_names = {"from-cn"};
  facts.san_uris = {"urn:device:from-uri"};
  facts.san_dns = {"from-dns.example"};
  RulesSpec spec;

  spec.identity = IdentitySource::kCommonName;
  CHECK(device_id(facts, rules(spec)) == "from-cn");
  spec.identity = IdentitySource::kSanUri;
  spec.strip_prefix = "urn:device:";
  CHECK(device_id(facts, rules(spec)) == "from-uri");
  spec.identity = IdentitySource::kSanDns;
  spec.strip_prefix = "";
  CHECK(device_id(facts, rules(spec)) == "from-dns.example");
}

TEST_CASE("a field that is absent or there twice gives no device id", "[policy][identity]") {
  CHECK_FALSE(device_id(named({}), rules()));
  CHECK_FALSE(device_id(named({"dev1", "dev2"}), rules()));
  CHECK_FALSE(device_id(named({"dev1", "dev1"}), rules()));
}

TEST_CASE("the prefix to strip must be there and leave something", "[policy][identity]") {
  RulesSpec spec;
  spec.strip_prefix = "dev-";

  CHECK(device_id(named({"dev-7"}), rules(spec)) == "7");
  CHECK(device_id(named({"dev-dev-7"}), rules(spec)) == "dev-7");
  for (const auto* name : {"7", "dev-", "DEV-7", "xdev-7", "dev", ""}) {
    INFO(name);
    CHECK_FALSE(device_id(named({name}), rules(spec)));
  }
}

TEST_CASE("a prefix may hold the characters an id may not", "[policy][identity]") {
  RulesSpec spec;
  spec.identity = IdentitySource::kSanUri;
  spec.strip_prefix = "spiffe://example.org/device/";
  auto facts = good_certificate();

  facts.san_uris = {"spiffe://example.org/device/dev1"};
  CHECK(device_id(facts, rules(spec)) == "dev1");
  facts.san_uris = {"spiffe://example.org/device/site/dev1"};
  CHECK_FALSE(device_id(facts, rules(spec)));
}

TEST_CASE("a reserved name is no device id, also after stripping", "[policy][identity]") {
  RulesSpec spec;
  spec.reserved_names = {"root", "admin"};

  CHECK_FALSE(device_id(named({"admin"}), rules(spec)));
  CHECK_FALSE(device_id(named({"root"}), rules(spec)));
  CHECK(device_id(named({"admin1"}), rules(spec)) == "admin1");
  CHECK(device_id(named({"Admin"}), rules(spec)) == "Admin");

  spec.strip_prefix = "x-";
  CHECK_FALSE(device_id(named({"x-admin"}), rules(spec)));
}

}  // namespace
}  // namespace leafgate::policy
