// SPDX-License-Identifier: Apache-2.0
// The same data set without its latest writes: in the reconcile of that moment deny wins.
#include <atomic>
#include <new>

#include "registry/fence.h"
#include "tests/catch.h"
#include "tests/registry/sync_fixture.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Remembered;
using registry::Schema;
using registry::SyncOptions;

namespace {

const Schema kSchema;
const policy::Fingerprint kA = fingerprint(1);
const policy::Fingerprint kB = fingerprint(2);
const policy::Fingerprint kC = fingerprint(3);
const std::string kKeyA = kSchema.cert(kA);
const std::string kKeyB = kSchema.cert(kB);
const std::string kKeyC = kSchema.cert(kC);
const std::string kMeta = kSchema.meta();
const std::string kBlock = kSchema.block_device("pump-1");
constexpr std::chrono::seconds kLong{60};  // thousands of keys, in instrumented builds too
const std::string kRegressedA = "cert:" + policy::to_hex(kA);

SyncOptions with_audits(const RedisServer& redis) {
  SyncOptions options = Watcher::options(redis);
  options.reconcile_interval = std::chrono::seconds(1);
  return options;
}

// Saved: A and C active, seq 5. Written after that, and lost: A revoked, C inactive, B active, a
// block, seq 9.
void write_and_save(const RedisServer& redis) {
  redis.cli({"hset", kMeta, "id", "ours", "seq", "5", "confirmed", "1"});
  redis.cli({"hset", kKeyA, "state", "active"});
  redis.cli({"hset", kKeyC, "state", "active"});
  redis.cli({"save"});
  redis.cli({"hset", kKeyA, "revoked_at", "1"});
  redis.cli({"hset", kKeyC, "state", "inactive"});
  redis.cli({"hset", kKeyB, "state", "active"});
  redis.cli({"hset", kBlock, "note", "stolen"});
  redis.cli({"hset", kMeta, "seq", "9"});
}

void lose_writes(RedisServer& redis) {
  redis.kill();
  redis.restart();
}

std::string replication_offset(const RedisServer& redis) {
  const std::string info = redis.cli({"info", "replication"});
  const std::string name = "master_repl_offset:";
  const std::size_t at = info.find(name) + name.size();
  return info.substr(at, info.find('\r', at) - at);
}

bool regressed(const Watcher& watcher, std::uint64_t count) {
  return eventually([&] { return watcher.sync.status().regressions == count; }) &&
         watcher.settled();
}

bool audits(const Watcher& watcher, std::uint64_t times) {
  const std::uint64_t so_far = watcher.sync.status().full_syncs;
  return eventually([&] { return watcher.sync.status().full_syncs >= so_far + times; }, kLong);
}

bool denies_what_was_lost(const Watcher& watcher) {
  return watcher.sees(kA, "revoked", milliseconds(0)) &&
         watcher.sees(kC, "inactive", milliseconds(0)) && watcher.replica.device_block("pump-1");
}

}  // namespace

TEST_CASE("a revocation that Redis lost still refuses, in later scans too", "[loss]") {
  RedisServer redis;
  write_and_save(redis);
  Watcher watcher(with_audits(redis));
  REQUIRE(watcher.sees(kC, "inactive"));
  REQUIRE(watcher.sees(kA, "revoked"));
  REQUIRE(watcher.settled());
  CHECK(watcher.sync.remembered() == Remembered{"ours", 9, {}, "1"});

  lose_writes(redis);
  REQUIRE(regressed(watcher, 3));
  CHECK(denies_what_was_lost(watcher));
  CHECK(watcher.sees(kB, "none"));  // absence refuses
  CHECK(watcher.sync.status().held_id.empty());
  CHECK(watcher.sync.remembered().seq == 5);

  REQUIRE(audits(watcher, 2));
  CHECK(denies_what_was_lost(watcher));
  CHECK(watcher.sync.status().repairs == 0);
  CHECK_THAT(watcher.log(), ContainsSubstring("registry_regressed") &&
                                ContainsSubstring(kRegressedA) && ContainsSubstring("revoked"));
  const auto events = [&] { return redis.cli({"xrange", kSchema.events(), "-", "+"}); };
  CHECK(eventually([&] { return events().find(kRegressedA) != std::string::npos; }));
  CHECK_THAT(events(), ContainsSubstring("regressed") && ContainsSubstring("block:device:pump-1"));
}

TEST_CASE("a regression ends when its key is written, whatever is written", "[loss]") {
  RedisServer redis;
  write_and_save(redis);
  Watcher watcher(with_audits(redis));
  REQUIRE(watcher.settled());
  lose_writes(redis);
  REQUIRE(regressed(watcher, 3));

  redis.cli({"hset", kKeyA, "state", "active"});
  CHECK(watcher.sees(kA, "active"));
  redis.cli({"hset", kBlock, "note", "x"});
  redis.cli({"del", kBlock});
  CHECK(eventually([&] { return !watcher.replica.device_block("pump-1"); }));
  redis.cli({"del", kKeyC});
  CHECK(watcher.sees(kC, "none"));
  REQUIRE(regressed(watcher, 0));
  REQUIRE(audits(watcher, 2));
  CHECK(differences(redis, watcher.replica) == "");
  CHECK(watcher.sync.status().repairs == 0);
}

