// SPDX-License-Identifier: Apache-2.0
// Ways to set up a broker that weaken or confuse an authentication plugin, and what becomes of
// them.
#include <cstdio>

#include "tests/catch.h"
#include "tests/e2e/world.h"

namespace leafgate::test {
namespace {

const std::string kSecondPlugin = std::string("plugin ") + LEAFGATE_SECOND_PLUGIN + "\n";

// A device that got past BASIC_AUTH without us can do nothing, and is ended for trying.
void check_powerless(World& world, const CertFiles& certificate, const std::string& name,
                     const std::string& reason) {
  MqttClient client;
  const Connected result = client.connect(world.options(certificate, name));
  INFO("CONNACK " << client.connack_code());
  if (result == Connected::kAccepted) {
    const auto code = client.publish("powerless/" + name, "", 1);
    CHECK((!code || *code >= 0x80));
    CHECK(client.ended());
  } else {
    CHECK(result == Connected::kRefused);
  }
  CHECK(world.gave_reason(certificate, reason));
}

TEST_CASE("a listener that takes usernames from certificates skips BASIC_AUTH, not the judgement",
          "[e2e]") {
  const std::string option = GENERATE("use_identity_as_username", "use_subject_as_username");
  INFO(option);
  BrokerOptions options;
  options.listener_lines = {"require_certificate true", option + " true"};
  World world(options);
  const CertFiles certificate = world.device("named1");
  world.settle();

  MqttClient client = world.connected(certificate, "named1");
  REQUIRE(client.subscribe("named/#", 1) == 1);
  CHECK(flows(client, client, "named/here"));

  check_powerless(world, world.device("named2", "inactive"), "named2", "inactive");
  check_powerless(world, world.device("named3", ""), "named3", "unknown_certificate");
  CHECK(client.ping());
  world.set_state(certificate, "inactive");
  CHECK(client.ended());
}

TEST_CASE("a plugin listed before ours can admit anybody, and a refused device is still powerless",
          "[e2e]") {
  BrokerOptions options;
  options.before_plugin = kSecondPlugin + "plugin_opt_basic_auth accept";
  World world(options);
  const CertFiles certificate = world.device("second1");
  const CertFiles probe = world.device("second2");

  MqttClient client = world.connected(certificate, "second1");
  REQUIRE(eventually([&] { return client.subscribe("second/#", 1) == 1; }));
  CHECK(flows(client, client, "second/here"));

  check_powerless(world, world.device("second3", "inactive"), "second3", "inactive");
  world.set_state(certificate, "inactive");
  CHECK(client.ended());
}

TEST_CASE("a plugin listed after ours is not asked about the devices we admit or refuse", "[e2e]") {
  BrokerOptions options;
  options.after_plugin =
      kSecondPlugin + "plugin_opt_basic_auth accept\nplugin_opt_acl_check accept";
  World world(options);

  CHECK(world.connected(world.device("after1"), "after1").ping());
  CHECK(world.attempt(world.device("after2", ""), "after2") == Connected::kRefused);
}

TEST_CASE("an MQTT 5 authentication method that another plugin accepts is no way around", "[e2e]") {
  BrokerOptions options;
  options.after_plugin = kSecondPlugin + "plugin_opt_auth_method any";
  World world(options);
  const CertFiles certificate = world.device("method1");
  const CertFiles refused = world.device("method2", "inactive");
  world.settle();
  ConnectOptions with_method = world.options(certificate, "method1");
  with_method.auth_method = "any";

  MqttClient client = world.connected(with_method);
  REQUIRE(client.subscribe("method/#", 1) == 1);
  CHECK(flows(client, client, "method/here"));

  with_method.credential = refused;
  with_method.client_id = "method2";
  MqttClient other;
  CHECK(other.connect(with_method) == Connected::kRefused);
  CHECK(other.connack_code() == kNotAuthorized);
  CHECK(world.gave_reason(refused, "inactive"));

  world.set_state(certificate, "inactive");
  CHECK(client.ended());
}

TEST_CASE("a listener without require_certificate admits nobody", "[e2e]") {
  BrokerOptions options;
  options.listener_lines = {"require_certificate false"};
  options.before_plugin = "allow_anonymous true";
  World world(options);
  const CertFiles certificate = world.device("bare1");
  MqttClient client;
  ConnectOptions anonymous = world.options({}, "bare1");

  CHECK(client.connect(anonymous) == Connected::kRefused);
  // The server does not even ask for the certificate.
  CHECK(client.connect(world.options(certificate, "bare1")) == Connected::kRefused);
  anonymous.username = "bare1";
  CHECK(client.connect(anonymous) == Connected::kRefused);
  CHECK(world.broker.logged("reason=no_certificate"));
}

TEST_CASE("a client without a certificate is admitted by password, name and address, or not at all",
          "[e2e]") {
  const TempDir dir;
  write_file(dir / "passwords", "exporter:secret\nother:secret\n");
  write_file(dir / "acl", "user exporter\ntopic read $SYS/#\n");
  REQUIRE(run({"mosquitto_passwd", "-U", dir / "passwords"}).status == 0);
  BrokerOptions options;
  options.plain_listener = true;
  options.before_plugin =
      "password_file " + (dir / "passwords") + "\nacl_file " + (dir / "acl") + "\nsys_interval 1";
  options.extra_yaml = "without_certificate: [{username: exporter, address: 127.0.0.1}]\n";
  World world(options);
  world.settle();
  ConnectOptions exporter = world.options({}, "exporter");
  exporter.ca_file.clear();
  exporter.port = world.broker.plain_port();
  const auto connects = [&](const std::string& name, const std::optional<std::string>& password) {
    exporter.username = name;
    exporter.password = password;
    return MqttClient().connect(exporter);
  };

  CHECK(connects("exporter", "wrong") == Connected::kRefused);
  CHECK(connects("exporter", std::nullopt) == Connected::kRefused);
  CHECK(connects("other", "secret") == Connected::kRefused);
  CHECK(connects("exporter", "secret") == Connected::kAccepted);

  MqttClient client;
  REQUIRE(client.connect(exporter) == Connected::kAccepted);
  REQUIRE(client.subscribe("$SYS/broker/uptime").value_or(0x80) < 0x80);
  CHECK(client.receive());
  CHECK_FALSE(took(client.publish("devices/dev1/x", "", 1)));
  world.broker.reload();
  CHECK(client.ping());
}

TEST_CASE("with `then: defer` a device needs its certificate and its password", "[e2e]") {
  const TempDir dir;
  write_file(dir / "passwords", "both1:one\nboth2:two\n");
  REQUIRE(run({"mosquitto_passwd", "-U", dir / "passwords"}).status == 0);
  BrokerOptions options;
  options.before_plugin = "password_file " + (dir / "passwords");
  options.admission = "then: defer";
  World world(options);
  const CertFiles certificate = world.device("both1");
  const auto connects = [&](const std::optional<std::string>& username,
                            const std::optional<std::string>& password) {
    ConnectOptions with = world.options(certificate, "both1");
    with.username = username;
    with.password = password;
    return MqttClient().connect(with);
  };
  REQUIRE(eventually([&] { return connects("both1", "one") == Connected::kAccepted; }));

  CHECK(connects("both1", "wrong") == Connected::kRefused);
  CHECK(connects(std::nullopt, std::nullopt) == Connected::kRefused);
  // Another device's password is no help: the name is the certificate's.
  CHECK(connects("both2", "two") == Connected::kRefused);

  ConnectOptions with = world.options(certificate, "both1");
  with.username = "both1";
  with.password = "one";
  MqttClient client = world.connected(with);
  world.broker.reload();
  CHECK(client.ping());
  world.set_state(certificate, "inactive");
  CHECK(client.ended());
  CHECK(connects("both1", "one") == Connected::kRefused);
}

TEST_CASE("a broker that never ticks refuses everyone and says why", "[e2e]") {
  BrokerOptions options;
  options.plugin_in_listener = true;
  World world(options);
  const CertFiles certificate = world.device("perlistener1");
  int patch = 0;
  const std::string log = world.broker.log();
  const auto version = log.find("mosquitto version 2.0.");
  if (version != std::string::npos) {
    std::sscanf(log.c_str() + version, "mosquitto version 2.0.%d", &patch);
  }

  if (patch == 0 || patch >= 15) {  // 2.0.15 and later, 2.1 included, tick here too
    MqttClient client = world.connected(certificate, "perlistener1");
    world.set_state(certificate, "inactive");
    CHECK(client.ended());
    return;
  }
  CHECK(world.attempt(certificate, "perlistener1") == Connected::kRefused);
  CHECK(world.broker.logged("per_listener_settings"));
}

TEST_CASE("what OpenSSL lets through is still refused when it is weak", "[e2e]") {
  BrokerOptions options;
  options.listener_lines = {"require_certificate true", "ciphers DEFAULT@SECLEVEL=0",
                            "tls_version tlsv1.2"};
  World world(options);
  CertSpec weak_key;
  weak_key.key = "rsa:1024";
  CertSpec weak_signature;
  weak_signature.digest = "sha1";
  const CertFiles short_key = world.device("weak1", "active", weak_key);
  const CertFiles sha1 = world.device("weak2", "active", weak_signature);
  world.settle();

  CHECK(world.attempt(short_key, "weak1") == Connected::kRefused);
  CHECK(world.attempt(sha1, "weak2") == Connected::kRefused);
  CHECK(world.gave_reason(short_key, "weak_key"));
  CHECK(world.gave_reason(sha1, "weak_key"));
}

TEST_CASE("dynamic-security after us gives an admitted device the rights of its role", "[e2e]") {
  const TempDir dir;
  const std::string file = dir / "dynamic-security.json";
  write_file(file, R"({
    "defaultACLAccess": {"publishClientSend": false, "publishClientReceive": true,
                         "subscribe": false, "unsubscribe": true},
    "clients": [{"username": "dyn1", "roles": [{"rolename": "device"}]}],
    "groups": [],
    "roles": [{"rolename": "device", "acls": [
      {"acltype": "publishClientSend", "topic": "dyn/dyn1/#", "allow": true},
      {"acltype": "subscribePattern", "topic": "dyn/#", "allow": true}]}]
  })");
  BrokerOptions options;
  options.topics = "defer";
  options.after_plugin =
      "plugin /usr/lib/x86_64-linux-gnu/mosquitto_dynamic_security.so\nplugin_opt_config_file " +
      file;
  World world(options);

  MqttClient client = world.connected(world.device("dyn1"), "dyn1");
  REQUIRE(client.subscribe("dyn/#", 1) == 1);

  CHECK(flows(client, client, "dyn/dyn1/here"));
  CHECK(client.publish("dyn/dyn2/here", "", 1) == kNotAuthorized);
  CHECK(world.attempt(world.device("dyn2", ""), "dyn2") == Connected::kRefused);
}

}  // namespace
}  // namespace leafgate::test
