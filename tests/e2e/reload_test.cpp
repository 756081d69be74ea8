// SPDX-License-Identifier: Apache-2.0
// SIGHUP: what it changes, and that it harms nobody.
#include "tests/catch.h"
#include "tests/e2e/world.h"

namespace leafgate::test {
namespace {

std::string yaml(const World& world, const std::string& admission,
                 const std::string& topics = "any") {
  return "broker: gateway-1\nregistry: {url: \"" + world.registry_url() +
         "\"}\nadmission: " + admission + "\ntopics: " + topics + "\n";
}

World& world() {
  static World shared;
  return shared;
}

class Reloaded {
 public:
  ~Reloaded() {
    world().broker.write_leafgate_yaml(yaml(world(), "{}"));
    world().broker.reload();
  }
  void with(const std::string& text) {
    world().broker.write_leafgate_yaml(text);
    world().broker.reload();
  }
};

TEST_CASE("a reload leaves admitted devices connected and offline sessions whole", "[e2e]") {
  const CertFiles durable_certificate = world().device("reload1");
  ConnectOptions durable = world().options(durable_certificate, "reload1");
  durable.clean_start = false;
  durable.session_expiry_s = 3600;
  MqttClient offline = world().connected(durable);
  REQUIRE(offline.subscribe("reload/1", 1) == 1);
  offline.disconnect();
  MqttClient live = world().connected(world().device("reload2"), "reload2");
  MqttClient old_protocol;
  ConnectOptions v4 = world().options(world().device("reload3"), "reload3");
  v4.version = 4;
  old_protocol = world().connected(v4);

  for (int i = 0; i < 3; ++i)
    world().broker.reload();

  CHECK(live.ping());
  CHECK(old_protocol.ping());
  REQUIRE(took(live.publish("reload/1", "kept", 1)));
  offline = world().connected(durable);
  CHECK(offline.session_present());
  CHECK(offline.receive().value_or(Message{}).payload == "kept");
}

TEST_CASE("an inactive device's offline session survives a reload as well", "[e2e]") {
  const CertFiles certificate = world().device("reload4");
  ConnectOptions durable = world().options(certificate, "reload4");
  durable.clean_start = false;
  durable.session_expiry_s = 3600;
  MqttClient client = world().connected(durable);
  REQUIRE(client.subscribe("reload/4", 1) == 1);
  world().set_state(certificate, "inactive");
  REQUIRE(client.ended());

  world().broker.reload();
  CHECK(client.connect(durable) == Connected::kRefused);
  world().set_state(certificate, "active");

  client = world().connected(durable);
  CHECK(client.session_present());
}

TEST_CASE("a certificate turned off just before a reload does not slip through it", "[e2e]") {
  const CertFiles certificate = world().device("reload5");
  for (int i = 0; i < 10; ++i) {
    world().set_state(certificate, "active");
    MqttClient client = world().connected(certificate, "reload5");

    world().set_state(certificate, "inactive");
    world().broker.reload();

    CHECK(client.ended());
  }
}

TEST_CASE("a reload applies changed rules to the sessions that are live", "[e2e]") {
  Reloaded reloaded;
  MqttClient one = world().connected(world().device("rules1"), "rules1");
  MqttClient two = world().connected(world().device("rules2"), "rules2");

  reloaded.with(yaml(world(), "{reserved_names: [rules1]}",
                     "[{allow: {publish: [\"{device}/#\"], subscribe: [\"{device}/#\"]}}]"));

  CHECK(one.ended());
  CHECK(two.ping());
  CHECK(took(two.publish("rules2/x", "", 1)));
  CHECK(two.publish("elsewhere", "", 1) == kNotAuthorized);
}

TEST_CASE("a bad file changes nothing, and the log says where it is bad", "[e2e]") {
  Reloaded reloaded;
  const CertFiles certificate = world().device("bad1");
  MqttClient client = world().connected(certificate, "bad1");

  const std::string bad = GENERATE("admission: {mode: reprot}", "topics: [", "\x01", "");
  INFO(bad);
  const auto before = world().broker.log().size();
  reloaded.with(bad.empty() ? bad : yaml(world(), "{}") + bad + "\n");

  CHECK(eventually(
      [&] { return world().broker.log().find("leafgate.yaml", before) != std::string::npos; }));
  CHECK(client.ping());
  CHECK(world().attempt(world().device("bad2", ""), "bad2") == Connected::kRefused);
  world().set_state(certificate, "inactive");
  CHECK(client.ended());
}

TEST_CASE("a missing file on reload changes nothing", "[e2e]") {
  Reloaded reloaded;
  const CertFiles certificate = world().device("missing1");
  MqttClient client = world().connected(certificate, "missing1");

  std::filesystem::remove(world().broker.config_path());
  world().broker.reload();

  CHECK(client.ping());
  CHECK(world().connected(certificate, "missing1").ping());
  CHECK(world().attempt(world().device("missing2", ""), "missing2") == Connected::kRefused);
}

TEST_CASE("another registry needs a restart, and the log says so", "[e2e]") {
  Reloaded reloaded;
  const CertFiles certificate = world().device("moved1");
  MqttClient client = world().connected(certificate, "moved1");

  reloaded.with("broker: gateway-1\nregistry: {url: \"redis://127.0.0.1:1/0\"}\ntopics: any\n");

  CHECK(world().broker.logged("needs a restart"));
  CHECK(client.ping());
  world().set_state(certificate, "inactive");
  CHECK(client.ended());
}

TEST_CASE("password_file and acl_file are read again although we hear of the reload first",
          "[e2e]") {
  const TempDir dir;
  const std::string acl = dir / "acl";
  write_file(acl, "pattern readwrite one/%u/#\n");
  BrokerOptions options;
  options.topics = "defer";
  options.before_plugin = "acl_file " + acl;
  World own(options);
  MqttClient client = own.connected(own.device("acl1"), "acl1");
  CHECK(took(client.publish("one/acl1/x", "", 1)));
  CHECK(client.publish("two/acl1/x", "", 1) == kNotAuthorized);

  write_file(acl, "pattern readwrite two/%u/#\n");
  own.broker.reload();

  CHECK(client.publish("one/acl1/x", "", 1) == kNotAuthorized);
  CHECK(took(client.publish("two/acl1/x", "", 1)));
}

TEST_CASE("a broker with a bad leafgate.yaml does not start, and says where it is bad", "[e2e]") {
  Pki pki;
  BrokerOptions options;
  options.leafgate_yaml = "topics: any\nadmission: {mode: reprot}\n";

  CHECK_THROWS_WITH(Broker(pki, options),
                    ContainsSubstring("leafgate.yaml:2") && ContainsSubstring("enforce | report"));
}

}  // namespace
}  // namespace leafgate::test
