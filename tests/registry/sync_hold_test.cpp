// SPDX-License-Identifier: Apache-2.0
// A data set that is gone, or another one: what is there counts, what is not there is held.
#include <thread>

#include "tests/catch.h"
#include "tests/registry/fake_redis.h"
#include "tests/registry/sync_fixture.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Command;
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

// A active, B revoked, a block, and an id.
void fill(const RedisServer& redis, const std::string& id = "ours") {
  redis.cli({"hset", kMeta, "id", id, "seq", "3"});
  redis.cli({"hset", kKeyA, "state", "active"});
  redis.cli({"hset", kKeyB, "state", "revoked"});
  redis.cli({"hset", kBlock, "note", "stolen"});
}

void fill_replica(registry::Replica& replica) {
  replica.put(kA, {.state = policy::CertState::kActive}, registry::kUnstamped);
  replica.put(kB, {.state = policy::CertState::kRevoked}, registry::kUnstamped);
  replica.put_device_block("pump-1", {}, registry::kUnstamped);
}

SyncOptions options_for(const FakeRedis& redis) {
  SyncOptions options;
  options.endpoint = redis.endpoint();
  options.broker = "gateway-1";
  options.pulse_interval = milliseconds(20);
  return options;
}

bool holds(const Watcher& watcher, const std::string& id = "ours") {
  return eventually([&] { return watcher.sync.status().held_id == id; });
}

bool is_over(const Watcher& watcher) {
  return holds(watcher, "") && watcher.settled();
}

bool has_filled(const Watcher& watcher) {
  return watcher.sees(kA, "active", milliseconds(0)) &&
         watcher.sees(kB, "revoked", milliseconds(0)) && watcher.replica.device_block("pump-1");
}

bool has_filled_refusals(const Watcher& watcher) {
  const auto block = watcher.replica.device_block("pump-1");
  return watcher.sees(kB, "revoked", milliseconds(0)) && block && !block->before;
}

bool scans_once_more(const Watcher& watcher) {
  const std::uint64_t so_far = watcher.sync.status().full_syncs;
  return eventually([&] { return watcher.sync.status().full_syncs > so_far; });
}

}  // namespace

TEST_CASE("a Redis that restarts empty cuts nobody off, and denials still count", "[hold]") {
  RedisServer redis;
  fill(redis);
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  CHECK(watcher.sync.remembered() == Remembered{"ours", 3, {}});

  redis.kill();
  redis.restart();
  REQUIRE(holds(watcher));
  REQUIRE(watcher.live());
  CHECK(eventually([&] { return watcher.sync.status().absent_held == 3; }));
  CHECK(has_filled(watcher));
  CHECK_THAT(watcher.log(),
             ContainsSubstring("registry_held") && ContainsSubstring("remembered=ours") &&
                 ContainsSubstring("found=none") && ContainsSubstring("leafgate registry confirm"));

  redis.cli({"hset", kKeyA, "state", "inactive"});
  redis.cli({"hset", kKeyC, "state", "active"});
  CHECK(watcher.sees(kA, "inactive"));
  CHECK(watcher.sees(kC, "active"));
  redis.cli({"del", kKeyC});
  CHECK_FALSE(watcher.sees(kC, "none", milliseconds(200)));
  CHECK(*watcher.sync.age() > milliseconds(200));  // with pulses of 50 ms
  CHECK(watcher.sync.remembered() == Remembered{"ours", 3, {}});

  redis.cli({"hset", kMeta, "id", "ours", "seq", "4"});
  REQUIRE(is_over(watcher));
  CHECK(differences(redis, watcher.replica) == "");
  CHECK(watcher.sync.status().absent_held == 0);
  CHECK_THAT(watcher.log(), ContainsSubstring("registry_held_over"));
  CHECK(watcher.sync.status().repairs == 0);
}

TEST_CASE("however the id is lost on a live link, absence is held until it is replaced", "[hold]") {
  // Each command on its own: there is time to tell of it.
  const std::vector<std::vector<Command>> ways = {
      {{"FLUSHALL"}},
      {{"FLUSHALL", "ASYNC"}},
      {{"FLUSHDB"}},
      {{"DEL", kMeta}, {"DEL", kKeyA}, {"DEL", kKeyB}, {"DEL", kBlock}},
      {{"DEL", kKeyA, kKeyB, kBlock, kMeta}},
      {{"HDEL", kMeta, "id"}, {"UNLINK", kKeyA, kKeyB, kBlock}},
      {{"SWAPDB", "0", "1"}},
      {{"FLUSHALL"}, {"HSET", kMeta, "id", "theirs"}},
      {{"FLUSHALL"}, {"SET", kMeta, "text"}},
      {{"RENAME", kMeta, "elsewhere"}, {"RENAME", kKeyA, "elsewhere"}, {"DEL", kKeyB, kBlock}},
  };
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  std::string id = "start";
  for (std::size_t i = 0; i < ways.size(); ++i) {
    INFO(ways[i].front()[0] << ", way " << i);
    fill(redis, id);
    REQUIRE(watcher.settled());
    REQUIRE(has_filled(watcher));

    registry::Client client = redis.client();
    for (const Command& command : ways[i])
      REQUIRE_FALSE(client.call(command).value().is_error());
    REQUIRE(holds(watcher, id));
    // Where the records go one by one, the full read may have come in between.
    const bool at_once = ways[i].size() == 1 || ways[i].front()[0] == "FLUSHALL";
    if (at_once) CHECK(eventually([&] { return watcher.sync.status().absent_held == 3; }));
    CHECK(has_filled(watcher));

    const std::string next = "id-" + std::to_string(i);
    REQUIRE(client.call({"DEL", kMeta}).ok());
    REQUIRE(client.call({"HSET", kMeta, "id", next, "replaces", id, "confirmed", "1"}).ok());
    REQUIRE(is_over(watcher));
    CHECK(differences(redis, watcher.replica) == "");
    CHECK(watcher.sync.remembered() == Remembered{next, 0, {}, "1"});
    id = next;
  }
  CHECK(watcher.sync.status().repairs == 0);
}

