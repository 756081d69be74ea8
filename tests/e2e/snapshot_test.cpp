// SPDX-License-Identifier: Apache-2.0
// A broker that restarts while Redis is out of reach goes by its snapshot, or admits nobody.
#include <fstream>

#include "tests/catch.h"
#include "tests/e2e/world.h"

namespace leafgate::test {
namespace {

BrokerOptions with_snapshot(const TempDir& dir) {
  BrokerOptions options;
  options.registry = "snapshot: " + (dir / "snapshot") + "\nwait_at_start: 1s";
  return options;
}

TEST_CASE("a broker restarted without redis knows its fleet, and applies what it missed",
          "[e2e][snapshot]") {
  const TempDir dir;
  World world(with_snapshot(dir));
  const CertFiles stays = world.device("stays1");
  const CertFiles goes = world.device("goes1");
  const CertFiles vanishes = world.device("vanishes1");
  const CertFiles comes = world.device("comes1", "revoked");
  const CertFiles unknown = world.device("unknown1", "");
  const CertFiles blocked = world.device("blocked1");
  world.redis.cli({"HSET", "leafgate:block:device:blocked1", "note", "lost"});
  world.settle();

  world.registry_proxy.cut();
  world.broker.restart();
  CHECK(world.broker.logged("snapshot_loaded"));
  MqttClient staying = world.connected(stays, "stays1");
  MqttClient going = world.connected(goes, "goes1");
  MqttClient vanishing = world.connected(vanishes, "vanishes1");
  CHECK(world.attempt(comes, "comes1") == Connected::kRefused);
  CHECK(world.gave_reason(comes, "revoked"));
  CHECK(world.attempt(unknown, "unknown1") == Connected::kRefused);
  CHECK(world.gave_reason(unknown, "unknown_certificate"));
  CHECK(world.attempt(blocked, "blocked1") == Connected::kRefused);
  CHECK(world.gave_reason(blocked, "device_blocked"));

  world.set_state(goes, "inactive");
  world.redis.cli({"DEL", World::key(vanishes)});
  world.set_state(comes, "active");
  world.registry_proxy.mend();
  CHECK(going.ended());
  CHECK(vanishing.ended());
  CHECK(world.connected(comes, "comes1").ping());
  CHECK(staying.ping());
}

TEST_CASE("a damaged snapshot is refused, and everybody with it, until redis is there",
          "[e2e][snapshot]") {
  const TempDir dir;
  World world(with_snapshot(dir));
  const CertFiles certificate = world.device("damaged1");
  world.settle();
  world.registry_proxy.cut();
  world.broker.stop();
  std::fstream(dir / "snapshot").seekp(50) << "damage";

  world.broker.restart();
  CHECK(world.broker.logged("snapshot_unusable"));
  CHECK(world.attempt(certificate, "damaged1") == Connected::kRefused);
  CHECK(world.gave_reason(certificate, "registry_stale"));

  world.registry_proxy.mend();
  CHECK(world.connected(certificate, "damaged1").ping());
}

}  // namespace
}  // namespace leafgate::test
