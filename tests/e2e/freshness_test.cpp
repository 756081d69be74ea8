// SPDX-License-Identifier: Apache-2.0
// `when_stale: disconnect`: a broker that has not heard of its registry for too long lets nobody
// stay; seen by a client that needs no certificate.
#include <map>

#include "tests/catch.h"
#include "tests/e2e/world.h"

namespace leafgate::test {
namespace {

using std::chrono::seconds;

// A broker that ends everybody after three seconds, and somebody who may watch it.
class Site {
 public:
  Site() : world_(options()) {}

  World& world() { return world_; }
  MqttClient exporter() {
    ConnectOptions with = world_.options({}, "exporter");
    with.ca_file.clear();
    with.port = world_.broker.plain_port();
    with.username = "exporter";
    with.password = "secret";
    return world_.connected(with);
  }

 private:
  BrokerOptions options() const {
    write_file(dir_ / "passwords", "exporter:secret\n");
    write_file(dir_ / "acl", "user exporter\ntopic read #\ntopic read $SYS/#\n");
    REQUIRE(run({"mosquitto_passwd", "-U", dir_ / "passwords"}).status == 0);
    BrokerOptions options;
    options.plain_listener = true;
    options.before_plugin =
        "password_file " + (dir_ / "passwords") + "\nacl_file " + (dir_ / "acl");
    options.extra_yaml =
        "freshness: {max_staleness: 3s, when_stale: disconnect}\n"
        "without_certificate: [{username: exporter, address: 127.0.0.1}]\n";
    return options;
  }

  TempDir dir_;
  World world_;
};

TEST_CASE(
    "with `disconnect` devices are ended when the registry is too old, and come back by "
    "themselves",
    "[e2e][freshness]") {
  Site site;
  World& world = site.world();
  const CertFiles certificate = world.device("stale1");
  ConnectOptions with_will = world.options(certificate, "stale1");
  with_will.will_topic = "wills/stale1";
  with_will.will_payload = "gone";
  MqttClient device = world.connected(with_will);
  MqttClient exporter = site.exporter();
  REQUIRE(took(exporter.subscribe("wills/#")));

  world.redis.freeze();
  CHECK(device.ended(seconds(20)));
  CHECK(device.disconnect_code() == kAdministrativeAction);
  CHECK(world.gave_reason(certificate, "registry_stale"));
  const auto will = exporter.receive();
  REQUIRE(will);
  CHECK(will->topic == "wills/stale1");
  CHECK(world.attempt(certificate, "stale1") == Connected::kRefused);
  CHECK(exporter.ping());

  world.redis.thaw();
  CHECK(world.connected(certificate, "stale1").ping());
}

TEST_CASE("what the broker says of itself is retained below $SYS", "[e2e][freshness]") {
  Site site;
  World& world = site.world();
  MqttClient device = world.connected(world.device("sys1"), "sys1");
  MqttClient exporter = site.exporter();
  REQUIRE(took(exporter.subscribe("$SYS/broker/leafgate/#")));

  std::map<std::string, std::string> said;
  const auto says = [&](const std::string& topic, const std::string& payload) {
    return eventually(
        [&] {
          const auto message = exporter.receive(std::chrono::milliseconds(100));
          if (message) said[message->topic] = message->payload;
          return said["$SYS/broker/leafgate/" + topic] == payload;
        },
        seconds(20));
  };
  CHECK(says("sync/state", "live"));
  CHECK(says("certificates/active", "1"));
  CHECK(says("sessions", "2"));
  CHECK(says("stale", "0"));

  world.redis.freeze();
  CHECK(says("stale", "1"));
  CHECK(says("sessions", "1"));
}

TEST_CASE("a device reads of $SYS what its rules allow, and writes nothing", "[e2e][freshness]") {
  BrokerOptions options;
  options.topics =
      "[{allow: {publish: [\"#\", \"$SYS/#\"], "
      "subscribe: [\"#\", \"$SYS/broker/leafgate/mode\"]}}]";
  World world(options);
  MqttClient device = world.connected(world.device("reader1"), "reader1");
  const std::string root = "$SYS/broker/leafgate/";

  for (const auto* filter : {"#", "sync/state", "+"})
    CHECK(device.subscribe(root + filter).value_or(0) >= 0x80);
  REQUIRE(took(device.subscribe("#")));
  REQUIRE(took(device.subscribe(root + "mode")));
  const auto said = device.receive(seconds(10));
  REQUIRE(said);
  CHECK(said->topic == root + "mode");
  CHECK(said->payload == "enforce");
  CHECK_FALSE(
      device.receive(seconds(6)));  // one more report than that: all the rest went elsewhere

  CHECK_FALSE(took(device.publish(root + "mode", "report", 1)));
  CHECK_FALSE(device.receive(std::chrono::milliseconds(300)));
}

}  // namespace
}  // namespace leafgate::test
