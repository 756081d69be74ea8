// SPDX-License-Identifier: Apache-2.0
#include "plugin/gate.h"

#include "tests/catch.h"
#include "tests/plugin/world.h"

using leafgate::plugin::code_of;
using leafgate::plugin::Refusal;
using leafgate::policy::Access;
using leafgate::policy::Block;
using leafgate::policy::CertState;
using leafgate::policy::Reason;
using leafgate::registry::kUnstamped;
using leafgate::test::certificate_of;
using leafgate::test::fake_broker;
using leafgate::test::kOwnTopics;
using leafgate::test::World;
using namespace std::chrono_literals;

namespace {

std::uint64_t refused(const World& world, Reason reason) {
  return world.notices.counters().refused[static_cast<std::size_t>(reason)];
}

}  // namespace

TEST_CASE("a device with an active record is admitted under its own name", "[plugin][gate]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = world.client("dev1");
  dev1.username = "admin";  // what a client calls itself counts for nothing

  CHECK(world.connect(dev1) == MOSQ_ERR_SUCCESS);

  CHECK(dev1.username == "dev1");
  CHECK(world.is_up(dev1));
  CHECK(world.notices.counters().admitted == 1);
}

TEST_CASE("a refused device leaves no session and no claim on its client id", "[plugin][gate]") {
  World world;
  world.record("dev1", CertState::kInactive);
  mosquitto& dev1 = world.client("dev1");

  CHECK(world.connect(dev1) == MOSQ_ERR_AUTH);

  CHECK_FALSE(world.is_up(dev1));
  CHECK(world.sessions.holder("dev1") == nullptr);
  CHECK(refused(world, Reason::kInactive) == 1);
  CHECK(fake_broker().logged("refused reason=inactive action=connect device=dev1"));
}

TEST_CASE("a broker that refuses the device's name gets a refusal", "[plugin][gate]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = world.client("dev1");
  dev1.refuses_username = true;

  CHECK(world.connect(dev1) == MOSQ_ERR_AUTH);
  CHECK_FALSE(world.is_up(dev1));
}

TEST_CASE("with `then: defer` the others decide and a session they refuse leaves no trace",
          "[plugin][gate]") {
  World world("  then: defer");
  world.record("dev1", CertState::kActive);
  mosquitto& accepted = world.client("dev1");
  CHECK(world.connect(accepted) == MOSQ_ERR_PLUGIN_DEFER);
  CHECK(accepted.username == "dev1");
  world.tick();

  mosquitto& rejected = world.client("dev1");
  CHECK(world.connect(rejected, false) == MOSQ_ERR_PLUGIN_DEFER);

  REQUIRE(world.sessions.holder("dev1") != nullptr);
  CHECK(world.sessions.holder("dev1")->client == &accepted);
  CHECK_FALSE(world.may_publish(rejected, "a/will/of/nobody"));
}

TEST_CASE("gotcha 19: before the first tick everybody is refused and the log says why",
          "[plugin][gate][gotcha]") {
  World world;
  world.record("dev1", CertState::kActive);
  leafgate::plugin::Gate gate(World::config_of("", "any", ""), world.replica,
                              {.now = [&] { return world.now; },
                               .uptime = [&] { return world.uptime; },
                               .age = [&] { return world.age; }},
                              world.sessions, world.notices);
  mosquitto& dev1 = world.client("dev1");
  const auto connect = [&] { return code_of(gate.connect(&dev1), Refusal::kConnection); };

  CHECK(connect() == MOSQ_ERR_AUTH);
  CHECK(fake_broker().logged("per_listener_settings"));
  SECTION("a reload changes nothing about it") {
    gate.reload_begins();
    mosquitto& offline = world.client("", "offline");
    CHECK(code_of(gate.connect(&offline), Refusal::kConnection) == MOSQ_ERR_AUTH);
  }
  SECTION("nor does a reload refuse the offline sessions that the broker restored") {
    gate.reload_begins();
    mosquitto& restored = world.client("", "restored");
    restored.address.reset();
    fake_broker().by_id["restored"] = &restored;
    CHECK(code_of(gate.connect(&restored), Refusal::kConnection) == MOSQ_ERR_SUCCESS);
  }
  SECTION("after the first tick it is admitted") {
    gate.tick();
    CHECK(connect() == MOSQ_ERR_SUCCESS);
  }
}

