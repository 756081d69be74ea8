// SPDX-License-Identifier: Apache-2.0
// The shell scripts, run as a person runs them: they do what the command line program does, with
// the same exit status, and nothing they are given gets further than it should.
#include <cctype>
#include <map>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/registry/registry_fixture.h"
#include "tests/support/pki.h"
#include "tests/support/sentinel_trio.h"
#include "tests/support/tls_redis.h"

namespace leafgate::test {
namespace {

using registry::Op;

constexpr int kDone = 0;
constexpr int kRefused = 1;
constexpr int kUsage = 2;
constexpr int kMissing = 3;
constexpr int kUnreachable = 4;

const std::string kFingerprint = fingerprint('1');

// `redis` may be another server than the one the Registry looks at.
Ran script(const std::string& name, std::vector<std::string> arguments,
           std::map<std::string, std::string> env = {}) {
  env.try_emplace("LEAFGATE_REDIS_URL", shared_redis().url());
  arguments.insert(arguments.begin(), {"sh", "scripts/" + name});
  return run(arguments, "", env);
}

TEST_CASE("the scripts take a certificate through its life", "[registry][scripts]") {
  Registry registry;
  registry.apply(change(Op::kImport, cert_key('1'), {{"state", "pending"}, {"device", "dev1"}}));

  CHECK(script("activate", {kFingerprint, "--by", "alice", "--note", "approved"}).status == kDone);
  CHECK(registry.hash(cert_key('1')).at("state") == "active");
  CHECK(registry.log().back().at("by") == "alice");
  CHECK(registry.log().back().at("note") == "approved");

  CHECK(script("deactivate", {kFingerprint}).status == kDone);
  CHECK(registry.hash(cert_key('1')).at("state") == "inactive");
  CHECK_FALSE(registry.log().back().at("by").empty());

  const Ran again = script("deactivate", {kFingerprint});
  CHECK(again.status == kDone);
  CHECK_THAT(again.out, ContainsSubstring("already"));

  CHECK(script("revoke", {"--reason", "keyCompromise", kFingerprint}).status == kDone);
  CHECK(registry.hash(cert_key('1')).at("reason") == "keyCompromise");

  const Ran final = script("activate", {kFingerprint});
  CHECK(final.status == kRefused);
  CHECK_THAT(final.err, ContainsSubstring("final"));
  CHECK(registry.log().size() == 4);
}

TEST_CASE("a dry run says what would happen and does not do it", "[registry][scripts]") {
  Registry registry;
  registry.hset(cert_key('1'), {{"state", "active"}});
  const auto before = registry.everything();
  for (const char* name : {"deactivate", "revoke"}) {
    const Ran ran = script(name, {"--dry-run", kFingerprint});
    CHECK(ran.status == kDone);
    CHECK_THAT(ran.out, ContainsSubstring("would change: active ->"));
    CHECK(registry.everything() == before);
  }
}

TEST_CASE("a certificate may be given as people have it", "[registry][scripts]") {
  Registry registry;
  Pki pki;
  const CertFiles credential = pki.issue({});
  const std::string key = "leafgate:cert:" + credential.fingerprint;
  TempDir dir;
  REQUIRE(run({"openssl", "x509", "-in", credential.certificate, "-outform", "DER", "-out",
               dir / "a b.der"})
              .status == 0);
  std::string colons;
  for (std::size_t i = 0; i < credential.fingerprint.size(); i += 2) {
    if (i > 0) colons += ':';
    for (const char c : credential.fingerprint.substr(i, 2))
      colons += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  for (const std::string& named :
       {credential.fingerprint, colons, credential.certificate, dir / "a b.der"}) {
    INFO(named);
    registry.call({"DEL", key});
    registry.hset(key, {{"state", "active"}});
    CHECK(script("deactivate", {named}).status == kDone);
    CHECK(registry.hash(key).at("state") == "inactive");
  }
}

TEST_CASE("a wrong call ends with 2, says why and reaches no Redis", "[registry][scripts]") {
  Registry registry;
  registry.hset(cert_key('1'), {{"state", "active"}});
  const auto before = registry.everything();
  TempDir dir;
  write_file(dir / "x.pem", "not a certificate\n");
  for (const std::vector<std::string>& arguments : std::vector<std::vector<std::string>>{
           {},
           {""},
           {"nothing"},
           {"/no/such/file.pem"},
           {dir / "x.pem"},
           {fingerprint('1') + "0"},
           {fingerprint('1').substr(1)},
           {fingerprint('g')},
           {kFingerprint + "\n" + kFingerprint},
           {kFingerprint, kFingerprint},
           {kFingerprint, "--by"},
           {kFingerprint, "--reason", "superseded"},
           {kFingerprint, "--nonsense"},
           {"$(touch " + (dir / "pwned") + ")"},
           {"; touch " + (dir / "pwned")},
       }) {
    INFO((arguments.empty() ? "(nothing)" : arguments.back()));
    const Ran ran = script("deactivate", arguments);
    CHECK(ran.status == kUsage);
    CHECK_FALSE(ran.err.empty());
    CHECK(ran.out.empty());
  }
  CHECK(registry.everything() == before);
  CHECK_FALSE(std::filesystem::exists(dir / "pwned"));
}

TEST_CASE("hostile words for the log are refused by the transition itself", "[registry][scripts]") {
  Registry registry;
  registry.hset(cert_key('1'), {{"state", "active"}});
  const auto before = registry.everything();
  for (const std::string& bad : {std::string("a\nOK\n1"), std::string("a\r\nb"),
                                 std::string("\x1b[2J"), std::string(65, 'x')}) {
    CHECK(script("revoke", {"--note", bad, kFingerprint}).status == kRefused);
    CHECK(script("revoke", {"--by", bad, kFingerprint}).status == kRefused);
    CHECK(script("revoke", {"--reason", bad, kFingerprint}).status == kRefused);
  }
  CHECK(registry.everything() == before);
  const std::string odd = "it's \"$(id)\" `id` \\n * , ? END";
  CHECK(script("deactivate", {"--note", odd, kFingerprint}).status == kDone);
  CHECK(registry.hash(cert_key('1')).at("note") == odd);
}

TEST_CASE("who is not registered is told by 3", "[registry][scripts]") {
  Registry registry;
  for (const char* name : {"activate", "deactivate", "revoke", "status"}) {
    INFO(name);
    const Ran ran = script(name, {kFingerprint});
    CHECK(ran.status == kMissing);
    CHECK_THAT(ran.err, ContainsSubstring("no record"));
  }
  CHECK(registry.everything().empty());
}

TEST_CASE("a Redis that is not there is told by 4", "[registry][scripts]") {
  const std::string url = "redis://127.0.0.1:" + std::to_string(free_port());
  for (const char* name : {"activate", "deactivate", "revoke", "status"}) {
    INFO(name);
    const Ran ran = script(name, {kFingerprint}, {{"LEAFGATE_REDIS_URL", url}});
    CHECK(ran.status == kUnreachable);
    CHECK_THAT(ran.err, ContainsSubstring("Connection refused"));
  }
}

TEST_CASE("settings that cannot be right are refused before anything is sent",
          "[registry][scripts]") {
  Registry registry;
  registry.hset(cert_key('1'), {{"state", "active"}});
  for (const std::string url :
       {"rediss://", "rediss://op:hunter2@h", "redis-sentinel://h", "redis-sentinel:///s",
        "redis-sentinel://h/", "redis-sentinel://h/a b", "redis-sentinel://op:hunter2@h/s",
        "redis-sentinel://h/s?db=x", "http://h", "h:1", "redis://", "redis://h:x", "redis://h/x",
        "redis://op:hunter2@h", "redis://:hunter2@h"}) {
    INFO(url);
    const Ran ran = script("deactivate", {kFingerprint}, {{"LEAFGATE_REDIS_URL", url}});
    CHECK(ran.status == kUsage);
    CHECK(ran.err.find("hunter2") == std::string::npos);
  }
  for (const std::string& prefix :
       {std::string("leafgate"), std::string("a b:"), std::string("a*:"), std::string("a\nb:"),
        std::string(64, 'a') + ":"}) {
    INFO(prefix);
    CHECK(script("deactivate", {kFingerprint}, {{"LEAFGATE_PREFIX", prefix}}).status == kUsage);
  }
  CHECK(registry.hash(cert_key('1')) == Hash{{"state", "active"}});
}

TEST_CASE("prefix, database, socket and log-in come from the environment", "[registry][scripts]") {
  TempDir dir;
  RedisServer server({.arguments = {"--unixsocket", dir / "redis.sock"}});
  const std::string key = "other:cert:" + kFingerprint;
  REQUIRE(server.cli({"-n", "3", "HSET", key, "state", "active"}) == "1");
  REQUIRE(server.cli({"ACL", "SETUSER", "op", "on", ">pass word", "~other:*", "+@all"}) == "OK");
  const auto deactivate = [&](const std::string& url, const std::string& password) {
    std::map<std::string, std::string> env = {{"LEAFGATE_REDIS_URL", url},
                                              {"LEAFGATE_PREFIX", "other:"}};
    if (!password.empty()) env["REDISCLI_AUTH"] = password;
    return script("deactivate", {kFingerprint}, env);
  };
  const std::string port = std::to_string(server.port());
  const auto state = [&] { return server.cli({"-n", "3", "HGET", key, "state"}); };

  SECTION("a socket") {
    CHECK(deactivate("unix://" + (dir / "redis.sock") + "?db=3", "").status == kDone);
    CHECK(state() == "inactive");
  }
  SECTION("a user") {
    CHECK(deactivate("redis://op@127.0.0.1:" + port + "/3", "pass word").status == kDone);
    CHECK(state() == "inactive");
  }
  SECTION("a wrong password changes nothing, although the default user may do all") {
    const Ran ran = deactivate("redis://op@127.0.0.1:" + port + "/3", "wrong");
    CHECK(ran.status == kRefused);
    CHECK_THAT(ran.err, ContainsSubstring("log-in"));
    CHECK(state() == "active");
  }
  SECTION("a user without a password") {
    CHECK(deactivate("redis://op@127.0.0.1:" + port + "/3", "").status == kUsage);
    CHECK(state() == "active");
  }
  SECTION("a database that does not exist") {
    CHECK(deactivate("redis://127.0.0.1:" + port + "/99", "").status == kRefused);
    CHECK(state() == "active");
  }
}

TEST_CASE("rediss:// is TLS, with the files that the environment names", "[registry][scripts]") {
  TlsRedis redis("yes");
  const CertFiles ours = redis.pki.issue({});
  const std::string key = "leafgate:cert:" + kFingerprint;
  REQUIRE(redis.server.cli({"HSET", key, "state", "active"}) == "1");
  std::map<std::string, std::string> env = {{"LEAFGATE_REDIS_URL", redis.url()},
                                            {"LEAFGATE_TLS_CERT", ours.certificate},
                                            {"LEAFGATE_TLS_KEY", ours.key}};

  const Ran stranger = script("deactivate", {kFingerprint}, env);
  CHECK(stranger.status == kUnreachable);
  CHECK_THAT(stranger.err, ContainsSubstring("certificate verify failed"));
  CHECK(redis.server.cli({"HGET", key, "state"}) == "active");

  env["LEAFGATE_TLS_CA"] = redis.pki.ca_file();
  CHECK(script("deactivate", {kFingerprint}, env).status == kDone);
  CHECK(redis.server.cli({"HGET", key, "state"}) == "inactive");
}

TEST_CASE("redis-sentinel:// is the master that most sentinels name", "[registry][scripts]") {
  SentinelTrio trio;
  const std::string key = "leafgate:cert:" + kFingerprint;
  REQUIRE(trio.first.cli({"HSET", key, "state", "active"}) == "1");
  const RedisServer stranger;
  const auto mislead = [&stranger](const Sentinel& sentinel) {
    sentinel.cli({"sentinel", "remove", "fleet"});
    const std::string port = std::to_string(stranger.port());
    sentinel.cli({"sentinel", "monitor", "fleet", "127.0.0.1", port, "2"});
  };
  const std::map<std::string, std::string> env = {{"LEAFGATE_REDIS_URL", trio.url()}};

  mislead(trio.sentinels[0]);
  const Ran done = script("deactivate", {kFingerprint}, env);
  CHECK(done.err == "");
  CHECK(done.status == kDone);
  CHECK(trio.first.cli({"HGET", key, "state"}) == "inactive");

  trio.sentinels[1].cli({"sentinel", "remove", "fleet"});
  const Ran split = script("activate", {kFingerprint}, env);
  CHECK(split.status == kUnreachable);
  CHECK_THAT(split.err, ContainsSubstring("no majority"));
  CHECK(trio.first.cli({"HGET", key, "state"}) == "inactive");
}

TEST_CASE("with sentinels TLS is what LEAFGATE_TLS_CA asks for", "[registry][scripts]") {
  const TlsRedis redis;
  const int port = free_port();
  const Sentinel sentinel(redis.port, redis.sentinel_settings(port));
  const std::string key = "leafgate:cert:" + kFingerprint;
  REQUIRE(redis.server.cli({"HSET", key, "state", "active"}) == "1");
  REQUIRE(eventually([&] { return sentinel.named() == std::to_string(redis.port); }));

  const Ran ran = script(
      "deactivate", {kFingerprint},
      {{"LEAFGATE_REDIS_URL", "redis-sentinel://127.0.0.1:" + std::to_string(port) + "/fleet"},
       {"LEAFGATE_TLS_CA", redis.pki.ca_file()}});
  CHECK(ran.err == "");
  CHECK(ran.status == kDone);
  CHECK(redis.server.cli({"HGET", key, "state"}) == "inactive");
}

std::string status_of(const Hash& record) {
  Registry registry;
  registry.hset(cert_key('1'), record);
  const Ran ran = script("status", {kFingerprint});
  CHECK(ran.status == kDone);
  return ran.out;
}

TEST_CASE("status says whether a certificate is admitted, and why not", "[registry][scripts]") {
  const std::string past = "1000000000";
  const std::string future = "4102444800";
  struct Case {
    Hash record;
    std::string said;
  };
  const auto c = GENERATE_COPY(values<Case>({
      {{{"state", "active"}}, "yes"},
      {{{"state", "active"}, {"not_before", past}, {"not_after", future}}, "yes"},
      {{{"state", "active"}, {"not_before", future}}, "no: it is not valid yet"},
      {{{"state", "active"}, {"not_after", past}}, "no: it has expired"},
      {{{"state", "active"}, {"revoked_at", past}}, "no: it is revoked"},
      {{{"state", "pending"}}, "no: it is pending"},
      {{{"state", "inactive"}}, "no: it is inactive"},
      {{{"state", "retired"}}, "no: it is retired"},
      {{{"state", "retiring"}, {"retire_at", future}}, "yes"},
      {{{"state", "retiring"}, {"retire_at", past}}, "no: its retirement has come"},
      {{{"state", "retiring"}}, "no: it is retiring without a date"},
      {{{"state", "ACTIVE"}}, "no: its state is none of ours"},
      {{{"device", "dev1"}}, "no: its state is none of ours"},
  }));

  CHECK_THAT(status_of(c.record), ContainsSubstring("admits now    " + c.said));
}

TEST_CASE("status knows blocks", "[registry][scripts]") {
  Registry registry;
  registry.hset(cert_key('1'), {{"state", "active"},
                                {"device", "Gerät 1"},
                                {"issuer", "0a1b"},
                                {"not_before", "1700000000"}});
  const auto says = [&] { return script("status", {kFingerprint}).out; };

  registry.apply(change(Op::kBlock, "leafgate:block:device:Gerät 1", {{"before", "1700000000"}}));
  CHECK_THAT(says(), ContainsSubstring("yes"));
  registry.apply(change(Op::kBlock, "leafgate:block:device:Gerät 1", {{"before", "1700000001"}}));
  CHECK_THAT(says(), ContainsSubstring("no: its device is blocked for certificates from before"));
  registry.apply(change(Op::kBlock, "leafgate:block:device:Gerät 1"));
  CHECK_THAT(says(), ContainsSubstring("no: its device is blocked\n"));
  registry.apply(change(Op::kBlock, "leafgate:block:issuer:0a1b"));
  CHECK_THAT(says(), ContainsSubstring("no: its issuer is blocked\n"));
}

TEST_CASE("what stands in a record cannot forge a line or steer a terminal",
          "[registry][scripts]") {
  const std::string out = status_of({{"state", "inactive"},
                                     {"note", "x\nadmits now    yes\r\x1b[2J"},
                                     {"device", "\x1b]0;owned\x07"},
                                     {"issuer", "a\nb"}});

  CHECK(out.find('\x1b') == std::string::npos);
  CHECK(out.find('\r') == std::string::npos);
  CHECK(out.find("\nadmits now    yes") == std::string::npos);
}

TEST_CASE("status without a certificate shows data set, counts and brokers",
          "[registry][scripts]") {
  Registry registry;
  REQUIRE(registry.writer.init("cn", false, "tester").ok());
  registry.apply(
      change(Op::kImport, cert_key('1'), {{"state", "active"}, {"not_after", "4102444800"}}));
  registry.hset("leafgate:broker:gateway-1", {{"mode", "enforce"}, {"sessions", "12"}});
  registry.hset("leafgate:broker:evil\nname", {{"mode", "enforce"}});
  registry.hset("other:broker:gateway-2", {{"mode", "enforce"}});

  const Ran ran = script("status", {});

  CHECK(ran.status == kDone);
  CHECK_THAT(ran.out, ContainsSubstring(registry.hash("leafgate:meta").at("id")));
  CHECK_THAT(ran.out, ContainsSubstring("device id     cn"));
  CHECK_THAT(ran.out, ContainsSubstring("certificates  1 "));
  CHECK_THAT(ran.out, ContainsSubstring("gateway-1   mode=enforce sessions=12\n"));
  CHECK(ran.out.find("gateway-2") == std::string::npos);
  CHECK(ran.out.find("evil") == std::string::npos);
}

TEST_CASE("a record of another type is refused, not shown", "[registry][scripts]") {
  Registry registry;
  registry.call({"SET", cert_key('1'), "active"});

  CHECK(script("status", {kFingerprint}).status == kRefused);
  CHECK(script("activate", {kFingerprint}).status == kRefused);
}

TEST_CASE("every script explains itself", "[registry][scripts]") {
  for (const char* name : {"activate", "deactivate", "revoke", "status"}) {
    INFO(name);
    const Ran ran = script(name, {"--help"}, {{"LEAFGATE_REDIS_URL", "nonsense"}});
    CHECK(ran.status == kDone);
    CHECK_THAT(ran.out, ContainsSubstring("usage: " + std::string(name)));
    CHECK_THAT(ran.out, ContainsSubstring("LEAFGATE_REDIS_URL"));
  }
}

}  // namespace
}  // namespace leafgate::test
