// SPDX-License-Identifier: Apache-2.0
// What a Redis can say that it should not.
#include <algorithm>

#include "tests/catch.h"
#include "tests/registry/fake_redis.h"
#include "tests/registry/sync_fixture.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::SyncState;

namespace {

const registry::Schema kSchema;
const policy::Fingerprint kA = fingerprint(1);
const std::string kKeyA = kSchema.cert(kA);

registry::SyncOptions options_for(const FakeRedis& redis) {
  registry::SyncOptions options;
  options.endpoint = redis.endpoint();
  options.broker = "gateway-1";
  options.device_id_rule = "cn";
  options.pulse_interval = milliseconds(20);
  options.answer_deadline = milliseconds(400);
  options.backoff_max = milliseconds(20);
  return options;
}

// Live, and deaf neither to what is there nor to what changes now.
bool works(FakeRedis& redis, const Watcher& watcher) {
  redis.set(kKeyA, "revoked");
  if (!watcher.sees(kA, "revoked") || !watcher.settled()) return false;
  redis.set(kKeyA, "active");
  return watcher.sees(kA, "active") && watcher.live();
}

std::size_t place(const std::vector<std::string>& commands, const std::string& begin) {
  const auto at = std::find_if(commands.begin(), commands.end(), [&](const std::string& command) {
    return command.rfind(begin, 0) == 0;
  });
  return static_cast<std::size_t>(at - commands.begin());
}

}  // namespace

TEST_CASE("S is subscribed before D redirects to it, and both speak RESP2", "[sync]") {
  FakeRedis redis;
  Watcher watcher(options_for(redis));
  REQUIRE(watcher.live());
  const std::vector<std::string> commands = redis.commands();
  const std::size_t subscribe = place(commands, "SUBSCRIBE __redis__:invalidate");
  const std::size_t track = place(commands, "CLIENT TRACKING ON REDIRECT");
  const std::size_t pulse = place(commands, "SET leafgate:pulse:gateway-1:");
  const std::size_t scan = place(commands, "SCAN 0");
  CHECK(subscribe < track);
  CHECK(track < pulse);
  CHECK(pulse < scan);
  REQUIRE(scan < commands.size());
  CHECK(commands[track].find("NOLOOP") == std::string::npos);
  CHECK(place(commands, "HELLO") == commands.size());
  // Redis tells of the prefixes in byte order: the pulse must come last.
  const std::size_t block = commands[track].find("PREFIX leafgate:block:");
  const std::size_t cert = commands[track].find("PREFIX leafgate:cert:");
  const std::size_t last = commands[track].find("PREFIX leafgate:pulse:gateway-1:");
  CHECK(block != std::string::npos);
  CHECK(cert != std::string::npos);
  CHECK(last != std::string::npos);
}

TEST_CASE("replies torn into single bytes are understood", "[sync]") {
  FakeRedis redis;
  redis.tear(true);
  redis.set(kKeyA, "pending");
  Watcher watcher(options_for(redis));
  REQUIRE(watcher.live());
  CHECK(watcher.sees(kA, "pending"));
  CHECK(works(redis, watcher));
}

TEST_CASE("an error in any place is survived, and the truth comes after it", "[sync]") {
  FakeRedis redis;
  redis.set(kKeyA, "inactive");
  Watcher watcher(options_for(redis));
  REQUIRE(watcher.live());
  for (const char* const error :
       {"LOADING Redis is loading the dataset in memory", "BUSY Redis is busy running a script",
        "MASTERDOWN Link with MASTER is down", "NOPERM this user has no permissions",
        "READONLY You can't write against a read only replica.", "OOM command not allowed",
        "NOREPLICAS Not enough good replicas to write.", "MOVED 1 127.0.0.1:1", "ERR what"}) {
    for (const char* const command :
         {"CLIENT", "SUBSCRIBE", "ROLE", "SET", "HMGET", "PEXPIRETIME", "SCAN", "INFO", "EXEC"}) {
      INFO(command << ": " << error);
      redis.misanswer(command, std::string("-") + error + "\r\n", 2);
      redis.close_subscribers();
      REQUIRE(works(redis, watcher));
    }
  }
}

