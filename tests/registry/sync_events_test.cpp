// SPDX-License-Identifier: Apache-2.0
// Every way a key can change in Redis reaches the replica.
#include <cstdlib>
#include <thread>

#include "tests/catch.h"
#include "tests/registry/sync_fixture.h"
#include "tests/support/delay_proxy.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Command;
using registry::Reply;
using registry::Schema;
using registry::SyncOptions;

namespace {

const Schema kSchema;
const policy::Fingerprint kA = fingerprint(1);
const policy::Fingerprint kB = fingerprint(2);
const std::string kKeyA = kSchema.cert(kA);
const std::string kKeyB = kSchema.cert(kB);
const std::string kElsewhere = "other:thing";

policy::Time time_now() {
  return std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
}

enum class How { kPlain, kPipelined, kMulti, kLua };

std::string name_of(How how) {
  switch (how) {
    case How::kPlain:
      return "plain";
    case How::kPipelined:
      return "pipelined";
    case How::kMulti:
      return "MULTI";
    case How::kLua:
      return "Lua";
  }
  return "";
}

std::vector<Command> as(How how, std::vector<Command> commands) {
  if (how == How::kMulti) {
    commands.insert(commands.begin(), {"MULTI"});
    commands.push_back({"EXEC"});
  }
  if (how == How::kLua) {
    for (Command& command : commands) {
      Command eval{"EVAL", "return redis.call(unpack(ARGV))", "0"};
      eval.insert(eval.end(), command.begin(), command.end());
      command = eval;
    }
  }
  return commands;
}

void run_commands(const RedisServer& redis, How how, const std::vector<Command>& commands) {
  registry::Client client = redis.client();
  if (how == How::kPlain) {
    for (const Command& command : commands) {
      const Reply reply = client.call(command).value();
      INFO(command[0] << ": " << reply.text().value_or(""));
      REQUIRE_FALSE(reply.is_error());
    }
    return;
  }
  const std::vector<Reply> replies = client.pipeline(as(how, commands)).value();
  for (const Reply& reply : replies) {
    INFO(reply.text().value_or(""));
    REQUIRE_FALSE(reply.is_error());
  }
}

struct Row {
  std::string name;
  std::vector<Command> before;
  std::vector<Command> act;
  std::string a;  // what becomes of kA and kB
  std::string b = "none";
};

// The rows of one server, each from an empty registry.
std::vector<Row> rows() {
  const Command active{"HSET", kKeyA, "state", "active"};
  const Command outside{"HSET", kElsewhere, "state", "active"};
  const Command other_type{"SET", kKeyB, "text"};
  return {
      {"HSET of a new key", {}, {active}, "active"},
      {"HSET of another state", {active}, {{"HSET", kKeyA, "state", "inactive"}}, "inactive"},
      {"HSET of the same state", {active}, {active}, "active"},
      {"HSETNX of a field that is there", {active}, {{"HSETNX", kKeyA, "state", "x"}}, "active"},
      {"HSET of an unknown state", {active}, {{"HSET", kKeyA, "state", "on"}}, "malformed"},
      {"HSET of revoked_at", {active}, {{"HSET", kKeyA, "revoked_at", "1"}}, "revoked"},
      {"HDEL of the only field", {active}, {{"HDEL", kKeyA, "state"}}, "none"},
      {"HDEL of the state",
       {active, {"HSET", kKeyA, "retire_at", "9"}},
       {{"HDEL", kKeyA, "state"}},
       "malformed"},
      {"DEL", {active}, {{"DEL", kKeyA}}, "none"},
      {"UNLINK", {active}, {{"UNLINK", kKeyA}}, "none"},
      {"SET over a hash", {active}, {{"SET", kKeyA, "active"}}, "malformed"},
      {"SET and then GETDEL", {active}, {{"SET", kKeyA, "x"}, {"GETDEL", kKeyA}}, "none"},
      {"SORT STORE over a hash",
       {active, {"RPUSH", kElsewhere, "1", "2"}},
       {{"SORT", kElsewhere, "STORE", kKeyA}},
       "malformed"},
      {"RENAME into the prefix", {outside}, {{"RENAME", kElsewhere, kKeyA}}, "active"},
      {"RENAME out of the prefix", {active}, {{"RENAME", kKeyA, kElsewhere}}, "none"},
      {"RENAME within the prefix", {active}, {{"RENAME", kKeyA, kKeyB}}, "none", "active"},
      {"RENAME over another certificate",
       {active, {"HSET", kKeyB, "state", "revoked"}},
       {{"RENAME", kKeyA, kKeyB}},
       "none",
       "active"},
      {"RENAME there and back",
       {active},
       {{"RENAME", kKeyA, kElsewhere}, {"RENAME", kElsewhere, kKeyB}, {"RENAME", kKeyB, kKeyA}},
       "active"},
      {"COPY", {active}, {{"COPY", kKeyA, kKeyB}}, "active", "active"},
      {"COPY REPLACE",
       {active, other_type},
       {{"COPY", kKeyA, kKeyB, "REPLACE"}},
       "active",
       "active"},
      {"MOVE to another database", {active}, {{"MOVE", kKeyA, "1"}}, "none"},
      {"PEXPIREAT in the past", {active}, {{"PEXPIREAT", kKeyA, "1000"}}, "none"},
      {"DEL and HSET again", {active}, {{"DEL", kKeyA}, active}, "active"},
      {"FLUSHALL", {active}, {{"FLUSHALL"}}, "none"},
      {"FLUSHALL SYNC", {active}, {{"FLUSHALL", "SYNC"}}, "none"},
      {"FLUSHALL ASYNC", {active}, {{"FLUSHALL", "ASYNC"}}, "none"},
      {"FLUSHDB", {active}, {{"FLUSHDB"}}, "none"},
      {"FLUSHALL between writes",
       {active},
       {{"HSET", kKeyA, "state", "inactive"}, {"FLUSHALL"}, {"HSET", kKeyB, "state", "active"}},
       "none",
       "active"},
      {"two FLUSHALL", {active}, {{"FLUSHALL"}, active, {"FLUSHALL"}}, "none"},
  };
}

}  // namespace

