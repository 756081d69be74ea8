// SPDX-License-Identifier: Apache-2.0
#include "plugin/rejudge.h"

#include "tests/catch.h"
#include "tests/plugin/world.h"

using leafgate::plugin::kJudgingMax;
using leafgate::plugin::kRest;
using leafgate::plugin::kTurnMax;
using leafgate::policy::Access;
using leafgate::policy::Block;
using leafgate::policy::CertRecord;
using leafgate::policy::CertState;
using leafgate::registry::ChangeBatch;
using leafgate::registry::kUnstamped;
using leafgate::test::certificate_of;
using leafgate::test::fake_broker;
using leafgate::test::World;
using namespace std::chrono_literals;

namespace {

mosquitto& connected(World& world, const std::string& device, const std::string& client_id) {
  mosquitto& client = world.client(device, client_id);
  REQUIRE(world.connect(client) == MOSQ_ERR_SUCCESS);
  return client;
}

}  // namespace

TEST_CASE("a session ends when its record stops admitting it, and only that one",
          "[plugin][rejudge]") {
  World world;
  world.record("dev1", CertState::kActive);
  world.record("dev2", CertState::kActive);
  mosquitto& dev1 = connected(world, "dev1", "dev1");
  mosquitto& dev2 = connected(world, "dev2", "dev2");

  world.record("dev1", CertState::kInactive);
  world.tick();

  CHECK_FALSE(world.is_up(dev1));
  CHECK(world.is_up(dev2));
  CHECK(world.notices.counters().ended == 1);
  CHECK(world.events("ended").size() == 1);
  CHECK(fake_broker().logged("ended reason=inactive device=dev1 "));
}

TEST_CASE("a change that still admits ends nothing", "[plugin][rejudge]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = connected(world, "dev1", "dev1");

  world.record("dev1", CertState::kActive);
  world.tick();

  CHECK(world.is_up(dev1));
  CHECK(fake_broker().kicks.empty());
}

TEST_CASE("a blocked device's and a blocked issuer's sessions end", "[plugin][rejudge]") {
  World world("  client_id: device_or_suffix\n  certificate_in_use: allow");
  world.record("dev1", CertState::kActive);
  connected(world, "dev1", "dev1/a");
  connected(world, "dev1", "dev1/b");
  ChangeBatch batch;

  SECTION("by device") {
    world.replica.put_device_block("dev1", Block{}, kUnstamped);
    batch.devices.push_back("dev1");
  }
  SECTION("by issuer key id") {
    const std::string id = certificate_of("dev1").facts.issuer_key_id;
    world.replica.put_issuer_block(id, Block{}, kUnstamped);
    batch.issuers.push_back(id);
  }
  SECTION("by issuer name") {
    const std::string id = certificate_of("dev1").facts.issuer_name_id;
    world.replica.put_issuer_block(id, Block{}, kUnstamped);
    batch.issuers.push_back(id);
  }
  SECTION("by a change of everything") {
    world.replica.put_device_block("dev1", Block{}, kUnstamped);
    batch.all = true;
  }
  world.rejudge.changed(batch);
  world.tick();

  CHECK(world.sessions.size() == 0);
}

TEST_CASE("the will is published unless the session was revoked or blocked", "[plugin][rejudge]") {
  const auto [state, with_will] = GENERATE(table<CertState, bool>({{CertState::kInactive, true},
                                                                   {CertState::kRetired, true},
                                                                   {CertState::kPending, true},
                                                                   {CertState::kRevoked, false}}));
  World world;
  world.record("dev1", CertState::kActive);
  connected(world, "dev1", "dev1");

  world.record("dev1", state);
  world.tick();

  REQUIRE(fake_broker().kicks.size() == 1);
  CHECK(fake_broker().kicks[0].with_will == with_will);
}

TEST_CASE("a blocked device's will is not published, nor are its subscriptions kept",
          "[plugin][rejudge]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = connected(world, "dev1", "dev1");
  int kept = -1;
  fake_broker().on_kick = [&](mosquitto& who, bool) {
    kept = world.acl(who, Access::kSubscribe, "its/subscription");
    world.disconnect(who);
  };

  world.replica.put_device_block("dev1", Block{}, kUnstamped);
  world.rejudge.everything();
  world.tick();

  CHECK_FALSE(world.is_up(dev1));
  CHECK_FALSE(fake_broker().kicks.at(0).with_will);
  CHECK(kept == MOSQ_ERR_ACL_DENIED);
}

TEST_CASE("a deactivated device's durable subscriptions and will outlast its session",
          "[plugin][rejudge]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = connected(world, "dev1", "dev1");
  int kept = -1;
  int will = -1;
  fake_broker().on_kick = [&](mosquitto& who, bool) {
    kept = world.acl(who, Access::kSubscribe, "its/subscription");
    world.disconnect(who);
    will = world.acl(who, Access::kPublish, "its/will");
  };

  world.record("dev1", CertState::kInactive);
  world.tick();

  CHECK_FALSE(world.is_up(dev1));
  CHECK(kept == MOSQ_ERR_SUCCESS);
  CHECK(will == MOSQ_ERR_SUCCESS);
}

