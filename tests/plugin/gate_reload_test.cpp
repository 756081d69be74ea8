// SPDX-License-Identifier: Apache-2.0
// What a SIGHUP asks about, and what new rules do to those who are in.
#include "plugin/gate.h"
#include "tests/catch.h"
#include "tests/plugin/world.h"

using leafgate::plugin::code_of;
using leafgate::plugin::Refusal;
using leafgate::policy::CertState;
using leafgate::test::fake_broker;
using leafgate::test::kOwnTopics;
using leafgate::test::World;
using namespace std::chrono_literals;

TEST_CASE("gotcha 6: a reload asks again about live sessions and changes nothing for them",
          "[plugin][gate][gotcha]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = world.client("dev1");
  world.connect(dev1);
  world.age = 48h;  // stale: refuses new connections only

  const auto codes = world.reload(World::config_of("", "any", ""));
  world.tick();

  CHECK(codes.at("dev1") == MOSQ_ERR_SUCCESS);
  CHECK(world.sessions.size() == 1);
  CHECK(world.notices.counters().admitted == 1);
  CHECK(world.events("first_seen").size() == 1);
}

TEST_CASE("a reload with stricter rules ends the sessions they refuse, in the tick that follows",
          "[plugin][gate]") {
  World world("  client_id: any");
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = world.client("dev1", "something");
  REQUIRE(world.connect(dev1) == MOSQ_ERR_SUCCESS);

  world.reload(World::config_of("  client_id: must_equal_device", "any", ""));
  CHECK_FALSE(world.may_publish(dev1, "x"));
  world.tick();

  REQUIRE(fake_broker().kicks.size() == 1);
  CHECK(fake_broker().kicks[0].with_will);
  CHECK(fake_broker().logged("ended reason=client_id_mismatch"));
}

TEST_CASE("a reload gives live sessions the new topic rules", "[plugin][gate]") {
  World world("", kOwnTopics);
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = world.client("dev1");
  world.connect(dev1);

  world.reload(World::config_of("", R"([{allow: {publish: ["new/{device}/#"]}}])", ""));
  world.tick();

  CHECK(world.may_publish(dev1, "new/dev1/t"));
  CHECK_FALSE(world.may_publish(dev1, "devices/dev1/t"));
}

TEST_CASE("a reload that reads device ids elsewhere renames live sessions", "[plugin][gate]") {
  World world("  client_id: any", kOwnTopics);
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = world.client("dev1");
  world.connect(dev1);

  world.reload(World::config_of(
      "  client_id: any\n  device_id: {from: san_uri, strip_prefix: \"urn:device:\"}", kOwnTopics,
      ""));
  world.tick();

  CHECK(dev1.username == "uri-dev1");
  CHECK(world.may_publish(dev1, "devices/uri-dev1/t"));
  CHECK_FALSE(world.may_publish(dev1, "devices/dev1/t"));
}

TEST_CASE("gotcha 6: an offline session is not refused while the broker reloads",
          "[plugin][gate][gotcha]") {
  World world;
  mosquitto& offline = world.client("", "dev1");
  fake_broker().by_id["dev1"] = &offline;

  const auto codes = world.reload(World::config_of("", "any", ""));

  CHECK(codes.at("dev1") == MOSQ_ERR_SUCCESS);
}

TEST_CASE("a new client without a certificate is no offline session, reload or not",
          "[plugin][gate]") {
  World world;
  world.gate.reload_begins();
  mosquitto& stranger = world.client("", "stranger");
  stranger.websocket = true;  // the only ones whose packets 2.0 reads before the next tick

  CHECK(code_of(world.gate.connect(&stranger), Refusal::kConnection) == MOSQ_ERR_AUTH);

  world.tick();
  stranger.websocket = false;
  CHECK(code_of(world.gate.connect(&stranger), Refusal::kConnection) == MOSQ_ERR_AUTH);
}

TEST_CASE("turning `mode: report` off ends those without a certificate", "[plugin][gate]") {
  World world("  mode: report");
  mosquitto& plain = world.client("", "plain");
  world.connect(plain);
  CHECK(world.may_publish(plain, "x"));

  world.reload(World::config_of("", "any", ""));
  world.tick();

  CHECK_FALSE(world.is_up(plain));
  CHECK(fake_broker().kicks.size() == 1);
}

TEST_CASE("a client that loses its place in without_certificate is ended", "[plugin][gate]") {
  World world("", "any", "without_certificate: [{username: exporter, address: 127.0.0.1}]\n");
  mosquitto& exporter = world.client("", "metrics");
  exporter.username = "exporter";
  world.connect(exporter);

  world.reload(World::config_of("", "any", ""));
  world.tick();

  CHECK_FALSE(world.is_up(exporter));
}