TEST_CASE("every change of a key reaches the replica, however it is sent", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  for (const How how : {How::kPlain, How::kPipelined, How::kMulti, How::kLua}) {
    for (const Row& row : rows()) {
      INFO(row.name << ", " << name_of(how));
      run_commands(redis, How::kPipelined, {{"FLUSHALL"}});
      run_commands(redis, How::kPipelined, row.before);
      REQUIRE(watcher.settled());
      REQUIRE(differences(redis, watcher.replica) == "");

      run_commands(redis, how, row.act);

      CHECK(watcher.sees(kA, row.a));
      CHECK(watcher.sees(kB, row.b));
      REQUIRE(watcher.settled());
      CHECK(differences(redis, watcher.replica) == "");
    }
  }
  CHECK(watcher.sync.status().connects == 1);
  CHECK(watcher.sync.status().repairs == 0);
}

TEST_CASE("RESTORE brings a record, and REPLACE another", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  registry::Client client = redis.client();
  REQUIRE(client.call({"HSET", kElsewhere, "state", "active"}).ok());
  const std::string active(*client.call({"DUMP", kElsewhere}).value().text());
  REQUIRE(client.call({"HSET", kElsewhere, "state", "retired"}).ok());
  const std::string retired(*client.call({"DUMP", kElsewhere}).value().text());

  REQUIRE_FALSE(client.call({"RESTORE", kKeyA, "0", active}).value().is_error());
  CHECK(watcher.sees(kA, "active"));
  REQUIRE_FALSE(client.call({"RESTORE", kKeyA, "0", retired, "REPLACE"}).value().is_error());
  CHECK(watcher.sees(kA, "retired"));
}

