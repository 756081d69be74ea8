// SPDX-License-Identifier: Apache-2.0
// transition.lua trusts nobody: whatever a script or a person passes to it is refused or harmless.
#include <algorithm>
#include <string>
#include <vector>

#include "registry/transition.h"
#include "tests/catch.h"
#include "tests/registry/registry_fixture.h"

namespace leafgate::test {
namespace {

using registry::Command;
using registry::Op;
using registry::Reply;
using Kind = registry::Outcome::Kind;

using Words = std::vector<std::string>;

const Words kKeys = {cert_key('1'), "leafgate:meta", "leafgate:log"};

Reply eval(Registry& registry, const Words& keys, const Words& arguments) {
  Command command{"EVAL", std::string(registry::kTransitionLua), std::to_string(keys.size())};
  command.insert(command.end(), keys.begin(), keys.end());
  command.insert(command.end(), arguments.begin(), arguments.end());
  return registry.call(command);
}

void check_refused(Registry& registry, const Words& keys, const Words& arguments) {
  std::string shown;
  for (const auto& word : keys)
    shown += "[" + word + "] ";
  for (const auto& word : arguments)
    shown += "(" + word + ") ";
  INFO(shown);
  const auto before = registry.everything();

  const Reply reply = eval(registry, keys, arguments);

  REQUIRE(reply.size() == 5);
  CHECK(reply.text_at(0) == "REFUSED");
  CHECK(reply[1].integer() == 0);
  const std::string message(reply.text_at(4).value_or(""));
  CHECK_FALSE(message.empty());
  CHECK(message.size() < 400);
  CHECK(std::all_of(message.begin(), message.end(), [](char c) { return c >= ' ' && c <= '~'; }));
  CHECK(registry.everything() == before);
}

// Text that would break a log line, a terminal, a key or a pattern.
const std::vector<std::string> kHostile = {
    "a\nb",
    "a\rb",
    "\r\n",
    std::string("a\0b", 3),
    std::string(1, '\0'),
    "\x1b[2J",
    "\x7f",
    "\xc2\x9b[2J",
    "\xff",
    "\xc0\x80",
    "\xe0\x80\x80",
    "\xed\xa0\x80",
    "\xf0\x80\x80\x80",
    "\xf4\x90\x80\x80",
    "\x80",
    "a\xc2",
    std::string(65, 'a'),
    std::string(100000, 'a'),
};

TEST_CASE("hostile text is refused wherever it is passed", "[registry][arguments]") {
  Registry registry;
  registry.hset(cert_key('1'), {{"state", "active"}});
  for (const std::string& bad : kHostile) {
    check_refused(registry, kKeys, {bad, "", "me", ""});
    check_refused(registry, kKeys, {"revoke", bad, "me", ""});
    check_refused(registry, kKeys, {"revoke", "", bad, ""});
    check_refused(registry, kKeys, {"revoke", "", "me", bad});
    check_refused(registry, kKeys, {"revoke", "", "me", "", bad, "x"});
    for (const char* field : {"device", "serial", "issuer", "spki", "not_before", "not_after",
                              "retire_at", "reason", "state"}) {
      check_refused(registry, kKeys, {"retire", "", "me", "", field, bad});
    }
    check_refused(registry, {"leafgate:cert:" + bad, kKeys[1], kKeys[2]}, {"revoke", "", "me", ""});
    check_refused(registry, {"leafgate:block:device:" + bad, kKeys[1], kKeys[2]},
                  {"block", "", "me", ""});
    check_refused(registry, {bad + cert_key('1'), bad + kKeys[1], bad + kKeys[2]},
                  {"revoke", "", "me", ""});
  }
}

TEST_CASE("values at their limits are taken and one beyond is refused", "[registry][arguments]") {
  struct Case {
    std::string field, value;
    bool good;
  };
  const auto c = GENERATE(values<Case>({
      {"device", std::string(64, 'd'), true},
      {"device", "", false},
      {"device", "Gerät 1", true},
      {"device", "a:b", true},
      {"device", "a/b", false},
      {"device", "a+", false},
      {"device", "#", false},
      {"device", "$SYS", false},
      {"serial", std::string(40, 'f'), true},
      {"serial", "", false},
      {"serial", "0A", false},
      {"serial", "0a:1b", false},
      {"issuer", std::string(64, 'a'), true},
      {"issuer", "name-" + std::string(59, 'a'), false},
      {"spki", std::string(64, '0'), true},
      {"spki", std::string(63, '0'), false},
      {"not_before", "0", true},
      {"not_before", "0000000000001", false},
      {"not_before", "-1", false},
      {"not_before", " 1", false},
      {"not_before", "1e9", false},
      {"not_before", "0x10", false},
      {"not_after", "253402300799", true},
      {"not_after", "253402300800", false},
      {"not_after", "1000000000000", false},
      {"not_after", "1.5", false},
      {"not_after", "", false},
      {"nan", "nan", false},
      {"version", "7", false},
      {"updated_by", "mallory", false},
      {"updated_at", "1", false},
      {"note", "x", false},
      {"before", "1", false},
      {"id", std::string(32, 'a'), false},
  }));
  Registry registry;
  INFO(c.field << "=" << c.value);
  const Words arguments = {"import", "", "me", "", "state", "active", c.field, c.value};
  if (!c.good) {
    check_refused(registry, kKeys, arguments);
    return;
  }
  CHECK(eval(registry, kKeys, arguments).text_at(0) == "OK");
  CHECK(registry.hash(cert_key('1')).at(c.field) == c.value);
}

TEST_CASE("keys that are not of one prefix and form are refused", "[registry][arguments]") {
  Registry registry;
  const Words revoke = {"revoke", "", "me", ""};
  const std::string digits = fingerprint('1');
  const auto cert = [&](const std::string& key) { return Words{key, kKeys[1], kKeys[2]}; };
  std::string upper = digits;
  upper[63] = 'A';
  for (const Words& keys : std::vector<Words>{
           {},
           {cert_key('1')},
           {cert_key('1'), "leafgate:meta"},
           {cert_key('1'), "leafgate:meta", "leafgate:log", "leafgate:events"},
           {cert_key('1'), "leafgate:log", "leafgate:meta"},
           {cert_key('1'), "leafgate:meta", "other:log"},
           {cert_key('1'), "meta", "log"},
           {"cert:" + digits, "meta", "log"},
           {"other:cert:" + digits, "leafgate:meta", "leafgate:log"},
           {"a b:cert:" + digits, "a b:meta", "a b:log"},
           {std::string(64, 'a') + ":cert:" + digits, std::string(64, 'a') + ":meta",
            std::string(64, 'a') + ":log"},
           cert("leafgate:cert:" + upper),
           cert("leafgate:cert:" + digits + "0"),
           cert("leafgate:cert:" + digits.substr(1)),
           cert("leafgate:meta"),
           cert("leafgate:log"),
           cert("leafgate:block:device:dev1"),
           cert("leafgate:index:device"),
           cert(""),
       }) {
    check_refused(registry, keys, revoke);
  }
  for (const std::string key :
       {"leafgate:block:device:", "leafgate:block:device:a/b", "leafgate:block:issuer:XYZ",
        "leafgate:block:issuer:name-12", "leafgate:block:tenant:x", "leafgate:block:device"}) {
    check_refused(registry, cert(key), {"block", "", "me", ""});
  }
  check_refused(registry, kKeys, {"block", "", "me", ""});
  check_refused(registry, kKeys,
                {"init", "", "me", "", "id", std::string(32, 'a'), "device_id", "cn"});
}

TEST_CASE("incomplete, doubled and misplaced arguments are refused", "[registry][arguments]") {
  Registry registry;
  registry.hset(cert_key('1'), {{"state", "active"}});
  for (const Words& arguments : std::vector<Words>{
           {},
           {"revoke"},
           {"revoke", "", "me"},
           {"", "", "me", ""},
           {"?", "", "me", ""},
           {"revoke??", "", "me", ""},
           {"Revoke", "", "me", ""},
           {"revoke", "", "", ""},
           {"revoke", "-1", "me", ""},
           {"revoke", "1.0", "me", ""},
           {"revoke", "", "me", "", "reason"},
           {"revoke", "", "me", "", "reason", "superseded", "reason", "superseded"},
           {"revoke", "", "me", "", "retire_at", "4102444800"},
           {"activate", "", "me", "", "state", "active"},
           {"activate", "", "me", "", "revoked_at", "1"},
           {"delete", "", "me", "", "device", "dev1"},
           {"delete", "", "me", "", "", ""},
           {"activate", "", "me", "", "", "x"},
           {"activate", "", "me", "", "device serial", "0a"},
       }) {
    check_refused(registry, kKeys, arguments);
  }
  const Words block = {"leafgate:block:device:dev1", kKeys[1], kKeys[2]};
  check_refused(registry, block, {"block", "1", "me", ""});
  check_refused(registry, block, {"block", "", "me", "", "device", "dev1"});
  check_refused(registry, block, {"block", "", "me", "", "before", "tomorrow"});
  const std::string id(32, 'a');
  const Words meta = {"leafgate:meta", kKeys[1], kKeys[2]};
  check_refused(registry, kKeys, {"confirm", "", "me", "", "id", id});
  check_refused(registry, block, {"confirm", "", "me", "", "id", id});
  check_refused(registry, meta, {"confirm", "", "me", ""});
  check_refused(registry, meta, {"confirm", "1", "me", "", "id", id});
  check_refused(registry, meta, {"confirm", "", "me", "", "id", "A" + id.substr(1)});
  check_refused(registry, meta, {"confirm", "", "me", "", "id", id, "replaces", "x"});
  check_refused(registry, meta, {"confirm", "", "me", "", "id", id, "replaces", id});
  check_refused(registry, meta, {"confirm", "", "me", "", "id", id, "confirmed", "1"});
  check_refused(registry, meta, {"revoke", "", "me", ""});
}

TEST_CASE("a restore without sense is refused", "[registry][arguments]") {
  Registry registry;
  Words many = {"restore", "", "me", ""};
  for (int i = 0; i < 501; ++i) {
    many.push_back(std::to_string(i));
    many.emplace_back("x");
  }
  for (const Words& arguments : std::vector<Words>{
           {"restore", "", "me", ""},
           {"restore", "", "", "", "state", "active"},
           {"restore", "", "me", "", "state"},
           {"restore", "", "me", "", "state", "active", "state", "active"},
           {"restore", "soon", "me", "", "state", "active"},
           {"restore", "9999999999999999", "me", "", "state", "active"},
           {"restore", "", "me", "", "state", std::string(4097, 'x')},
           {"restore", "", "me", "", std::string(4097, 'x'), "active"},
           many,
       }) {
    check_refused(registry, kKeys, arguments);
  }
  const Words valid = {"restore", "", "me", "", "state", "active"};
  for (const std::string name : {"log", "events", "broker:gateway-1", "index:device", "cert:x",
                                 "cert:", "block:device:", "block:other:x", "block:issuer:X"}) {
    check_refused(registry, {"leafgate:" + name, kKeys[1], kKeys[2]}, valid);
  }
}

TEST_CASE("keys of another type are left alone and named", "[registry][arguments]") {
  const auto key =
      GENERATE(as<std::string>(), cert_key('1'), "leafgate:meta", "leafgate:log",
               "leafgate:index:device", "leafgate:index:spki", "leafgate:index:expiry");
  Registry registry;
  registry.call({"SET", key, "not ours"});
  const auto before = registry.everything();

  const auto outcome = registry.apply(change(Op::kImport, cert_key('1'),
                                             {{"state", "active"},
                                              {"device", "dev1"},
                                              {"spki", std::string(64, 'a')},
                                              {"not_after", "4102444800"}}));

  CHECK(outcome.kind == Kind::kRefused);
  CHECK_THAT(outcome.message, ContainsSubstring("`" + key + "` is a string"));
  CHECK(registry.everything() == before);
}

TEST_CASE("a sequence number nobody can count on is refused", "[registry][arguments]") {
  const auto seq = GENERATE(as<std::string>(), "many", "-1", "1.5", "9999999999999999");
  Registry registry;
  registry.hset("leafgate:meta", {{"seq", seq}});

  CHECK(registry.apply(change(Op::kImport, cert_key('1'), {{"state", "active"}})).kind ==
        Kind::kRefused);
  CHECK(registry.hash(cert_key('1')).empty());
}

TEST_CASE("hostile content of a record does not get into an answer", "[registry][arguments]") {
  Registry registry;
  const std::string bad = "\x1b[2J\r\n`" + std::string(1, '\0') + std::string(1000, 'x');
  for (const char* field : {"state", "retire_at", "version", "device", "reason"}) {
    INFO(field);
    registry.call({"DEL", cert_key('1')});
    registry.hset(cert_key('1'), {{"state", "active"}, {field, bad}});
    for (const Words& arguments : std::vector<Words>{{"activate", "5", "me", ""},
                                                     {"retire?", "", "me", ""},
                                                     {"activate", "", "me", "", "device", "dev1"},
                                                     {"import", "", "me", "", "device", "dev1"}}) {
      const Reply reply = eval(registry, kKeys, arguments);
      for (const std::size_t i : {2U, 3U, 4U}) {
        const std::string text(reply.text_at(i).value_or(""));
        CHECK(text.size() < 400);
        CHECK(std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; }));
      }
    }
  }
}

TEST_CASE("every prefix keeps to itself", "[registry][arguments]") {
  Registry registry;
  for (const std::string prefix : {"a:", "a:b:", "{tenant-1}.x:"}) {
    INFO(prefix);
    const Words keys = {prefix + "cert:" + fingerprint('1'), prefix + "meta", prefix + "log"};
    REQUIRE(eval(registry, keys, {"import", "", "me", "", "state", "active", "device", "d"})
                .text_at(0) == "OK");
    CHECK(registry.sorted_set(prefix + "index:device").size() == 2);
    CHECK(registry.hash(prefix + "meta").at("seq") == "1");
  }
  CHECK(registry.everything().size() == 3 * 4);
}

}  // namespace
}  // namespace leafgate::test