TEST_CASE("an error that lasts is named, and logged once", "[sync]") {
  FakeRedis redis;
  redis.set(kKeyA, "active");
  Watcher watcher(options_for(redis));
  REQUIRE(watcher.sees(kA, "active"));
  redis.misanswer("SCAN", "-LOADING Redis is loading the dataset in memory\r\n", 20);
  redis.close_subscribers();
  REQUIRE(eventually(
      [&] { return watcher.sync.status().last_error.find("LOADING") != std::string::npos; }));
  CHECK(watcher.replica.find(kA)->state == policy::CertState::kActive);
  CHECK(works(redis, watcher));
  const std::string log = watcher.log();
  const std::size_t first = log.find("LOADING");
  REQUIRE(first != std::string::npos);
  CHECK(log.find("LOADING", first + 1) == std::string::npos);
}

TEST_CASE("nonsense in any place is survived", "[sync]") {
  FakeRedis redis;
  redis.set(kKeyA, "inactive");
  Watcher watcher(options_for(redis));
  REQUIRE(watcher.live());
  for (const char* const nonsense :
       {"?\r\n", ":5\r\n", "$-1\r\n", "*-1\r\n", "*0\r\n", "*1\r\n:1\r\n", "+\r\n",
        "*2\r\n$1\r\n0\r\n:1\r\n", "*2\r\n$-1\r\n*1\r\n*1\r\n:1\r\n", "$2000000000\r\nx",
        "*2000000000\r\n", "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", "",
        "+OK\r\n+OK\r\n"}) {
    for (const char* const command :
         {"CLIENT", "SUBSCRIBE", "ROLE", "SET", "HMGET", "PEXPIRETIME", "SCAN", "INFO", "EXEC"}) {
      INFO(command << " answered by `" << nonsense << "`");
      redis.misanswer(command, nonsense, 1);
      redis.close_subscribers();
      REQUIRE(works(redis, watcher));
    }
  }
}

TEST_CASE("a message on S that nobody understands means everything may have changed", "[sync]") {
  FakeRedis redis;
  redis.set(kKeyA, "active");
  Watcher watcher(options_for(redis));
  REQUIRE(watcher.live());
  for (const char* const message :
       {"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$-1\r\n",
        "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n:1\r\n",
        "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n$1\r\nx\r\n", "+hello\r\n",
        "*1\r\n$4\r\nwhat\r\n"}) {
    INFO(message);
    const auto scans = watcher.sync.status().full_syncs;
    redis.tell(message);
    CHECK(eventually([&] { return watcher.sync.status().full_syncs > scans; }));
    CHECK(works(redis, watcher));
  }
  CHECK(watcher.sync.status().connects == 1);
}

TEST_CASE("a connection that falls silent ends the link", "[sync]") {
  FakeRedis redis;
  Watcher watcher(options_for(redis));
  REQUIRE(watcher.live());
  const bool hearing = GENERATE(true, false);
  INFO((hearing ? "S" : "D"));
  redis.mute(hearing, !hearing);
  redis.set(kKeyA, "active");
  CHECK(eventually([&] { return watcher.sync.status().state != SyncState::kLive; }));
  CHECK_THAT(watcher.sync.status().last_error, ContainsSubstring("does not answer"));
  redis.mute(false, false);
  CHECK(works(redis, watcher));
  CHECK(watcher.sync.status().connects >= 2);
}

TEST_CASE("a server that never takes a pulse is not called fresh", "[sync]") {
  FakeRedis redis;
  redis.set(kKeyA, "active");
  redis.misanswer("SET", "-OOM command not allowed when used memory > 'maxmemory'.\r\n", 1 << 30);
  Watcher watcher(options_for(redis));
  REQUIRE(watcher.live());
  const auto age = *watcher.sync.age();
  CHECK(eventually([&] { return *watcher.sync.age() > age + milliseconds(200); }));
  CHECK(watcher.sync.status().connects == 1);
  redis.misanswer("SET", "", 0);
  CHECK(watcher.settled());
}
