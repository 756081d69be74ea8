// SPDX-License-Identifier: Apache-2.0
// What a sync tells: the broker by wakes and changes, Redis by events and a hash, people by the
// log.
#include <thread>

#include "tests/catch.h"
#include "tests/registry/sync_fixture.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Command;
using registry::Schema;
using registry::SyncState;

namespace {

const Schema kSchema;
const policy::Fingerprint kA = fingerprint(1);
const std::string kKeyA = kSchema.cert(kA);

// The values of field `n` of all events, in order.
std::vector<std::string> event_numbers(const RedisServer& redis) {
  registry::Client client = redis.client();
  const registry::Reply entries = client.call({"XRANGE", kSchema.events(), "-", "+"}).value();
  std::vector<std::string> numbers;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const registry::Reply fields = entries[i][1];
    for (std::size_t f = 0; f + 1 < fields.size(); f += 2) {
      if (fields.text_at(f) == "n") numbers.emplace_back(*fields.text_at(f + 1));
    }
  }
  return numbers;
}

// Whether every event of 0..`events`-1 has come, none before an earlier one had come once.
bool all_came(const RedisServer& redis, int events) {
  int next = 0;
  for (const std::string& number : event_numbers(redis)) {
    if (number == std::to_string(next)) ++next;
  }
  return next == events;
}

}  // namespace

TEST_CASE("the broker is woken until it has taken what changed", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  REQUIRE(watcher.settled());
  static_cast<void>(watcher.changes.take());

  redis.cli({"hset", kKeyA, "state", "active"});
  REQUIRE(eventually([&] { return watcher.changes.waiting(); }));
  const std::uint64_t before = watcher.wakes;
  CHECK(eventually([&] { return watcher.wakes > before + 10; }));

  const registry::ChangeBatch batch = watcher.changes.take();
  CHECK(batch.certificates == std::vector{kA});
  CHECK_FALSE(batch.all);
  const std::uint64_t after = watcher.wakes;
  REQUIRE(watcher.settled());  // many turns later
  CHECK(watcher.wakes <= after + 1);
}

TEST_CASE("a waiting change wakes the broker also while Redis is away", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.kill();
  REQUIRE(eventually([&] { return !watcher.sync.status().last_error.empty(); }));
  watcher.changes.certificate(kA);
  const std::uint64_t before = watcher.wakes;
  CHECK(eventually([&] { return watcher.wakes > before + 10; }));
}

TEST_CASE("events come to the stream with their broker, in order", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  for (int i = 0; i < 500; ++i)
    watcher.outbox.event({"refused", {{"n", std::to_string(i)}}});
  watcher.outbox.event({"ended", {{"n", "500"}, {"reason", "revoked\r\nx"}}});
  REQUIRE(eventually([&] { return event_numbers(redis).size() == 501; }));
  CHECK(all_came(redis, 501));
  registry::Client client = redis.client();
  const registry::Reply last =
      client.call({"XREVRANGE", kSchema.events(), "+", "-", "COUNT", "1"}).value();
  const registry::Reply fields = last[0][1];
  CHECK(fields.text_at(0) == "kind");
  CHECK(fields.text_at(1) == "ended");
  CHECK(fields.text_at(2) == "broker");
  CHECK(fields.text_at(3) == "gateway-1");
  CHECK(fields.text_at(7) == "revoked\r\nx");
}

TEST_CASE("events outlive the link they were sent on", "[sync]") {
  RedisServer redis({.append_only = true, .arguments = {"--appendfsync", "always"}});
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  int next = 0;
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 100; ++i) {
      watcher.outbox.event({"refused", {{"n", std::to_string(next++)}}});
    }
    redis.kill();
    redis.restart();
  }
  CHECK(eventually([&] { return all_came(redis, next); }));
  CHECK(watcher.outbox.dropped() == 0);
}

TEST_CASE("events wait while Redis takes no writes", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.cli({"config", "set", "maxmemory", "1"});
  for (int i = 0; i < 200; ++i)
    watcher.outbox.event({"refused", {{"n", std::to_string(i)}}});
  REQUIRE(eventually([&] { return occurrences(watcher.log(), "registry_write_refused") > 0; }));
  redis.cli({"config", "set", "maxmemory", "0"});
  CHECK(eventually([&] { return event_numbers(redis).size() == 200; }));
  CHECK(occurrences(watcher.log(), "registry_write_refused") == 1);
}

TEST_CASE("a broker that may not write events still keeps its replica", "[sync]") {
  RedisServer redis;
  redis.cli({"acl", "setuser", "default", "-xadd"});
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  for (int i = 0; i < 200; ++i)
    watcher.outbox.event({"refused", {}});
  REQUIRE(eventually([&] { return occurrences(watcher.log(), "registry_write_refused") > 0; }));
  redis.cli({"hset", kKeyA, "state", "active"});
  CHECK(watcher.sees(kA, "active"));
  CHECK(watcher.sync.status().connects == 1);
  CHECK(occurrences(watcher.log(), "registry_write_refused") == 1);
}

