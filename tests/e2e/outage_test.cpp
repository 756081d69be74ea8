// SPDX-License-Identifier: Apache-2.0
// Redis stopped, frozen, slow, cut off, empty: nobody on the broker waits for it, and decisions go
// on.
#include <algorithm>
#include <iostream>
#include <vector>

#include "tests/catch.h"
#include "tests/e2e/world.h"
#include "tests/support/connect_load.h"
#include "tests/support/delay_proxy.h"
#include "tests/support/latency.h"

namespace leafgate::test {
namespace {

using std::chrono::seconds;

TEST_CASE("trouble with redis does not slow the broker's other clients down", "[e2e][outage]") {
  RedisOptions kept;
  kept.append_only = true;
  BrokerOptions options;
  options.quiet = true;
  World world(options, kept);
  const CertFiles active = world.device("load1");
  const CertFiles inactive = world.device("load2", "inactive");
  Bystander bystander(world.connected(world.device("bystander1"), "bystander1"), "bystander/1");
  world.settle();

  // Of several rounds the one in the middle: another program's hiccup is not the broker's.
  const auto measure = [&](const std::string& when) {
    ConnectLoad load({world.options(active, "load1"), world.options(inactive, "load2")},
                     milliseconds(50));
    std::vector<Distribution> rounds;
    for (int i = 0; i < 5; ++i)
      rounds.push_back(distribution(bystander.measure(milliseconds(500))));
    const ConnectLoad::Counts counts = load.stop();
    std::nth_element(rounds.begin(), rounds.begin() + 2, rounds.end(),
                     [](const auto& one, const auto& other) { return one.p99 < other.p99; });
    const Distribution felt = rounds[2];
    std::cout << "redis " << when << ": " << text(felt) << "; " << counts.accepted << " admitted, "
              << counts.refused << " refused\n";
    INFO("redis " << when);
    CHECK(counts.accepted > 0);
    CHECK(counts.refused > 0);
    CHECK(counts.other == 0);
    return felt;
  };
  const auto compare = [](const Distribution& healthy, const Distribution& trouble) {
    std::cout << "  ratio to healthy: p50 " << trouble.p50 / healthy.p50 << ", p99 "
              << trouble.p99 / healthy.p99 << "\n";
    // A broker that asked Redis would be hundreds of times slower: 1 s for each connection.
    CHECK(trouble.p50 < 20 * healthy.p50);
    CHECK(trouble.p99 < 50 * healthy.p99);
  };

  const Distribution healthy = measure("healthy");
  world.registry_proxy.set_delay(milliseconds(500));
  compare(healthy, measure("1 s slow"));
  world.registry_proxy.set_delay(milliseconds(0));
  world.redis.freeze();
  compare(healthy, measure("frozen"));
  world.redis.thaw();
  world.redis.kill();
  compare(healthy, measure("stopped"));
  world.redis.restart();

  world.set_state(active, "inactive");
  world.set_state(inactive, "active");
  world.settle();
  CHECK(world.attempt(active, "load1") == Connected::kRefused);
  CHECK(world.attempt(inactive, "load2") == Connected::kAccepted);
}

TEST_CASE("changes made while the broker cannot reach redis apply when it can again",
          "[e2e][outage]") {
  World world;
  const CertFiles stays = world.device("stays1");
  const CertFiles goes = world.device("goes1");
  const CertFiles vanishes = world.device("vanishes1");
  const CertFiles comes = world.device("comes1", "inactive");
  MqttClient staying = world.connected(stays, "stays1");
  MqttClient going = world.connected(goes, "goes1");
  MqttClient vanishing = world.connected(vanishes, "vanishes1");
  world.settle();

  world.registry_proxy.cut();
  REQUIRE(world.broker.logged("registry"));
  world.set_state(goes, "inactive");
  world.redis.cli({"DEL", World::key(vanishes)});
  world.set_state(comes, "active");

  // From what it knew last.
  CHECK(world.attempt(comes, "comes1") == Connected::kRefused);
  CHECK(staying.ping());
  CHECK(going.ping());

  world.registry_proxy.mend();
  CHECK(going.ended());
  CHECK(vanishing.ended());
  CHECK(world.connected(comes, "comes1").ping());
  CHECK(staying.ping());
}

TEST_CASE("what is written to a frozen redis applies when it thaws", "[e2e][outage]") {
  World world;
  const CertFiles certificate = world.device("thaw1");
  MqttClient client = world.connected(certificate, "thaw1");

  world.redis.freeze();
  Process writer({{"redis-cli", "-p", std::to_string(world.redis.port()), "HSET",
                   World::key(certificate), "state", "inactive"},
                  {},
                  ""});
  CHECK(client.ping());
  CHECK(world.attempt(certificate, "thaw1") == Connected::kAccepted);  // takes the session over
  client = world.connected(certificate, "thaw1");
  world.redis.thaw();

  CHECK(client.ended());
  CHECK(writer.wait(seconds(10)) == 0);
}

TEST_CASE("a redis that comes back empty, and never said who it is, ends every session",
          "[e2e][outage]") {
  World world;
  const CertFiles certificate = world.device("empty1");
  MqttClient client = world.connected(certificate, "empty1");

  world.redis.kill();
  CHECK(client.ping());
  world.redis.restart();

  CHECK(client.ended(seconds(20)));
  CHECK(world.attempt(certificate, "empty1") == Connected::kRefused);
}

TEST_CASE("a broker that starts without redis refuses everybody until redis is there",
          "[e2e][outage]") {
  Pki pki;
  RedisOptions kept;
  kept.append_only = true;
  RedisServer redis(kept);
  const CertFiles certificate = pki.issue({});
  redis.cli({"HSET", World::key(certificate), "state", "active"});
  redis.stop();
  BrokerOptions options;
  options.registry_url = redis.url();
  options.registry = "wait_at_start: 200ms";
  Broker broker(pki, options);
  MqttClient client;

  CHECK(client.connect(broker.client(certificate, "dev1")) == Connected::kRefused);
  CHECK(broker.logged("reason=registry_stale"));
  CHECK(client.connack_code() == (broker.is_2_1() ? kServerUnavailable : kNotAuthorized));

  redis.restart();
  CHECK(eventually(
      [&] { return client.connect(broker.client(certificate, "dev1")) == Connected::kAccepted; }));
}

TEST_CASE("a backup that is put back lets nobody in who was turned off after it", "[e2e][outage]") {
  World world;
  const TempDir dir;
  const auto registry = [&](std::vector<std::string> words) {
    std::vector<std::string> argv = {LEAFGATE_CLI, "registry"};
    argv.insert(argv.end(), words.begin(), words.end());
    argv.insert(argv.end(), {"--url", world.redis.url()});
    const Ran ran = run(argv);
    INFO(ran.err);
    CHECK(ran.status == 0);
    return ran.out;
  };
  registry({"init"});
  world.broker.restart();  // and it remembers whose data these are
  const CertFiles stays = world.device("kept1");
  const CertFiles revoked = world.device("revoked1");
  registry({"export", "--out", dir / "backup"});
  MqttClient client = world.connected(stays, "kept1");
  world.set_state(revoked, "revoked");
  world.settle();

  world.redis.cli({"flushall"});
  REQUIRE(world.broker.logged("registry_held "));
  registry({"import", dir / "backup"});
  REQUIRE(world.broker.logged("registry_held_over"));
  REQUIRE(world.broker.logged("registry_regressed"));
  world.settle();

  CHECK(client.ping());
  CHECK(world.attempt(stays, "kept1") == Connected::kAccepted);
  CHECK(world.attempt(revoked, "revoked1") == Connected::kRefused);
  CHECK(world.gave_reason(revoked, "revoked"));
  CHECK(eventually(
      [&] { return registry({"regressions"}).find(revoked.fingerprint) != std::string::npos; }));
}

TEST_CASE("a broker that has started knows its fleet", "[e2e][outage]") {
  World world;
  const CertFiles certificate = world.device("fleet1");

  for (int i = 0; i < 3; ++i) {
    world.broker.restart();
    CHECK(world.attempt(certificate, "fleet1") == Connected::kAccepted);
  }
}

TEST_CASE("when the registry is too old, `refuse_new` keeps sessions and `serve` admits as well",
          "[e2e][outage]") {
  BrokerOptions options;
  options.extra_yaml = "freshness: {max_staleness: 3s, when_stale: refuse_new}\n";
  World world(options);
  options.name = "gateway-2";
  options.registry_url = world.redis.url();
  options.extra_yaml = "freshness: {max_staleness: 3s, when_stale: serve}\n";
  Broker serving(world.pki, options);
  const CertFiles certificate = world.device("stale1");
  const CertFiles other = world.device("stale2");
  MqttClient client = world.connected(certificate, "stale1");
  world.settle();

  world.redis.freeze();
  REQUIRE(eventually([&] { return world.attempt(other, "stale2") == Connected::kRefused; },
                     seconds(20)));
  CHECK(world.gave_reason(other, "registry_stale"));
  CHECK(client.ping());
  CHECK(MqttClient().connect(serving.client(other, "stale2")) == Connected::kAccepted);

  world.redis.thaw();
  CHECK(world.connected(other, "stale2").ping());
  CHECK(client.ping());
}

}  // namespace
}  // namespace leafgate::test