TEST_CASE("sessions end at notAfter, at retire_at and when the key's TTL runs out",
          "[plugin][rejudge]") {
  World world;
  const auto& facts = certificate_of("dev1").facts;
  CertRecord record;
  record.state = CertState::kActive;
  auto end = facts.not_after + 1s;
  SECTION("notAfter") {}
  SECTION("retire_at") {
    end = world.now + 10s;
    record.state = CertState::kRetiring;
    record.retire_at = end;
  }
  SECTION("time to live") {
    end = world.now + 1500ms;
    record.gone_at = end;
  }
  world.replica.put(facts.fingerprint, record, kUnstamped);
  mosquitto& dev1 = connected(world, "dev1", "dev1");
  CHECK(world.sessions.first_deadline() == end);

  world.now = end - 1ms;
  world.tick();
  CHECK(world.is_up(dev1));
  world.now = end;
  world.tick();
  CHECK_FALSE(world.is_up(dev1));
}

TEST_CASE("an extended record moves the deadline of a live session", "[plugin][rejudge]") {
  World world;
  CertRecord record;
  record.state = CertState::kActive;
  record.gone_at = world.now + 10s;
  world.replica.put(certificate_of("dev1").fingerprint, record, kUnstamped);
  mosquitto& dev1 = connected(world, "dev1", "dev1");

  record.gone_at = world.now + 60s;
  world.replica.put(certificate_of("dev1").fingerprint, record, kUnstamped);
  world.changed("dev1");
  world.tick();
  world.now += 30s;
  world.tick();

  CHECK(world.is_up(dev1));
  CHECK(world.sessions.first_deadline() == record.gone_at);
}

TEST_CASE("with `when_stale: disconnect` a stale registry ends devices, with their wills",
          "[plugin][rejudge]") {
  World world("", "any",
              "freshness: {when_stale: disconnect}\n"
              "without_certificate: [{username: exporter, address: 127.0.0.1}]\n");
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = connected(world, "dev1", "dev1");
  mosquitto& exporter = world.client("", "exporter");
  exporter.username = "exporter";
  REQUIRE(world.connect(exporter) == MOSQ_ERR_PLUGIN_DEFER);

  world.rejudge.everything();
  world.tick();
  CHECK(world.is_up(dev1));

  world.age = 2h;
  world.rejudge.everything();
  world.tick();
  CHECK_FALSE(world.is_up(dev1));
  CHECK(world.is_up(exporter));
  REQUIRE(fake_broker().kicks.size() == 1);
  CHECK(fake_broker().kicks[0].with_will);
  CHECK(fake_broker().logged("ended reason=registry_stale device=dev1"));
  CHECK(world.connect(world.client("dev1")) == MOSQ_ERR_AUTH);

  world.age = 1s;
  CHECK(world.connect(world.client("dev1")) == MOSQ_ERR_SUCCESS);
}

TEST_CASE("every refused session is barred at once and a tick ends them for a bounded time",
          "[plugin][rejudge]") {
  World world("  client_id: device_or_suffix\n  certificate_in_use: allow");
  world.record("dev1", CertState::kActive);
  const std::size_t count = 4;
  fake_broker().on_kick = [&](mosquitto& who, bool) {
    world.uptime += std::chrono::ceil<std::chrono::milliseconds>(kTurnMax / 2);
    world.disconnect(who);
  };
  std::vector<mosquitto*> clients;
  for (std::size_t i = 0; i < count; ++i) {
    clients.push_back(&connected(world, "dev1", "dev1/" + std::to_string(i)));
  }

  world.record("dev1", CertState::kInactive);
  world.tick();

  CHECK(fake_broker().kicks.size() == count - 2);
  CHECK(world.rejudge.busy());
  std::size_t may = 0;
  for (mosquitto* client : clients) {
    if (world.is_up(*client) && world.may_publish(*client, "x")) ++may;
  }
  CHECK(may == 0);

  world.tick();
  CHECK(world.sessions.size() == 2);  // the broker has its loop to itself
  world.uptime += std::chrono::ceil<std::chrono::milliseconds>(kRest);
  world.tick();
  CHECK(world.sessions.size() == 0);
  CHECK_FALSE(world.rejudge.busy());
}

TEST_CASE("thousands of sessions that end at one moment are each judged once, over several turns",
          "[plugin][rejudge]") {
  World world("  client_id: device_or_suffix\n  certificate_in_use: allow");
  CertRecord record;
  record.state = CertState::kActive;
  record.gone_at = world.now + 10s;
  world.replica.put(certificate_of("dev1").fingerprint, record, kUnstamped);
  constexpr int kCount = 12;
  for (int i = 0; i < kCount; ++i)
    connected(world, "dev1", "dev1/" + std::to_string(i));

  world.each_look = kJudgingMax / 4;  // three to a turn
  world.now += 10s;
  int turns = 0;
  do {
    world.rejudge.run(world.now);
    world.uptime += std::chrono::ceil<std::chrono::milliseconds>(kRest);
    ++turns;
  } while (world.rejudge.busy() || world.sessions.first_due(world.now) != nullptr);

  CHECK(turns == kCount / 3);
  CHECK(world.sessions.size() == 0);
}