TEST_CASE("the broker's hash holds its status and ends without it", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  watcher.outbox.status({{"sessions", "7"}});
  CHECK(eventually([&] {
    return redis.cli({"hget", "leafgate:broker:gateway-1", "sessions"}) == "7";
  }));
  CHECK(redis.cli({"hget", "leafgate:broker:gateway-1", "instance"}) ==
        watcher.sync.status().instance);
  CHECK(redis.cli({"hget", "leafgate:broker:gateway-1", "version"}) == "test");
  CHECK(eventually([&] { return std::stoi(redis.cli({"ttl", "leafgate:broker:gateway-1"})) > 0; }));
}

TEST_CASE("two live brokers of one name are noticed, a restarted one is not", "[sync]") {
  RedisServer redis;
  const auto tell = [&](Watcher& watcher) {
    watcher.outbox.status({{"sessions", "1"}});
    return eventually([&] {
      return redis.cli({"hget", "leafgate:broker:gateway-1", "instance"}) ==
             watcher.sync.status().instance;
    });
  };
  {
    Watcher earlier(redis);
    REQUIRE(earlier.live());
    REQUIRE(tell(earlier));
  }
  Watcher first(redis);
  REQUIRE(first.live());
  REQUIRE(tell(first));
  REQUIRE(tell(first));
  CHECK(occurrences(first.log(), "broker_name_taken") == 0);

  Watcher second(redis);
  REQUIRE(second.live());
  REQUIRE(tell(second));
  REQUIRE(tell(first));
  CHECK(eventually([&] { return occurrences(first.log(), "broker_name_taken") == 1; }));
}

TEST_CASE("a data set made for another device-id rule is warned of", "[sync]") {
  RedisServer redis;
  redis.cli({"hset", "leafgate:meta", "id", "x", "format", "1", "device_id", "san_uri"});
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  CHECK(eventually([&] { return occurrences(watcher.log(), "device_id_rule_differs") == 1; }));
  CHECK(occurrences(watcher.log(), "registry_format_differs") == 0);
  redis.cli({"hset", "leafgate:meta", "device_id", "cn", "format", "2"});
  CHECK(eventually([&] { return occurrences(watcher.log(), "registry_format_differs") == 1; }));
  REQUIRE(watcher.settled());
  CHECK(occurrences(watcher.log(), "device_id_rule_differs") == 1);
}

TEST_CASE("an audit repairs what is different and says so", "[sync]") {
  RedisServer redis;
  fill(redis, 2000);
  redis.cli({"hset", "leafgate:block:device:dev1", "note", "x"});
  registry::SyncOptions options = Watcher::options(redis);
  options.reconcile_interval = std::chrono::seconds(1);
  Watcher watcher(options);
  REQUIRE(watcher.live());

  // What no invalidation will ever tell: the replica itself goes wrong.
  watcher.replica.put(fingerprint(1), {policy::CertState::kRevoked}, registry::kUnstamped);
  watcher.replica.erase(fingerprint(2));
  watcher.replica.put(fingerprint(900'000), {policy::CertState::kActive}, registry::kUnstamped);
  watcher.replica.erase_device_block("dev1");
  watcher.replica.put_issuer_block("ab12", {}, registry::kUnstamped);

  CHECK(eventually([&] { return watcher.sync.status().repairs == 5; }));
  CHECK(differences(redis, watcher.replica) == "");
  CHECK(occurrences(watcher.log(), "registry_repaired") == 5);
  CHECK(watcher.sync.status().state == SyncState::kLive);
}

TEST_CASE("audits under a storm of changes find nothing to repair", "[sync]") {
  RedisServer redis;
  fill(redis, 2000);
  registry::SyncOptions options = Watcher::options(redis);
  options.reconcile_interval = std::chrono::seconds(1);
  Watcher watcher(options);
  REQUIRE(watcher.live());

  std::atomic<bool> done{false};
  std::thread writer([&] {
    registry::Client client = redis.client();
    for (std::uint64_t i = 0; !done; ++i) {
      const std::string key = kSchema.cert(fingerprint(i * 7919 % 2500));
      const char* const states[] = {"active", "inactive"};
      static_cast<void>(i % 4 == 0 ? client.call({"DEL", key})
                                   : client.call({"HSET", key, "state", states[i % 2]}));
    }
  });
  const bool audited =
      eventually([&] { return watcher.sync.status().full_syncs >= 4; }, std::chrono::seconds(60));
  done = true;
  writer.join();

  REQUIRE(audited);
  REQUIRE(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
  CHECK(watcher.sync.status().repairs == 0);
  CHECK(watcher.sync.status().connects == 1);
}
