// SPDX-License-Identifier: Apache-2.0
// The sync's thread without memory, and with callers that throw: it goes on with the old replica.
#include <pthread.h>

#include <array>
#include <atomic>
#include <new>
#include <random>
#include <string_view>

#include "tests/catch.h"
#include "tests/registry/sync_fixture.h"
#include "tests/support/replaced_new.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Schema;
using registry::SyncState;

namespace {

std::atomic<unsigned> failing{0};  // one allocation in so many of the sync's thread; 0: none
std::atomic<unsigned> failed{0};

// No allocation in here.
bool in_sync_thread() {
  thread_local bool known = false;
  if (known) return true;
  std::array<char, 16> name{};
  pthread_getname_np(pthread_self(), name.data(), name.size());
  known = std::string_view(name.data()) == "leafgate-sync";
  return known;
}

const policy::Fingerprint kA = fingerprint(1);
const policy::Fingerprint kB = fingerprint(2);
const std::string kKeyA = Schema().cert(kA);
const std::string kKeyB = Schema().cert(kB);

}  // namespace

bool leafgate::test::fails_now() {
  const unsigned one_in = failing.load(std::memory_order_relaxed);
  if (one_in == 0 || !in_sync_thread()) return false;
  thread_local std::minstd_rand random;
  if (random() % one_in != 0) return false;
  ++failed;
  return true;
}

TEST_CASE("without memory the sync serves its old replica, and catches up when there is some",
          "[sync]") {
  RedisServer redis;
  redis.cli({"hset", kKeyA, "state", "active"});
  redis.cli({"hset", kKeyB, "state", "active"});
  Watcher watcher(redis);
  REQUIRE(watcher.live());

  failing = 1;
  redis.cli({"hset", kKeyB, "state", "inactive"});
  REQUIRE(eventually([&] { return watcher.sync.status().state == SyncState::kDown; }));
  CHECK(watcher.replica.find(kA)->state == policy::CertState::kActive);
  failing = 0;

  CHECK(watcher.sees(kB, "inactive"));
  CHECK(watcher.live());
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("memory that is short at random leaves no difference behind", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  const unsigned before = failed;
  for (unsigned round = 0; round < 40; ++round) {
    failing = 20 + 40 * (round % 10);
    for (std::uint64_t i = 0; i < 50; ++i) {
      redis.cli({"hset", Schema().cert(fingerprint(i)), "state",
                 (round + i) % 3 == 0 ? "inactive" : "active"});
    }
  }
  failing = 0;
  REQUIRE(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
  CHECK(failed > before);
}

TEST_CASE("a broker that throws when it is woken loses neither its sync nor the change", "[sync]") {
  RedisServer redis;
  registry::Replica replica;
  registry::Changes changes;
  registry::Outbox outbox;
  log::Queue log;
  std::atomic<int> wakes{0};
  registry::Sync sync(Watcher::options(redis), replica, changes, outbox, log, [&] {
    if (++wakes % 2 == 1) throw std::bad_alloc();
    throw 1;
  });
  REQUIRE(sync.start().ok());
  redis.cli({"hset", kKeyA, "state", "active"});
  REQUIRE(eventually([&] { return wakes > 4; }));

  CHECK(changes.waiting());
  CHECK_THAT(sync.status().last_error, ContainsSubstring("stumbled"));
  std::string text;
  log.drain([&](log::Level, const std::string& line) { text += line + "\n"; });
  CHECK_THAT(text, ContainsSubstring("std::bad_alloc"));
  CHECK_THAT(text, ContainsSubstring("unknown exception"));
  changes.take();
  CHECK(eventually([&] { return sync.status().state == SyncState::kLive; }));
  CHECK(replica.find(kA)->state == policy::CertState::kActive);
}