TEST_CASE("none of more regressions than can be remembered is forgotten, or kept from the list",
          "[loss]") {
  constexpr std::uint64_t kMany = registry::Fence::kRegressionsMax + 40;
  RedisServer redis;
  registry::Client client = redis.client();
  const auto write_all = [&](const std::string& state) {
    std::vector<registry::Command> commands;
    for (std::uint64_t i = 0; i < kMany; ++i)
      commands.push_back({"HSET", kSchema.cert(fingerprint(i)), "state", state});
    REQUIRE(client.pipeline(commands).ok());
  };
  const auto admitted = [](const Watcher& watcher) {
    return watcher.replica.counts()[static_cast<std::size_t>(policy::CertState::kActive)];
  };
  redis.cli({"hset", kMeta, "id", "ours", "seq", "5"});
  write_all("active");
  redis.cli({"save"});
  write_all("revoked");
  redis.cli({"hset", kMeta, "seq", "9"});
  Watcher watcher(with_audits(redis));
  REQUIRE(watcher.settled());

  lose_writes(redis);
  REQUIRE(regressed(watcher, registry::Fence::kRegressionsMax));
  CHECK(admitted(watcher) == 0);
  const auto events = [&] { return redis.cli({"xlen", kSchema.events()}); };
  CHECK(eventually([&] { return events() == std::to_string(registry::Fence::kRegressionsMax); },
                   kLong));

  redis.cli({"hset", kKeyA, "state", "revoked"});
  REQUIRE(audits(watcher, 2));
  CHECK(admitted(watcher) == 0);
  CHECK(watcher.sync.status().regressions == registry::Fence::kRegressionsMax);
}