TEST_CASE("a stale registry refuses new connections and lets live ones stay", "[plugin][gate]") {
  World world;
  world.record("dev1", CertState::kActive);
  world.record("dev2", CertState::kActive);
  mosquitto& dev1 = world.client("dev1");
  REQUIRE(world.connect(dev1) == MOSQ_ERR_SUCCESS);

  world.age = 2h;

  CHECK(world.connect(world.client("dev2")) == MOSQ_ERR_AUTH);
  CHECK(refused(world, Reason::kRegistryStale) == 1);
  world.changed("dev1");
  world.tick();
  CHECK(world.is_up(dev1));
}

TEST_CASE("`when_stale: serve` serves old data but never none at all", "[plugin][gate]") {
  World world("", "any", "freshness: {when_stale: serve}\n");
  world.record("dev1", CertState::kActive);
  world.age = 200h;
  CHECK(world.connect(world.client("dev1")) == MOSQ_ERR_SUCCESS);

  world.age.reset();
  CHECK(world.connect(world.client("dev1")) == MOSQ_ERR_AUTH);
}

TEST_CASE("how long the registry stays fresh is its limit less its age, and `serve` has none",
          "[plugin][gate]") {
  const auto [policy, age, left] = GENERATE(
      table<std::string, std::optional<std::chrono::milliseconds>, std::chrono::milliseconds>(
          {{"refuse_new", 100ms, 59'900ms},
           {"refuse_new", 60s, 0ms},
           {"disconnect", 61s, -1000ms},
           {"serve", 61s, std::chrono::milliseconds::max()},
           {"serve", std::nullopt, -1ms}}));
  World world("", "any", "freshness: {max_staleness: 1m, when_stale: " + policy + "}\n");
  world.age = age;
  CHECK(world.gate.fresh_for() == left);
  CHECK(world.gate.is_stale() == (left < 0ms));
}

TEST_CASE("blocks of a device and of either issuer id refuse", "[plugin][gate]") {
  World world;
  world.record("dev1", CertState::kActive);
  const auto& facts = certificate_of("dev1").facts;
  REQUIRE_FALSE(facts.issuer_key_id.empty());

  world.replica.put_device_block("dev1", Block{}, kUnstamped);
  world.connect(world.client("dev1"));
  CHECK(refused(world, Reason::kDeviceBlocked) == 1);
  world.replica.put_issuer_block(facts.issuer_key_id, Block{}, kUnstamped);
  world.connect(world.client("dev1"));
  CHECK(refused(world, Reason::kIssuerBlocked) == 1);
  world.replica.erase_issuer_block(facts.issuer_key_id);
  world.replica.put_issuer_block(facts.issuer_name_id, Block{}, kUnstamped);
  world.connect(world.client("dev1"));
  CHECK(refused(world, Reason::kIssuerBlocked) == 2);
}

TEST_CASE("`mode: report` admits what it would refuse and says so", "[plugin][gate]") {
  World world("  mode: report", kOwnTopics);
  mosquitto& dev1 = world.client("dev1");

  CHECK(world.connect(dev1) == MOSQ_ERR_SUCCESS);
  CHECK(dev1.username == "dev1");
  CHECK(world.may_publish(dev1, "not/its/own"));

  CHECK(fake_broker().logged("would_refuse reason=unknown_certificate"));
  CHECK(fake_broker().logged("would_refuse reason=topic_not_allowed action=publish"));
  CHECK(world.notices.counters().would_refuse == 2);
  world.tick();
  CHECK(fake_broker().kicks.empty());
}

TEST_CASE("`mode: report` grants no rights to those without a certificate or an identity",
          "[plugin][gate]") {
  World world("  mode: report\n  reserved_names: [admin]");

  mosquitto& nobody = world.client("", "plain");
  nobody.username = "admin";
  CHECK(world.connect(nobody) == MOSQ_ERR_PLUGIN_DEFER);  // as it was before the plugin came
  mosquitto& impostor = world.client("admin");
  CHECK(world.connect(impostor) == MOSQ_ERR_PLUGIN_DEFER);
}

TEST_CASE("a client of without_certificate is left to the others, by name and address",
          "[plugin][gate]") {
  World world("", "any", "without_certificate: [{username: exporter, address: 127.0.0.1}]\n");
  mosquitto& exporter = world.client("", "metrics");
  exporter.username = "exporter";
  mosquitto& elsewhere = world.client("", "metrics2");
  elsewhere.username = "exporter";
  elsewhere.address = "192.0.2.1";

  CHECK(world.connect(exporter) == MOSQ_ERR_PLUGIN_DEFER);
  CHECK(world.acl(exporter, Access::kSubscribe, "$SYS/#") == MOSQ_ERR_PLUGIN_DEFER);
  CHECK(world.connect(elsewhere) == MOSQ_ERR_AUTH);
  CHECK(refused(world, Reason::kNoCertificate) == 1);
}

TEST_CASE("a client of without_certificate may replace itself, never a live device",
          "[plugin][gate]") {
  World world("  client_id: any", "any",
              "without_certificate: [{username: exporter, address: 127.0.0.1}]\n");
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = world.client("dev1", "shared");
  const auto exporter = [&]() -> mosquitto& {
    mosquitto& made = world.client("", "shared");
    made.username = "exporter";
    return made;
  };
  REQUIRE(world.connect(dev1) == MOSQ_ERR_SUCCESS);

  CHECK(world.connect(exporter()) == MOSQ_ERR_AUTH);
  CHECK(refused(world, Reason::kClientIdMismatch) == 1);
  CHECK(world.is_up(dev1));

  world.disconnect(dev1);
  CHECK(world.connect(exporter()) == MOSQ_ERR_PLUGIN_DEFER);
  world.tick();
  CHECK(world.connect(exporter()) == MOSQ_ERR_PLUGIN_DEFER);
}

TEST_CASE("gotcha 9: in a takeover the old session leaves and the new one keeps the client id",
          "[plugin][gate][gotcha]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& first = world.client("dev1");
  mosquitto& second = world.client("dev1");
  world.connect(first);

  CHECK(world.connect(second) == MOSQ_ERR_SUCCESS);

  CHECK_FALSE(world.is_up(first));
  CHECK(world.sessions.holder("dev1")->client == &second);
}

TEST_CASE("a refused takeover leaves the live session alone", "[plugin][gate]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& live = world.client("dev1");
  world.connect(live);

  CHECK(world.connect(world.client("dev2", "dev1")) == MOSQ_ERR_AUTH);

  CHECK(world.sessions.holder("dev1")->client == &live);
  CHECK(world.may_publish(live, "x"));
}

TEST_CASE("a client id held by another device's live session is refused under `any`",
          "[plugin][gate]") {
  World world("  client_id: any");
  world.record("dev1", CertState::kActive);
  world.record("dev2", CertState::kActive);
  mosquitto& dev1 = world.client("dev1", "shared");
  REQUIRE(world.connect(dev1) == MOSQ_ERR_SUCCESS);

  CHECK(world.connect(world.client("dev2", "shared")) == MOSQ_ERR_AUTH);
  CHECK(refused(world, Reason::kClientIdMismatch) == 1);

  world.disconnect(dev1);
  CHECK(world.connect(world.client("dev2", "shared")) == MOSQ_ERR_SUCCESS);
}

TEST_CASE("one certificate under two client ids is refused or reported as the rules say",
          "[plugin][gate]") {
  const auto [rule, code, clones] =
      GENERATE(table<std::string, int, int>({{"allow", MOSQ_ERR_SUCCESS, 0},
                                             {"report", MOSQ_ERR_SUCCESS, 1},
                                             {"refuse", MOSQ_ERR_AUTH, 0}}));
  INFO(rule);
  World world("  client_id: device_or_suffix\n  certificate_in_use: " + rule);
  world.record("dev1", CertState::kActive);
  REQUIRE(world.connect(world.client("dev1", "dev1/a")) == MOSQ_ERR_SUCCESS);

  CHECK(world.connect(world.client("dev1", "dev1/b")) == code);
  CHECK(static_cast<int>(world.events("clone").size()) == clones);
}

TEST_CASE("takeovers from alternating addresses raise one clone event", "[plugin][gate]") {
  World world;
  world.record("dev1", CertState::kActive);

  for (int i = 0; i < 8; ++i) {
    mosquitto& dev1 = world.client("dev1");
    dev1.address = i % 2 == 0 ? "192.0.2.1" : "192.0.2.2";
    REQUIRE(world.connect(dev1) == MOSQ_ERR_SUCCESS);
  }

  CHECK(world.events("clone").size() == 1);
}

TEST_CASE("a device that roams from address to address raises no clone event", "[plugin][gate]") {
  World world;
  world.record("dev1", CertState::kActive);

  for (int i = 0; i < 8; ++i) {
    mosquitto& dev1 = world.client("dev1");
    dev1.address = "192.0.2." + std::to_string(i);
    REQUIRE(world.connect(dev1) == MOSQ_ERR_SUCCESS);
  }

  CHECK(world.events("clone").empty());
}

TEST_CASE("the first connection of a certificate is told, and again once its record changed",
          "[plugin][gate]") {
  World world;
  world.record("dev1", CertState::kActive);
  world.connect(world.client("dev1"));
  world.connect(world.client("dev1"));
  CHECK(world.events("first_seen").size() == 1);

  world.record("dev1", CertState::kActive);
  world.connect(world.client("dev1"));
  CHECK(world.events("first_seen").size() == 2);
}

TEST_CASE("an unknown certificate is described to the registry when the rules ask for it",
          "[plugin][gate]") {
  World world("  unknown_certificate: report");

  CHECK(world.connect(world.client("dev1")) == MOSQ_ERR_AUTH);
  CHECK(world.connect(world.client("dev1")) == MOSQ_ERR_AUTH);

  const auto events = world.events("unknown");
  REQUIRE(events.size() == 1);
  CHECK(events[0].fields[0] ==
        std::pair<std::string, std::string>{
            "fingerprint", leafgate::policy::to_hex(certificate_of("dev1").fingerprint)});
}

// ---- topics

TEST_CASE("a session may do what its rules allow and nothing else", "[plugin][gate]") {
  World world("", kOwnTopics);
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = world.client("dev1");
  world.connect(dev1);

  CHECK(world.acl(dev1, Access::kPublish, "devices/dev1/t") == MOSQ_ERR_SUCCESS);
  CHECK(world.acl(dev1, Access::kPublish, "devices/dev2/t") == MOSQ_ERR_ACL_DENIED);
  CHECK(world.acl(dev1, Access::kSubscribe, "devices/dev1/cmd/+") == MOSQ_ERR_SUCCESS);
  CHECK(world.acl(dev1, Access::kSubscribe, "devices/+/cmd/+") == MOSQ_ERR_ACL_DENIED);
  CHECK(world.acl(dev1, Access::kReceive, "devices/dev1/cmd/x") == MOSQ_ERR_SUCCESS);
  CHECK(world.acl(dev1, Access::kReceive, "devices/dev1/t") == MOSQ_ERR_ACL_DENIED);
  CHECK(refused(world, Reason::kTopicNotAllowed) == 3);
}

TEST_CASE("`topics: defer` leaves topics to the others and `any` allows all", "[plugin][gate]") {
  const auto [topics, code] = GENERATE(
      table<std::string, int>({{"defer", MOSQ_ERR_PLUGIN_DEFER}, {"any", MOSQ_ERR_SUCCESS}}));
  World world("", topics);
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = world.client("dev1");
  world.connect(dev1);

  CHECK(world.acl(dev1, Access::kPublish, "any/topic") == code);
}

TEST_CASE("gotcha 1: a live client we were never asked about is judged at its first action",
          "[plugin][gate][gotcha]") {
  World world("", kOwnTopics);
  mosquitto& dev1 = world.client("dev1");
  dev1.username = "dev1";
  fake_broker().by_id["dev1"] = &dev1;

  SECTION("and may go on when its record admits it") {
    world.record("dev1", CertState::kActive);
    CHECK(world.may_publish(dev1, "devices/dev1/t"));
    CHECK_FALSE(world.may_publish(dev1, "devices/dev2/t"));
    CHECK(world.is_up(dev1));
  }
  SECTION("and is denied and ended when it does not") {
    world.record("dev1", CertState::kInactive);
    CHECK_FALSE(world.may_publish(dev1, "devices/dev1/t"));
    CHECK(fake_broker().kicks.empty());  // never from within the action
    world.tick();
    CHECK(fake_broker().kicks.size() == 1);
    CHECK_FALSE(world.is_up(dev1));
  }
}

TEST_CASE("gotcha 11: an offline session keeps receiving unless its device is blocked",
          "[plugin][gate][gotcha]") {
  World world("", kOwnTopics);
  mosquitto& offline = world.client("", "dev1");
  offline.username = "dev1";

  CHECK(world.acl(offline, Access::kReceive, "devices/dev1/cmd/x") == MOSQ_ERR_SUCCESS);
  CHECK(world.acl(offline, Access::kSubscribe, "devices/dev1/cmd/x") == MOSQ_ERR_ACL_DENIED);

  world.replica.put_device_block("dev1", Block{world.now}, kUnstamped);
  CHECK(world.acl(offline, Access::kReceive, "devices/dev1/cmd/x") == MOSQ_ERR_SUCCESS);
  world.replica.put_device_block("dev1", Block{}, kUnstamped);
  CHECK(world.acl(offline, Access::kReceive, "devices/dev1/cmd/x") == MOSQ_ERR_ACL_DENIED);
}

TEST_CASE("gotcha 11: retained messages count as their sender's device", "[plugin][gate][gotcha]") {
  World world("", kOwnTopics);
  mosquitto& source = world.client("", "dev1");
  source.username = "dev1";

  CHECK(world.acl(source, Access::kPublish, "devices/dev1/t") == MOSQ_ERR_SUCCESS);
  CHECK(world.acl(source, Access::kPublish, "devices/dev2/t") == MOSQ_ERR_ACL_DENIED);
  source.username.reset();
  CHECK(world.acl(source, Access::kPublish, "devices/dev1/t") == MOSQ_ERR_ACL_DENIED);
}

TEST_CASE("a will is judged by the rules of the session that left it", "[plugin][gate]") {
  World world("", kOwnTopics);
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = world.client("dev1");
  world.connect(dev1);
  dev1.certificate = certificate_of("dev1").pem;

  world.gate.left(
      &dev1);  // since 2.0.13 the certificate is still there when the will is asked about

  CHECK(world.may_publish(dev1, "devices/dev1/will"));
  CHECK_FALSE(world.may_publish(dev1, "devices/dev2/will"));
  CHECK_FALSE(world.is_up(dev1));
}

TEST_CASE("the will of a client that was turned away is not published in anybody's name",
          "[plugin][gate]") {
  World world("", kOwnTopics);
  world.record("dev1", CertState::kRevoked);
  mosquitto& dev1 = world.client("dev1");
  dev1.username = "dev2";
  REQUIRE(world.connect(dev1) == MOSQ_ERR_AUTH);
  SECTION("with its certificate still there") {}
  SECTION("with its certificate gone") {
    dev1.certificate.clear();
  }

  CHECK_FALSE(world.may_publish(dev1, "devices/dev1/will"));
  CHECK_FALSE(world.may_publish(dev1, "devices/dev2/will"));
  CHECK_FALSE(world.is_up(dev1));
}

TEST_CASE("the will of a client that leaves before it was ever judged makes no session of it",
          "[plugin][gate]") {
  World world("", kOwnTopics);
  world.record("dev1", GENERATE(CertState::kActive, CertState::kRevoked));
  mosquitto& dev1 = world.client("dev1");
  dev1.username = "dev1";
  fake_broker().by_id["dev1"] = &dev1;  // the broker keeps the session under its id

  world.gate.left(&dev1);
  SECTION("with its certificate still there") {}
  SECTION("with its certificate gone") {
    dev1.certificate.clear();
  }

  CHECK_FALSE(world.may_publish(dev1, "devices/dev1/will"));
  CHECK_FALSE(world.is_up(dev1));
  world.tick();
  CHECK(fake_broker().kicks.empty());
}

TEST_CASE("the will of an offline session counts as its device's also when that session ends",
          "[plugin][gate]") {
  World world("", kOwnTopics);
  mosquitto& offline = world.client("", "dev1");
  offline.username = "dev1";

  world.gate.left(&offline);

  CHECK(world.may_publish(offline, "devices/dev1/will"));
}

// ---- MQTT 5 authentication, pre-shared keys

TEST_CASE("gotcha 2: MQTT 5 authentication does not get past the gate", "[plugin][gate][gotcha]") {
  World world;
  mosquitto& dev1 = world.client("dev1");
  const auto authenticate = [&] {
    return code_of(world.gate.authenticate(&dev1), Refusal::kConnection);
  };

  SECTION("refused when its record does not admit it") {
    world.record("dev1", CertState::kRevoked);
    CHECK(authenticate() == MOSQ_ERR_AUTH);
    CHECK_FALSE(world.is_up(dev1));
  }
  SECTION("left to the others when it does, and refused half way once it no longer does") {
    world.record("dev1", CertState::kActive);
    CHECK(authenticate() == MOSQ_ERR_PLUGIN_DEFER);
    CHECK(dev1.username == "dev1");
    CHECK(authenticate() == MOSQ_ERR_PLUGIN_DEFER);
#ifdef FAKE_BROKER_2_1
    CHECK(world.notices.counters().admitted == 0);  // once it is in
#else
    CHECK(world.notices.counters().admitted == 1);
#endif

    world.record("dev1", CertState::kInactive);
    CHECK(authenticate() == MOSQ_ERR_AUTH);
    CHECK_FALSE(world.is_up(dev1));
  }
}

TEST_CASE("a pre-shared key does not stand in for a certificate", "[plugin][gate]") {
  World world("", "any", "without_certificate: [{username: exporter, address: 127.0.0.1}]\n");
  mosquitto& client = world.client("", "x");
  const auto ask = [&](const char* identity) {
    return code_of(world.gate.pre_shared_key(&client, identity), Refusal::kConnection);
  };

  CHECK(ask("dev1") == MOSQ_ERR_AUTH);
  CHECK(ask("exporter") == MOSQ_ERR_PLUGIN_DEFER);
}

#ifdef FAKE_BROKER_2_1

TEST_CASE("2.1: a client the broker let in without asking is judged when it is in",
          "[plugin][gate]") {
  World world;
  world.record("dev1", CertState::kRevoked);
  mosquitto& dev1 = world.client("dev1");
  mosquitto& plain = world.client("", "plain");
  fake_broker().by_id = {{"dev1", &dev1}, {"plain", &plain}};

  world.gate.connected(&dev1);
  world.gate.connected(&plain);
  world.tick();

  CHECK(fake_broker().kicks.size() == 2);
  CHECK(world.sessions.size() == 0);
}

TEST_CASE("2.1: MQTT 5 authentication that others refuse leaves no claim on the client id",
          "[plugin][gate]") {
  World world("  client_id: any\n  certificate_in_use: refuse");
  world.record("dev1", CertState::kActive);
  world.record("dev2", CertState::kActive);
  mosquitto& refused_by_others = world.client("dev1", "dev2");
  REQUIRE(world.gate.authenticate(&refused_by_others).decision.allow);
  CHECK(refused_by_others.username == "dev1");
  refused_by_others.id.reset();  // the broker tells nobody that it is gone
  world.tick();

  CHECK(world.connect(world.client("dev2")) == MOSQ_ERR_SUCCESS);
  CHECK(world.connect(world.client("dev1")) == MOSQ_ERR_SUCCESS);
}

TEST_CASE("2.1: a client that others authenticated is a session once the broker says so",
          "[plugin][gate]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = world.client("dev1");
  REQUIRE(world.gate.authenticate(&dev1).decision.allow);
  CHECK_FALSE(world.is_up(dev1));

  fake_broker().by_id["dev1"] = &dev1;
  world.gate.connected(&dev1);

  CHECK(world.is_up(dev1));
  CHECK(world.notices.counters().admitted == 1);
}

TEST_CASE("2.1: a session whose end we were not told of does not keep its client id",
          "[plugin][gate]") {
  World world("  client_id: any");
  world.record("dev1", CertState::kActive);
  world.record("dev2", CertState::kActive);
  mosquitto& dev1 = world.client("dev1", "shared");
  world.connect(dev1);
  fake_broker().by_id.erase("shared");

  CHECK(world.connect(world.client("dev2", "shared")) == MOSQ_ERR_SUCCESS);
}
#endif