TEST_CASE("a flush of another database changes nothing for long", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.cli({"hset", kKeyA, "state", "active"});
  REQUIRE(watcher.sees(kA, "active"));
  redis.cli({"-n", "5", "flushdb"});
  REQUIRE(watcher.settled());
  CHECK(watcher.replica.find(kA)->state == policy::CertState::kActive);
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("a database other than 0 is read, and no other", "[sync]") {
  RedisServer redis;
  redis.cli({"-n", "3", "hset", kKeyA, "state", "active"});
  redis.cli({"hset", kKeyB, "state", "active"});
  registry::SyncOptions options = Watcher::options(redis);
  options.endpoint.database = 3;
  Watcher watcher(options);
  REQUIRE(watcher.live());
  CHECK(watcher.sees(kA, "active"));
  CHECK(watcher.sees(kB, "none"));
  redis.cli({"-n", "3", "hset", kKeyA, "state", "inactive"});
  CHECK(watcher.sees(kA, "inactive"));
  redis.cli({"-n", "3", "flushdb"});
  CHECK(watcher.sees(kA, "none"));
}

TEST_CASE("SWAPDB shows by the data set's id", "[sync]") {
  RedisServer redis;
  redis.cli({"hset", "leafgate:meta", "id", "one"});
  redis.cli({"hset", kKeyA, "state", "active"});
  redis.cli({"-n", "1", "hset", "leafgate:meta", "id", "two"});
  Watcher watcher(redis);
  REQUIRE(watcher.sees(kA, "active"));
  redis.cli({"-n", "1", "hset", kKeyA, "state", "inactive"});
  redis.cli({"swapdb", "0", "1"});
  CHECK(watcher.sees(kA, "inactive"));
}

TEST_CASE("a key's TTL ends its record to the millisecond, without a word from Redis", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.cli({"hset", kKeyA, "state", "active"});
  redis.cli({"pexpireat", kKeyA, "1999999999123"});
  const policy::Time end{milliseconds(1999999999123)};
  CHECK(eventually([&] {
    const auto record = watcher.replica.find(kA);
    return record && record->gone_at == end;
  }));
  redis.cli({"persist", kKeyA});
  CHECK(eventually([&] { return watcher.replica.find(kA)->gone_at == policy::kNever; }));
}

TEST_CASE("a TTL set before the start is known after the first scan", "[sync]") {
  RedisServer redis;
  const int with_ttl = GENERATE(1, 5000);  // found by the proof; too many for it
  registry::Client client = redis.client();
  std::vector<Command> commands;
  for (int i = 0; i < 6000; ++i) {
    const std::string key = kSchema.cert(fingerprint(static_cast<std::uint64_t>(i)));
    commands.push_back({"HSET", key, "state", "active"});
    if (i < with_ttl) commands.push_back({"PEXPIREAT", key, "1999999999123"});
  }
  REQUIRE(client.pipeline(commands).ok());

  Watcher watcher(redis);

  REQUIRE(watcher.live());
  CHECK(watcher.replica.find(fingerprint(0))->gone_at != policy::kNever);
  CHECK(watcher.replica.find(fingerprint(5999))->gone_at == policy::kNever);
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("short TTLs end their records on time among many far ones, without a word from Redis",
          "[sync]") {
  // A million in the nightly run.
  const char* wanted = std::getenv("LEAFGATE_FAR_TTLS");
  const std::uint64_t far = wanted != nullptr ? std::strtoull(wanted, nullptr, 10) : 20'000;
  constexpr std::uint64_t kShort = 20;
  RedisServer redis({.arguments = {"--enable-debug-command", "yes"}});
  redis.cli({"debug", "set-active-expire", "0"});
  registry::Client client = redis.client();
  std::vector<Command> commands;
  for (std::uint64_t i = 0; i < far; ++i) {
    const std::string key = kSchema.cert(fingerprint(i));
    commands.push_back({"HSET", key, "state", "active"});
    commands.push_back({"PEXPIREAT", key, "1999999999123"});
    if (commands.size() < 2000 && i + 1 < far) continue;
    REQUIRE(client.pipeline(commands).ok());
    commands.clear();
  }
  Watcher watcher(redis);
  REQUIRE(watcher.live(std::chrono::minutes(2)));

  const policy::Time end = time_now() + milliseconds(2000);
  for (std::uint64_t i = 0; i < kShort; ++i) {
    commands.push_back({"PEXPIREAT", kSchema.cert(fingerprint(i * (far / kShort))),
                        std::to_string(end.time_since_epoch().count())});
  }
  REQUIRE(client.pipeline(commands).ok());

  for (std::uint64_t i = 0; i < kShort; ++i) {
    CHECK(eventually([&] {
      const auto record = watcher.replica.find(fingerprint(i * (far / kShort)));
      return record && record->gone_at == end;
    }));
  }
  std::this_thread::sleep_until(end);
  const policy::Time now = time_now();
  std::uint64_t admitted = 0;
  for (std::uint64_t i = 0; i < far; ++i) {
    const auto record = watcher.replica.find(fingerprint(i));
    admitted += record && record->gone_at > now ? 1 : 0;
  }
  CHECK(admitted == far - kShort);
}

TEST_CASE("a Redis that is far away is read in few pages", "[sync]") {
  RedisServer redis;
  fill(redis, 4000);
  DelayProxy line(redis.port());
  line.set_delay(milliseconds(5));
  registry::SyncOptions options = Watcher::options(redis);
  options.endpoint.port = static_cast<std::uint16_t>(line.port());
  redis.cli({"config", "resetstat"});

  Watcher watcher(options);

  REQUIRE(watcher.live());
  const std::string calls = "cmdstat_scan:calls=";
  const std::string stats = redis.cli({"info", "commandstats"});
  REQUIRE(stats.find(calls) != std::string::npos);
  CHECK(std::atoi(stats.c_str() + stats.find(calls) + calls.size()) <= 6);  // 16 of 256 keys
}

TEST_CASE("other keys with a TTL do not hide a certificate's", "[sync]") {
  RedisServer redis;
  Watcher first(redis, "gateway-1");  // its pulse has a TTL
  REQUIRE(first.live());
  redis.cli({"set", "cache:1", "x", "ex", "1000"});
  redis.cli({"hset", kKeyA, "state", "active"});
  redis.cli({"pexpireat", kKeyA, "1999999999123"});
  redis.cli({"set", "leafgate:broker:gone", "x", "ex", "1000"});

  Watcher second(redis, "gateway-2");

  REQUIRE(second.live());
  CHECK(second.replica.find(kA)->gone_at == policy::Time(milliseconds(1999999999123)));
}

TEST_CASE("blocks are read with what they block", "[sync]") {
  RedisServer redis;
  redis.cli({"hset", "leafgate:block:device:dev1", "note", "lost"});
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  const auto device = [&](const char* id) { return watcher.replica.device_block(id); };
  CHECK(device("dev1") == policy::Block{});

  redis.cli({"hset", "leafgate:block:device:dev1", "before", "1700000000"});
  const policy::Block before{policy::Time(std::chrono::seconds(1700000000))};
  CHECK(eventually([&] { return device("dev1") == before; }));
  redis.cli({"hset", "leafgate:block:device:dev1", "before", "yesterday"});
  CHECK(eventually([&] { return device("dev1") == policy::Block{}; }));
  redis.cli({"set", "leafgate:block:issuer:ab12", "text"});
  CHECK(eventually([&] { return watcher.replica.issuer_block("ab12") == policy::Block{}; }));
  redis.cli({"del", "leafgate:block:device:dev1", "leafgate:block:issuer:ab12"});
  CHECK(eventually([&] { return !device("dev1") && !watcher.replica.issuer_block("ab12"); }));

  const registry::ChangeBatch batch = watcher.changes.take();
  CHECK((batch.all || (!batch.devices.empty() && !batch.issuers.empty())));
}

TEST_CASE("a block with a TTL ends although nobody asks Redis for it", "[sync]") {
  RedisServer redis({.arguments = {"--enable-debug-command", "yes"}});
  // Without the active cycle a key that nobody reads is never deleted, and never named.
  redis.cli({"debug", "set-active-expire", "0"});
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.cli({"hset", "leafgate:block:device:dev1", "note", "for a moment"});
  REQUIRE(eventually([&] { return watcher.replica.device_block("dev1").has_value(); }));
  redis.cli({"pexpire", "leafgate:block:device:dev1", "300"});
  CHECK(eventually([&] { return !watcher.replica.device_block("dev1").has_value(); }));
}

TEST_CASE("an end beyond any clock is none", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.cli({"hset", kKeyA, "state", "active"});
  redis.cli({"hset", "leafgate:block:device:dev1", "note", "for good"});
  for (const std::string& key : {kKeyA, std::string("leafgate:block:device:dev1")})
    redis.cli({"pexpireat", key, "9223372036854775800"});
  REQUIRE(watcher.settled());
  CHECK(watcher.replica.find(kA)->gone_at == policy::kNever);
  CHECK(watcher.replica.device_block("dev1").has_value());

  // A broker that read the block again and again would hide in nothing but its questions.
  const auto asked = [&] {
    const std::string stats = redis.cli({"info", "commandstats"});
    const std::string name = "cmdstat_pexpiretime:calls=";
    return std::stoul(stats.substr(stats.find(name) + name.size()));
  };
  const unsigned long before = asked();
  const std::uint64_t syncs = watcher.sync.status().invalidations;
  redis.cli({"hset", kKeyA, "state", "inactive"});
  REQUIRE(eventually([&] { return watcher.sync.status().invalidations > syncs; }));
  REQUIRE(watcher.settled());
  CHECK(asked() - before < 10);
}

TEST_CASE("a TTL that was taken away while nobody could tell ends nothing", "[sync]") {
  RedisServer redis;
  redis.cli({"hset", kKeyA, "state", "retiring", "retire_at", "4102444800"});
  SyncOptions options = Watcher::options(redis);
  options.age_at_start = milliseconds(1);
  const Watcher watcher(options, [](registry::Replica& replica) {
    const policy::Time soon{std::chrono::time_point_cast<milliseconds>(
        std::chrono::system_clock::now() + milliseconds(500))};
    replica.put(kA, {.state = policy::CertState::kRetiring, .gone_at = soon}, registry::kUnstamped);
  });
  REQUIRE(watcher.live());
  CHECK(watcher.replica.find(kA)->gone_at == policy::kNever);
  CHECK(watcher.replica.find(kA)->retire_at != policy::kNever);
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("names that are not canonical are no certificates and are counted", "[sync]") {
  RedisServer redis;
  const std::string hex = policy::to_hex(kA);
  std::string upper = hex;
  for (char& c : upper)
    c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  redis.cli({"hset", "leafgate:cert:" + upper, "state", "active"});
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  CHECK(watcher.replica.size() == 0);
  CHECK(watcher.sync.status().malformed == 1);

  for (const std::string& name : {hex.substr(1), hex + "0", hex.substr(0, 62) + "zz"}) {
    redis.cli({"hset", "leafgate:cert:" + name, "state", "active"});
  }
  redis.cli({"hset", "leafgate:block:device:a/b", "note", "x"});
  CHECK(eventually([&] { return watcher.sync.status().malformed == 5; }));
  REQUIRE(watcher.settled());
  CHECK(watcher.replica.size() == 0);
  CHECK_THAT(watcher.log(), ContainsSubstring("registry_key_unusable"));
}

TEST_CASE("evicted records are refused at once", "[sync]") {
  RedisServer redis;
  registry::Client client = redis.client();
  std::vector<Command> commands;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    commands.push_back({"HSET", kSchema.cert(fingerprint(i)), "state", "active"});
  }
  REQUIRE(client.pipeline(commands).ok());
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  REQUIRE(watcher.replica.size() == 20'000);

  redis.cli({"config", "set", "maxmemory-policy", "allkeys-random"});
  redis.cli({"config", "set", "maxmemory", "4mb"});
  redis.cli({"set", "trigger", "x"});

  CHECK(eventually([&] {
    return redis.cli({"info", "stats"}).find("evicted_keys:0\r") == std::string::npos;
  }));
  redis.cli({"config", "set", "maxmemory", "0"});
  REQUIRE(watcher.settled());
  CHECK(watcher.replica.size() < 20'000);
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("a script over more keys than S may buffer ends the link, not the truth", "[sync]") {
  RedisServer redis;
  constexpr const char* kScript =
      "for i = 1, tonumber(ARGV[1]) do "
      "redis.call('HSET', 'leafgate:cert:' .. string.format('%064x', i), 'state', ARGV[2]) end";
  redis.cli({"eval", kScript, "0", "30000", "active"});
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  REQUIRE(watcher.replica.size() == 30'000);

  SECTION("all within the buffer") {
    redis.cli({"eval", kScript, "0", "30000", "inactive"});
    REQUIRE(watcher.settled());
    CHECK(watcher.sync.status().connects == 1);
  }
  SECTION("beyond it") {
    redis.cli({"config", "set", "client-output-buffer-limit", "pubsub 512kb 0 0"});
    redis.cli({"eval", kScript, "0", "30000", "inactive"});
    CHECK(eventually([&] { return watcher.sync.status().connects == 2; }));
  }
  REQUIRE(watcher.settled());
  CHECK(watcher.replica.counts()[static_cast<std::size_t>(policy::CertState::kInactive)] == 30'000);
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("changes during the first scan are not lost", "[sync]") {
  RedisServer redis;
  constexpr std::uint64_t kRecords = 30'000;
  registry::Client client = redis.client();
  std::vector<Command> commands;
  for (std::uint64_t i = 0; i < kRecords; ++i) {
    commands.push_back({"HSET", kSchema.cert(fingerprint(i)), "state", "active"});
  }
  REQUIRE(client.pipeline(commands).ok());

  std::atomic<bool> done{false};
  std::thread writer([&] {
    registry::Client own = redis.client();
    for (std::uint64_t i = 0; !done; ++i) {
      const std::string key = kSchema.cert(fingerprint(i * 7919 % (kRecords + 1000)));
      const char* const states[] = {"active", "inactive"};
      static_cast<void>(i % 5 == 0 ? own.call({"DEL", key})
                                   : own.call({"HSET", key, "state", states[i % 2]}));
    }
  });
  Watcher watcher(redis);
  const bool synced = watcher.live();
  done = true;
  writer.join();

  REQUIRE(synced);
  REQUIRE(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("a flush during the first scan leaves nothing behind", "[sync]") {
  RedisServer redis;
  registry::Client client = redis.client();
  std::vector<Command> commands;
  for (std::uint64_t i = 0; i < 30'000; ++i) {
    commands.push_back({"HSET", kSchema.cert(fingerprint(i)), "state", "active"});
  }
  REQUIRE(client.pipeline(commands).ok());

  Watcher watcher(redis);
  REQUIRE(eventually([&] { return watcher.replica.size() > 1000; }));
  REQUIRE(client.pipeline({{"FLUSHALL"}, {"HSET", kKeyA, "state", "pending"}}).ok());

  REQUIRE(watcher.live());
  REQUIRE(watcher.settled());
  CHECK(watcher.replica.size() == 1);
  CHECK(watcher.sees(kA, "pending"));
  CHECK(differences(redis, watcher.replica) == "");
}