TEST_CASE("a confirmation ends all regressions, and what Redis says counts", "[loss]") {
  RedisServer redis;
  write_and_save(redis);
  Watcher watcher(redis);
  REQUIRE(watcher.settled());
  lose_writes(redis);
  REQUIRE(regressed(watcher, 3));
  redis.cli({"hset", kMeta, "confirmed", "2"});
  REQUIRE(regressed(watcher, 0));
  CHECK(watcher.sees(kA, "active"));
  REQUIRE(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("a restart of the broker forgets no regression", "[loss]") {
  RedisServer redis;
  write_and_save(redis);
  redis.cli({"hset", kKeyA, "state", "active"});
  lose_writes(redis);
  SyncOptions options = with_audits(redis);
  options.remembered = {"ours", 5, {kRegressedA, "cert:" + policy::to_hex(kC)}, "1"};
  options.age_at_start = milliseconds(1);
  const Watcher watcher(options, [](registry::Replica& replica) {
    replica.put(kA, {.state = policy::CertState::kRevoked}, registry::kUnstamped);
  });
  REQUIRE(watcher.live());
  REQUIRE(audits(watcher, 2));
  CHECK(watcher.sees(kA, "revoked", milliseconds(0)));
  CHECK(watcher.sees(kC, "none", milliseconds(0)));
  CHECK(watcher.sync.status().regressions == 2);

  redis.cli({"hset", kKeyA, "state", "active"});
  CHECK(watcher.sees(kA, "active"));
  redis.cli({"hset", kMeta, "confirmed", "2"});
  CHECK(watcher.sees(kC, "active"));
}

TEST_CASE("a confirmation made while a broker was away ends what it kept", "[loss]") {
  RedisServer redis;
  write_and_save(redis);
  lose_writes(redis);
  redis.cli({"hset", kMeta, "confirmed", "2"});
  SyncOptions options = Watcher::options(redis);
  options.remembered = {"ours", 5, {kRegressedA}, "1"};
  options.age_at_start = milliseconds(1);
  const Watcher watcher(options, [](registry::Replica& replica) {
    replica.put(kA, {.state = policy::CertState::kRevoked}, registry::kUnstamped);
  });
  CHECK(watcher.sees(kA, "active"));
  CHECK(watcher.sync.status().regressions == 0);
}

TEST_CASE("a broker that was away notices a lower seq by what it remembers", "[loss]") {
  RedisServer redis;
  write_and_save(redis);
  lose_writes(redis);
  SyncOptions options = Watcher::options(redis);
  options.remembered = {"ours", 9, {}};
  options.age_at_start = milliseconds(1);
  const Watcher watcher(options, [](registry::Replica& replica) {
    replica.put(kA, {.state = policy::CertState::kRevoked}, registry::kUnstamped);
    replica.put_device_block("pump-1", {}, registry::kUnstamped);
  });
  REQUIRE(regressed(watcher, 2));
  CHECK(watcher.sees(kA, "revoked", milliseconds(0)));
  CHECK(watcher.sees(kC, "active", milliseconds(0)));
  CHECK(watcher.replica.device_block("pump-1"));
}

TEST_CASE("a block that comes back narrower than it was is kept as it was", "[loss]") {
  RedisServer redis;
  redis.cli({"hset", kMeta, "id", "ours", "seq", "5"});
  redis.cli({"hset", kBlock, "before", "1000"});
  redis.cli({"save"});
  redis.cli({"hset", kBlock, "before", "2000"});
  redis.cli({"hset", kMeta, "seq", "6"});
  Watcher watcher(redis);
  REQUIRE(watcher.settled());
  lose_writes(redis);
  REQUIRE(regressed(watcher, 1));
  CHECK(watcher.replica.device_block("pump-1")->before == policy::Time(std::chrono::seconds(2000)));
}

// The writes are bare HSETs: seq says nothing of them, the replication offset does.
TEST_CASE("a revocation that a failover lost still refuses", "[loss]") {
  for (const bool with_id : {true, false}) {
    INFO("with an id: " << with_id);
    RedisServer master;
    RedisServer other;
    if (with_id) master.cli({"hset", kMeta, "id", "ours", "seq", "5"});
    master.cli({"hset", kKeyA, "state", "active"});
    other.cli({"replicaof", "127.0.0.1", std::to_string(master.port())});
    REQUIRE(eventually([&] { return other.cli({"hget", kKeyA, "state"}) == "active"; }));
    Watcher watcher(with_audits(master));
    REQUIRE(watcher.sees(kA, "active"));

    // The replica is cut off, as by the network, and the master goes on for a while.
    other.cli({"replicaof", "no", "one"});
    master.cli({"hset", kKeyA, "state", "revoked"});
    REQUIRE(watcher.sees(kA, "revoked"));
    REQUIRE(watcher.settled());  // a pulse later: the offset has been seen
    REQUIRE(watcher.settled());
    master.kill();
    other.cli({"config", "set", "port", std::to_string(master.port())});

    REQUIRE(regressed(watcher, 1));
    CHECK(watcher.sees(kA, "revoked", milliseconds(0)));
    REQUIRE(audits(watcher, 2));
    CHECK(watcher.sees(kA, "revoked", milliseconds(0)));
    CHECK(watcher.sync.status().repairs == 0);
  }
}

TEST_CASE("a failover that lost nothing leaves no regression", "[loss]") {
  RedisServer master;
  RedisServer other;
  master.cli({"hset", kMeta, "id", "ours", "seq", "5"});
  master.cli({"hset", kKeyA, "state", "revoked"});
  other.cli({"replicaof", "127.0.0.1", std::to_string(master.port())});
  REQUIRE(eventually([&] { return other.cli({"hget", kKeyA, "state"}) == "revoked"; }));
  Watcher watcher(master);
  REQUIRE(watcher.sees(kA, "revoked"));
  REQUIRE(watcher.settled());
  // A pulse is a write as well: the replica must have all that the broker has seen.
  master.cli({"client", "pause", "60000", "write"});
  REQUIRE(eventually([&] { return replication_offset(other) == replication_offset(master); }));
  master.kill();
  other.cli({"replicaof", "no", "one"});
  other.cli({"hset", kKeyA, "state", "active"});
  other.cli({"config", "set", "port", std::to_string(master.port())});
  CHECK(watcher.sees(kA, "active"));
  CHECK(watcher.sync.status().regressions == 0);
}

TEST_CASE("whatever is thrown in the sync thread, the replica stays and the thread goes on",
          "[loss]") {
  RedisServer redis;
  redis.cli({"hset", kKeyA, "state", "active"});
  registry::Replica replica;
  registry::Changes changes;
  registry::Outbox outbox;
  log::Queue log;
  std::atomic<int> throws{0};
  registry::Sync sync(Watcher::options(redis), replica, changes, outbox, log, [&] {
    if (throws > 0 && throws-- > 0) throw std::bad_alloc();
  });
  REQUIRE(sync.start());
  REQUIRE(eventually([&] { return replica.find(kA).has_value(); }));
  changes.take();

  throws = 3;
  redis.cli({"hset", kKeyA, "state", "inactive"});
  REQUIRE(eventually([&] { return throws <= 0; }));
  CHECK(replica.find(kA));
  REQUIRE(eventually([&] { return sync.status().state == registry::SyncState::kLive; }));
  CHECK(changes.take().all);
  CHECK(sync.status().connects > 1);
  redis.cli({"hset", kKeyA, "state", "retired"});
  CHECK(eventually([&] { return replica.find(kA)->state == policy::CertState::kRetired; }));
  std::string text;
  log.drain([&](log::Level, const std::string& line) { text += line + "\n"; });
  CHECK_THAT(text, ContainsSubstring("the sync stumbled: std::bad_alloc"));
}