TEST_CASE("an id that replaces another than ours ends nothing", "[hold]") {
  RedisServer redis;
  fill(redis);
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.cli({"flushall"});
  REQUIRE(holds(watcher));
  redis.cli({"hset", kMeta, "id", "new", "replaces", "theirs", "confirmed", "1"});
  REQUIRE(scans_once_more(watcher));
  CHECK(has_filled(watcher));
  CHECK(watcher.sync.status().held_id == "ours");
}

TEST_CASE("a certificate that is deleted under our id refuses, and the watermark waits for it",
          "[hold]") {
  RedisServer redis;
  fill(redis);
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  REQUIRE(watcher.sync.remembered().data_set == "ours");
  for (int round = 0; round < 100; ++round) {
    redis.cli({"hset", kKeyA, "state", "active"});
    redis.cli({"del", kKeyA});
    redis.cli({"hset", kBlock, "note", "stolen"});
    redis.cli({"del", kBlock});
    if (round % 10 != 0) continue;
    REQUIRE(watcher.settled());
    REQUIRE_FALSE(watcher.replica.find(kA));
    REQUIRE_FALSE(watcher.replica.device_block("pump-1"));
  }
  CHECK(watcher.sync.status().held_id.empty());
}

TEST_CASE("with on_data_loss deny a flush refuses at once, and any id is adopted", "[hold]") {
  RedisServer redis;
  fill(redis);
  SyncOptions options = Watcher::options(redis);
  options.hold_on_data_loss = false;
  Watcher watcher(options);
  REQUIRE(watcher.live());
  redis.cli({"flushall"});
  CHECK(watcher.sees(kA, "none"));
  redis.cli({"hset", kMeta, "id", "theirs"});
  redis.cli({"hset", kKeyA, "state", "active"});
  CHECK(watcher.sees(kA, "active"));
  REQUIRE(watcher.settled());
  CHECK(watcher.sync.remembered().data_set == "theirs");
  CHECK(watcher.sync.status().held_id.empty());
}

TEST_CASE("without an id a flush refuses at once, and the first id is adopted", "[hold]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.cli({"hset", kKeyA, "state", "active"});
  REQUIRE(watcher.sees(kA, "active"));
  redis.cli({"flushall"});
  CHECK(watcher.sees(kA, "none"));

  fill(redis);
  REQUIRE(eventually([&] { return watcher.sync.remembered().data_set == "ours"; }));
  REQUIRE(watcher.settled());
  redis.cli({"flushall"});
  REQUIRE(holds(watcher));
  CHECK(has_filled(watcher));
}

TEST_CASE("in a HOLD a denial outlives what the other data set admits, also what is written there",
          "[hold]") {
  RedisServer redis;
  fill(redis);
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.cli({"-n", "1", "hset", kMeta, "id", "theirs"});
  redis.cli({"-n", "1", "hset", kKeyB, "state", "active"});
  redis.cli({"-n", "1", "hset", kKeyA, "state", "inactive"});
  redis.cli({"swapdb", "0", "1"});
  REQUIRE(holds(watcher));
  CHECK(watcher.sees(kA, "inactive"));
  CHECK(eventually([&] { return watcher.sync.status().regressions == 1; }));
  CHECK(watcher.sees(kB, "revoked", milliseconds(0)));

  redis.cli({"hset", kKeyB, "state", "active"});
  redis.cli({"hset", kBlock, "before", "1"});
  redis.cli({"hset", kKeyC, "state", "active"});  // by this the two before it have been read
  CHECK(watcher.sees(kC, "active"));
  CHECK(has_filled_refusals(watcher));
  CHECK(watcher.sync.status().regressions == 2);

  redis.cli({"swapdb", "0", "1"});
  REQUIRE(is_over(watcher));
  CHECK(differences(redis, watcher.replica) == "");
  CHECK(watcher.sync.status().regressions == 0);
}

