// SPDX-License-Identifier: Apache-2.0
// What happens to sessions around the decision: takeovers, wills, offline sessions, resumed TLS.
#include "tests/catch.h"
#include "tests/e2e/world.h"

namespace leafgate::test {
namespace {

using std::chrono::seconds;

World& world() {
  static World shared = [] {
    BrokerOptions options;
    options.websockets = true;
    return World(options);
  }();
  return shared;
}

// In the same session since `client` connected: not ended, and its messages come back to it.
bool undisturbed(MqttClient& client, const std::string& name) {
  client.subscribe("self/" + name, 1);
  return flows(client, client, "self/" + name);
}

TEST_CASE("a refused client that claims a live client's id leaves that session alone",
          "[e2e][takeover]") {
  const CertFiles certificate = world().device("victim1");
  const CertFiles thief = world().device("thief1");
  const CertFiles twin = world().device("victim1", "inactive");
  MqttClient client = world().connected(certificate, "victim1");

  CHECK(world().attempt(thief, "victim1") == Connected::kRefused);
  CHECK(world().gave_reason(thief, "client_id_mismatch"));
  CHECK(world().attempt(twin, "victim1") == Connected::kRefused);
  CHECK(world().gave_reason(twin, "inactive"));

  CHECK(undisturbed(client, "victim1"));
  world().set_state(certificate, "inactive");
  CHECK(client.ended());
}

TEST_CASE("a device that takes over its own session is judged by what it brings now",
          "[e2e][takeover]") {
  const CertFiles old_certificate = world().device("heir1");
  const CertFiles new_certificate = world().device("heir1");
  MqttClient old_client = world().connected(old_certificate, "heir1");

  MqttClient new_client = world().connected(new_certificate, "heir1");
  CHECK(old_client.ended());
  CHECK(old_client.disconnect_code() != kAdministrativeAction);

  // The old certificate's end must not reach the new session, which has the same client id.
  world().set_state(old_certificate, "inactive");
  world().settle();
  CHECK(undisturbed(new_client, "heir1"));

  world().set_state(new_certificate, "inactive");
  CHECK(new_client.ended());
}

TEST_CASE("connections that vanish half way leave nothing behind that outlives them", "[e2e]") {
  const CertFiles certificate = world().device("vanish1");
  for (int i = 0; i < 30; ++i) {
    MqttClient client;
    client.connect(world().options(certificate, "vanish1"), std::chrono::milliseconds(i % 6));
    client.drop();
  }
  MqttClient client = world().connected(certificate, "vanish1");
  CHECK(undisturbed(client, "vanish1"));

  world().set_state(certificate, "inactive");

  CHECK(client.ended());
}

TEST_CASE("the will of an ended session is published unless it was revoked or blocked",
          "[e2e][will]") {
  struct Case {
    const char* name;
    std::vector<std::string> fields;
    bool published;
  };
  const std::vector<Case> cases = {
      {"will-inactive", {"state", "inactive"}, true},
      {"will-retired", {"state", "retired"}, true},
      {"will-revoked", {"state", "revoked", "revoked_at", in_seconds(0)}, false},
      {"will-blocked", {}, false},
  };
  MqttClient watcher = world().connected(world().device("watcher1"), "watcher1");
  REQUIRE(watcher.subscribe("wills/#", 1) == 1);
  for (const Case& c : cases) {
    INFO(c.name);
    const CertFiles certificate = world().device(c.name);
    ConnectOptions options = world().options(certificate, c.name);
    options.will_topic = std::string("wills/") + c.name;
    options.will_payload = "gone";
    MqttClient client = world().connected(options);

    if (c.fields.empty()) {
      world().redis.cli({"HSET", std::string("leafgate:block:device:") + c.name, "note", "stolen"});
    } else {
      world().set(certificate, c.fields);
    }
    REQUIRE(client.ended());
    watcher.publish("wills/marker", c.name, 1);

    // The will, if any, was published before the connection was closed.
    const auto first = watcher.receive();
    REQUIRE(first);
    CHECK(first->topic == (c.published ? *options.will_topic : "wills/marker"));
    if (c.published) CHECK(watcher.receive()->topic == "wills/marker");
  }
}

TEST_CASE("the will of a client that is refused is never published", "[e2e][will]") {
  const CertFiles certificate = world().device("nowill1", "inactive");
  MqttClient watcher = world().connected(world().device("watcher2"), "watcher2");
  REQUIRE(watcher.subscribe("nowills/#", 1) == 1);
  ConnectOptions options = world().options(certificate, "nowill1");
  options.will_topic = "nowills/nowill1";
  options.will_payload = "gone";
  MqttClient client;

  CHECK(client.connect(options) == Connected::kRefused);
  client.drop();
  world().settle();
  watcher.publish("nowills/marker", "", 1);

  CHECK(watcher.receive()->topic == "nowills/marker");
}

ConnectOptions durable(const CertFiles& certificate, const std::string& name) {
  ConnectOptions options = world().options(certificate, name);
  options.clean_start = false;
  options.session_expiry_s = 3600;
  return options;
}

TEST_CASE("an inactive device's offline session waits for it and is not given to it before",
          "[e2e][offline]") {
  const CertFiles certificate = world().device("offline1");
  MqttClient sender = world().connected(world().device("sender1"), "sender1");
  MqttClient client = world().connected(durable(certificate, "offline1"));
  REQUIRE(client.subscribe("cmd/offline1", 1) == 1);
  client.disconnect();

  REQUIRE(took(sender.publish("cmd/offline1", "first", 1)));
  world().set_state(certificate, "inactive");
  world().settle();
  REQUIRE(took(sender.publish("cmd/offline1", "second", 1)));
  CHECK(client.connect(durable(certificate, "offline1")) == Connected::kRefused);
  CHECK_FALSE(client.receive(seconds(0)));

  world().set_state(certificate, "active");
  client = world().connected(durable(certificate, "offline1"));
  CHECK(client.session_present());
  CHECK(client.receive().value_or(Message{}).payload == "first");
  CHECK(client.receive().value_or(Message{}).payload == "second");
}

TEST_CASE("an ended session with queued messages gets none of them while it is refused",
          "[e2e][offline]") {
  const CertFiles certificate = world().device("offline2");
  MqttClient sender = world().connected(world().device("sender2"), "sender2");
  MqttClient client = world().connected(durable(certificate, "offline2"));
  REQUIRE(client.subscribe("cmd/offline2", 1) == 1);

  world().set(certificate, {"state", "revoked", "revoked_at", in_seconds(0)});
  REQUIRE(client.ended());
  CHECK_FALSE(client.receive(seconds(0)));
  REQUIRE(took(sender.publish("cmd/offline2", "secret", 1)));

  CHECK(client.connect(durable(certificate, "offline2")) == Connected::kRefused);
  CHECK_FALSE(client.receive(seconds(0)));
  CHECK(world().broker.log().find("Sending PUBLISH to offline2") == std::string::npos);
  CHECK(sender.ping());
}

TEST_CASE("a session that was ended keeps its subscriptions for when its device is active again",
          "[e2e][offline]") {
  const CertFiles certificate = world().device("offline4");
  MqttClient sender = world().connected(world().device("sender4"), "sender4");
  MqttClient client = world().connected(durable(certificate, "offline4"));
  REQUIRE(client.subscribe("cmd/offline4", 1) == 1);

  world().set_state(certificate, "inactive");
  REQUIRE(client.ended());
  REQUIRE(took(sender.publish("cmd/offline4", "meanwhile", 1)));
  world().set_state(certificate, "active");

  client = world().connected(durable(certificate, "offline4"));
  CHECK(client.session_present());
  CHECK(client.receive().value_or(Message{}).payload == "meanwhile");
  CHECK(flows(sender, client, "cmd/offline4"));
}

TEST_CASE("nothing is queued for a blocked device's offline session", "[e2e][offline]") {
  const CertFiles certificate = world().device("offline3");
  MqttClient sender = world().connected(world().device("sender3"), "sender3");
  MqttClient client = world().connected(durable(certificate, "offline3"));
  REQUIRE(client.subscribe("cmd/offline3", 1) == 1);
  client.disconnect();

  world().redis.cli({"HSET", "leafgate:block:device:offline3", "note", "stolen"});
  world().settle();
  REQUIRE(sender.publish("cmd/offline3", "while blocked", 1).has_value());
  world().redis.cli({"DEL", "leafgate:block:device:offline3"});
  world().settle();
  REQUIRE(took(sender.publish("cmd/offline3", "after", 1)));

  client = world().connected(durable(certificate, "offline3"));
  CHECK(client.session_present());
  CHECK(client.receive().value_or(Message{}).payload == "after");
}

TEST_CASE("a retained message is delivered although its publisher is long gone", "[e2e]") {
  {
    MqttClient publisher = world().connected(world().device("retain1"), "retain1");
    REQUIRE(took(publisher.publish("retained/here", "kept", 1, true)));
    publisher.disconnect();
  }
  MqttClient reader = world().connected(world().device("retain2"), "retain2");

  REQUIRE(reader.subscribe("retained/#", 1) == 1);

  const auto message = reader.receive();
  REQUIRE(message);
  CHECK(message->payload == "kept");
  CHECK(message->retain);
}

TEST_CASE("a resumed TLS session is judged like a new one", "[e2e][resumption]") {
  const int version = GENERATE(12, 13);
  INFO("TLS 1." << version - 10);
  const std::string name = "resume-" + std::to_string(version);
  const CertFiles certificate = world().device(name);
  ConnectOptions options = world().options(certificate, name);
  options.tls_version = version;
  MqttClient first = world().connected(options);
  REQUIRE(first.ping());
  options.tls_session = first.tls_session();
  REQUIRE_FALSE(options.tls_session.empty());

  MqttClient second = world().connected(options);
  REQUIRE(second.tls_resumed());
  options.tls_session = second.tls_session().empty() ? options.tls_session : second.tls_session();

  world().set(certificate, {"state", "revoked", "revoked_at", in_seconds(0)});
  REQUIRE(second.ended());
  MqttClient third;
  CHECK(third.connect(options) == Connected::kRefused);
  CHECK(third.tls_resumed());
  CHECK(world().gave_reason(certificate, "revoked"));
}

TEST_CASE("a TLS session outlives its certificate, and does not admit it", "[e2e][resumption]") {
  const int version = GENERATE(12, 13);
  INFO("TLS 1." << version - 10);
  const std::string name = "outlived-" + std::to_string(version);
  CertSpec spec;
  spec.not_after = "+2s";
  const CertFiles certificate = world().device(name, "active", spec);
  ConnectOptions options = world().options(certificate, name);
  options.tls_version = version;
  MqttClient first = world().connected(options);
  REQUIRE(first.ping());
  options.tls_session = first.tls_session();
  REQUIRE_FALSE(options.tls_session.empty());
  REQUIRE(first.ended(seconds(20)));

  // OpenSSL checks dates in full handshakes only.
  MqttClient again;
  CHECK(again.connect(options) == Connected::kRefused);
  CHECK(again.tls_resumed());
  CHECK(again.connack_code() == kNotAuthorized);
  CHECK(world().gave_reason(certificate, "certificate_expired"));
}

TEST_CASE("clients on a websockets listener are judged and ended like the others",
          "[e2e][websockets]") {
  const CertFiles certificate = world().device("web1");
  ConnectOptions options = world().options(certificate, "web1");
  options.port = world().broker.websocket_port();
  options.websocket = true;
  MqttClient client = world().connected(options);
  CHECK(undisturbed(client, "web1"));

  world().set_state(certificate, "inactive");
  REQUIRE(client.ended());
  CHECK(MqttClient().connect(options) == Connected::kRefused);
  CHECK(world().gave_reason(certificate, "inactive"));

  options.credential = world().device("web2", "");
  options.client_id = "web2";
  CHECK(MqttClient().connect(options) == Connected::kRefused);
}

TEST_CASE("a websocket client that is being closed can do nothing any more", "[e2e][websockets]") {
  const CertFiles certificate = world().device("web3");
  MqttClient watcher = world().connected(world().device("watcher3"), "watcher3");
  REQUIRE(watcher.subscribe("web3/#", 1) == 1);
  ConnectOptions options = world().options(certificate, "web3");
  options.port = world().broker.websocket_port();
  options.websocket = true;
  MqttClient client = world().connected(options);
  REQUIRE(took(client.publish("web3/before", "", 1)));
  REQUIRE(watcher.receive()->topic == "web3/before");

  world().set_state(certificate, "inactive");
  world().settle();
  for (int i = 0; i < 20; ++i)
    client.publish("web3/after", "", 0);
  CHECK(client.ended());
  watcher.publish("web3/marker", "", 1);

  CHECK(watcher.receive()->topic == "web3/marker");
}

TEST_CASE("ending a session with many subscriptions, receivers and a will disturbs nobody",
          "[e2e]") {
  const CertFiles certificate = world().device("busy1");
  MqttClient other = world().connected(world().device("other1"), "other1");
  REQUIRE(other.subscribe("busy/#", 1) == 1);
  ConnectOptions options = durable(certificate, "busy1");
  options.will_topic = "busy/will";
  options.will_payload = "gone";
  MqttClient client = world().connected(options);
  for (int i = 0; i < 50; ++i) {
    REQUIRE(client.subscribe("busy/" + std::to_string(i) + "/#", 1) == 1);
  }

  world().set_state(certificate, "inactive");
  REQUIRE(client.ended());

  CHECK(other.receive().value_or(Message{}).topic == "busy/will");
  CHECK(flows(other, other, "busy/7/x"));
}

}  // namespace
}  // namespace leafgate::test