TEST_CASE("changes that come faster than they are judged cost a bounded amount of memory",
          "[plugin][rejudge]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = connected(world, "dev1", "dev1");

  for (std::size_t i = 0; i < 50'000; ++i)
    world.changed("dev1");
  world.record("dev1", CertState::kInactive);
  world.tick();
  world.tick();
  world.tick();

  CHECK_FALSE(world.rejudge.busy());
  CHECK_FALSE(world.is_up(dev1));
}

TEST_CASE("gotcha 13: a client id that leads to another session is never ended",
          "[plugin][rejudge][gotcha]") {
  World world("  then: defer");
  world.record("dev1", CertState::kActive);
  mosquitto& live = world.client("dev1");
  world.connect(live);
  world.tick();
  mosquitto& asking = world.client("dev1");
  // MQTT 5 authentication: still between its packets, so the id leads to the live session.
  leafgate::plugin::Session pending;
  pending.client = &asking;
  pending.client_id = "dev1";
  world.sessions.condemn(world.sessions.insert(std::move(pending)),
                         leafgate::policy::Reason::kInactive);
  world.tick();
  CHECK(fake_broker().kicks.empty());
  CHECK(world.is_up(live));

  // Once it has the client id, it is ended.
  world.disconnect(live);
  fake_broker().by_id["dev1"] = &asking;
  world.sessions.confirm(*world.sessions.find(&asking));
  world.rejudge.retry();
  world.tick();
  CHECK(fake_broker().kicks.size() == 1);
  CHECK_FALSE(world.is_up(asking));
}

TEST_CASE("gotcha 14: an offline session's client id is never ended", "[plugin][rejudge][gotcha]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = connected(world, "dev1", "dev1");
  world.gate.left(&dev1);  // the broker keeps the session under its id
  fake_broker().by_id["dev1"] = &dev1;

  world.record("dev1", CertState::kRevoked);
  world.tick();

  CHECK(fake_broker().kicks.empty());
}

TEST_CASE("gotcha 14: nor is it through a connection that the broker has yet to close or to accept",
          "[plugin][rejudge][gotcha]") {
  World world;
  world.record("dev1", CertState::kActive);
  // libwebsockets closes a connection whose peer reads nothing long after its id was taken over.
  mosquitto& slow = connected(world, "dev1", "dev1");
  leafgate::plugin::Session taken = *world.sessions.find(&slow);
  mosquitto& next = connected(world, "dev1", "dev1");
  if (!world.is_up(slow)) world.sessions.insert(std::move(taken)).displaced = true;
  mosquitto& asking = world.client("dev1");
  leafgate::plugin::Session pending = *world.sessions.find(&next);
  pending.client = &asking;
  pending.confirmed = false;
  world.disconnect(next);
  world.sessions.insert(std::move(pending));
  fake_broker().by_id["dev1"] = &next;  // kept offline

  world.record("dev1", CertState::kRevoked);
  world.tick();

  CHECK(fake_broker().kicks.empty());
}

TEST_CASE("gotcha 17: a session that closes later is barred meanwhile and ended once",
          "[plugin][rejudge][gotcha]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = connected(world, "dev1", "dev1");
  fake_broker().on_kick = [](mosquitto&, bool) {};  // libwebsockets: some turns later

  world.record("dev1", CertState::kInactive);
  world.tick();
  world.rejudge.retry();
  world.tick();

  CHECK(world.is_up(dev1));
  CHECK_FALSE(world.may_publish(dev1, "x"));
  CHECK(world.acl(dev1, Access::kSubscribe, "x") == MOSQ_ERR_ACL_DENIED);
  CHECK(fake_broker().kicks.size() == 1);
  CHECK(world.notices.counters().ended == 1);
}

TEST_CASE("a session whose end was lost on the way is ended when everybody is judged again",
          "[plugin][rejudge]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = connected(world, "dev1", "dev1");
  world.sessions.condemn(*world.sessions.find(&dev1), leafgate::policy::Reason::kInactive);
  static_cast<void>(world.sessions.take_condemned());  // then memory ran out
  world.tick();
  REQUIRE(world.is_up(dev1));

  world.rejudge.everything();
  world.tick();

  CHECK_FALSE(world.is_up(dev1));
  CHECK(fake_broker().kicks.size() == 1);
}

TEST_CASE("a session condemned and reactivated before its end is ended all the same",
          "[plugin][rejudge]") {
  World world;
  world.record("dev1", CertState::kActive);
  mosquitto& dev1 = connected(world, "dev1", "dev1");
  world.sessions.condemn(*world.sessions.find(&dev1), leafgate::policy::Reason::kInactive);

  world.record("dev1", CertState::kActive);
  world.tick();

  CHECK_FALSE(world.is_up(dev1));
  CHECK(world.connect(world.client("dev1")) == MOSQ_ERR_SUCCESS);
}