TEST_CASE("a backup that is put back brings to life nothing that was refused after it", "[hold]") {
  RedisServer redis;
  fill(redis);
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.cli({"flushall"});
  REQUIRE(holds(watcher));

  // As `leafgate registry import` does it: the records, and meta last, in one go here.
  registry::Client client = redis.client();
  REQUIRE(client.call({"HSET", kKeyA, "state", "active"}).ok());
  REQUIRE(client.call({"HSET", kKeyB, "state", "active"}).ok());
  REQUIRE(client.call({"HSET", kMeta, "id", "ours", "seq", "5", "restored", "1-5"}).ok());
  REQUIRE(is_over(watcher));
  CHECK(has_filled(watcher));
  CHECK(eventually([&] { return watcher.sync.status().regressions == 2; }));
  CHECK_THAT(watcher.log(), ContainsSubstring("registry_regressed"));

  redis.cli({"hset", kKeyB, "state", "active"});
  CHECK(watcher.sees(kB, "active"));
  redis.cli({"hset", kMeta, "confirmed", "6"});
  CHECK(eventually([&] { return watcher.sync.status().regressions == 0; }));
  REQUIRE(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("a backup that was put back while a broker was away brings nothing to life either",
          "[hold]") {
  RedisServer redis;
  redis.cli({"hset", kMeta, "id", "ours", "seq", "5", "restored", "1-5"});
  redis.cli({"hset", kKeyA, "state", "active"});
  redis.cli({"hset", kKeyB, "state", "active"});
  SyncOptions options = Watcher::options(redis);
  options.remembered = {"ours", 3, {}};
  options.age_at_start = milliseconds(1);
  const Watcher watcher(options, fill_replica);
  REQUIRE(watcher.live());
  CHECK(has_filled(watcher));
  CHECK(eventually([&] { return watcher.sync.status().regressions == 2; }));
}

TEST_CASE("a broker that starts with content and an id holds it against another data set",
          "[hold]") {
  RedisServer redis;
  redis.cli({"hset", kMeta, "id", "theirs"});
  SyncOptions options = Watcher::options(redis);
  options.remembered = {"ours", 3, {}};
  options.age_at_start = std::chrono::minutes(5);
  const Watcher watcher(options, fill_replica);
  REQUIRE(holds(watcher));
  REQUIRE(watcher.live());
  CHECK(eventually([&] { return watcher.sync.status().absent_held == 3; }));
  CHECK(has_filled(watcher));
  CHECK(*watcher.sync.age() >= std::chrono::minutes(5));
}

TEST_CASE("content of a snapshot is waited for by nobody, and its age is the watermark", "[hold]") {
  SyncOptions options;
  options.endpoint.port = static_cast<std::uint16_t>(free_port());
  options.broker = "gateway-1";
  options.remembered = {"ours", 3, {"cert:x"}};
  options.age_at_start = std::chrono::minutes(5);
  const Watcher watcher(options, fill_replica);
  CHECK(watcher.sync.wait_until_synced(milliseconds(0)));
  CHECK_FALSE(watcher.sync.status().ever_synced);
  CHECK(*watcher.sync.age() >= std::chrono::minutes(5));
  CHECK(*watcher.sync.age() < std::chrono::minutes(6));
  CHECK(watcher.sync.remembered() == options.remembered);
  CHECK(watcher.sync.status().regressions == 1);
}

TEST_CASE("absence that is answered before anything tells of a flush is not believed", "[hold]") {
  FakeRedis redis;
  redis.set_field(kMeta, "id", "ours");
  redis.set(kKeyA, "active");
  Watcher watcher(options_for(redis));
  REQUIRE(watcher.live());
  REQUIRE(watcher.sync.remembered().data_set == "ours");
  redis.flush();
  redis.tell_of(kKeyA);
  REQUIRE(holds(watcher));
  CHECK(watcher.sees(kA, "active", milliseconds(0)));
  redis.tell_of(kKeyA);
  CHECK_FALSE(watcher.sees(kA, "none", milliseconds(200)));
}

TEST_CASE("a present answer takes back an absence that waits for its proof", "[hold]") {
  FakeRedis redis;
  redis.set_field(kMeta, "id", "ours");
  redis.set(kKeyA, "active");
  SyncOptions options = options_for(redis);
  options.answer_deadline = std::chrono::seconds(20);
  Watcher watcher(options);
  REQUIRE(watcher.live());
  REQUIRE(watcher.settled());
  watcher.changes.take();

  // It was named twice, is read twice, and is there only the second time.
  redis.hold_back("HMGET " + kKeyA);
  redis.tell_of(kKeyA);
  REQUIRE(eventually([&] { return redis.holds_one_back(); }));
  const std::uint64_t told = watcher.sync.status().invalidations;
  redis.tell_of(kKeyA);
  REQUIRE(eventually([&] { return watcher.sync.status().invalidations > told; }));
  std::this_thread::sleep_for(milliseconds(150));  // longer than a turn: it has been asked for
  redis.misanswer("HMGET", "*3\r\n$-1\r\n$-1\r\n$-1\r\n", 1);
  redis.let_go();

  REQUIRE(watcher.settled());
  CHECK_FALSE(watcher.changes.waiting());
  CHECK(watcher.sees(kA, "active", milliseconds(0)));
}
