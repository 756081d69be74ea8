// SPDX-License-Identifier: Apache-2.0
// Identity, topics and modes, as an operator configures them.
#include "tests/catch.h"
#include "tests/e2e/world.h"

namespace leafgate::test {
namespace {

TEST_CASE("topic rules give each device its own topics and nobody else's", "[e2e][topics]") {
  BrokerOptions options;
  options.topics =
      "[{allow: {publish: [\"devices/{device}/#\"], subscribe: [\"devices/{device}/cmd/#\", "
      "\"broadcast/#\"]}}, {allow: {publish: [\"broadcast/{cn}\"]}}]";
  World world(options);
  MqttClient one = world.connected(world.device("dev1"), "dev1");
  MqttClient two = world.connected(world.device("dev10"), "dev10");

  CHECK(one.subscribe("devices/dev1/cmd/#", 1) == 1);
  CHECK(one.subscribe("devices/dev1/cmd/+/x", 1) == 1);
  CHECK(one.subscribe("$share/group/broadcast/#", 1) == 1);
  for (const std::string filter :
       {"#", "+/dev1/cmd/#", "devices/dev10/cmd/#", "devices/dev1/#", "$share/group/#", "$SYS/#"}) {
    INFO(filter);
    CHECK(one.subscribe(filter, 1).value_or(0) >= 0x80);
  }

  CHECK(took(one.publish("devices/dev1/data", "", 1)));
  CHECK(one.publish("devices/dev10/data", "", 1) == kNotAuthorized);
  CHECK(one.publish("devices", "", 1) == kNotAuthorized);
  CHECK(one.publish("broadcast/dev10", "", 1) == kNotAuthorized);
  CHECK(one.ping());

  CHECK(flows(two, one, "broadcast/dev10"));
}

TEST_CASE("a message that its receiver may not read is dropped, and its publisher stays",
          "[e2e][topics]") {
  const std::string all = "[{allow: {publish: [\"#\"], subscribe: [\"#\"]}}]";
  const std::string less = "[{allow: {publish: [\"#\"], subscribe: [\"open/#\"]}}]";
  BrokerOptions options;
  options.topics = all;
  World world(options);
  MqttClient reader = world.connected(world.device("reader1"), "reader1");
  MqttClient writer = world.connected(world.device("writer1"), "writer1");
  REQUIRE(reader.subscribe("#", 1) == 1);
  REQUIRE(flows(writer, reader, "closed/x"));

  world.broker.write_leafgate_yaml("registry: {url: \"" + world.registry_url() +
                                   "\"}\nbroker: gateway-1\ntopics: " + less + "\n");
  world.broker.reload();

  CHECK(writer.publish("closed/x", "", 1).has_value());
  CHECK(flows(writer, reader, "open/x"));
  CHECK(writer.ping());
}

TEST_CASE("a retained message and a will obey the rules of the device they came from",
          "[e2e][topics]") {
  BrokerOptions options;
  options.topics = "[{allow: {publish: [\"out/{device}/#\"], subscribe: [\"out/#\"]}}]";
  World world(options);
  MqttClient reader = world.connected(world.device("reader2"), "reader2");
  ConnectOptions good = world.options(world.device("will1"), "will1");
  good.will_topic = "out/will1/will";
  ConnectOptions bad = world.options(world.device("will2"), "will2");
  bad.will_topic = "out/will1/forged";
  MqttClient forger = world.connected(bad);
  MqttClient honest = world.connected(good);
  REQUIRE(took(honest.publish("out/will1/kept", "kept", 1, true)));

  REQUIRE(reader.subscribe("out/#", 1) == 1);
  CHECK(reader.receive().value_or(Message{}).topic == "out/will1/kept");

  forger.drop();
  // The first answer says that the broker has been told of the end, the second that it has acted.
  REQUIRE(reader.ping());
  REQUIRE(reader.ping());
  honest.drop();

  CHECK(reader.receive().value_or(Message{}).topic == "out/will1/will");
}

TEST_CASE(
    "with `topics: defer` an ACL file's %u is the certificate's device, not the username sent",
    "[e2e][topics]") {
  const TempDir dir;
  write_file(dir / "acl", "pattern readwrite devices/%u/#\n");
  BrokerOptions options;
  options.topics = "defer";
  options.before_plugin = "acl_file " + (dir / "acl");
  World world(options);
  ConnectOptions as_other = world.options(world.device("real1"), "real1");
  as_other.username = "victim1";
  as_other.password = "whatever";
  MqttClient client = world.connected(as_other);

  CHECK(client.publish("devices/victim1/x", "", 1) == kNotAuthorized);
  CHECK(took(client.publish("devices/real1/x", "", 1)));
  REQUIRE(client.subscribe("devices/real1/#", 1) == 1);
  CHECK(flows(client, client, "devices/real1/y"));
}

TEST_CASE("in report mode nobody is refused, and the log says who would have been", "[e2e]") {
  BrokerOptions options;
  options.admission = "mode: report";
  World world(options);
  const CertFiles known = world.device("report1");
  const CertFiles unknown = world.device("report2", "");

  CHECK(world.broker.logged("report"));
  MqttClient one = world.connected(known, "report1");
  MqttClient two = world.connected(unknown, "report2");
  CHECK(world.broker.logged("would_refuse"));
  CHECK(world.gave_reason(unknown, "unknown_certificate"));
  REQUIRE(two.subscribe("report/#", 1) == 1);
  CHECK(flows(one, two, "report/x"));

  world.set_state(known, "inactive");
  CHECK(eventually([&] { return world.gave_reason(known, "inactive"); }));
  CHECK(one.ping());
  CHECK(world.attempt(known, "report1") == Connected::kAccepted);
}

TEST_CASE("a client id may carry a suffix of its device and never another device's name",
          "[e2e][client-id]") {
  BrokerOptions options;
  options.admission = "client_id: device_or_suffix\ncertificate_in_use: allow";
  World world(options);
  const CertFiles certificate = world.device("dev1");
  MqttClient plain = world.connected(certificate, "dev1");
  MqttClient suffixed = world.connected(certificate, "dev1/sensor");

  for (const std::string id : {"dev10", "dev1x", "dev2", "dev2/dev1", "", "DEV1"}) {
    INFO(id);
    CHECK(world.attempt(certificate, id) == Connected::kRefused);
  }
  CHECK(world.gave_reason(certificate, "client_id_mismatch"));
  MqttClient other;
  CHECK(other.connect(world.options(certificate, "dev2")) == Connected::kRefused);
  const bool is_told = world.broker.is_2_1();
  CHECK(other.connack_code() == (is_told ? kClientIdentifierNotValid : kNotAuthorized));

  world.set_state(certificate, "inactive");
  CHECK(plain.ended());
  CHECK(suffixed.ended());
}

TEST_CASE("with any client id allowed, another device's live session cannot be taken over",
          "[e2e][client-id]") {
  BrokerOptions options;
  options.admission = "client_id: any\ncertificate_in_use: refuse";
  World world(options);
  const CertFiles certificate = world.device("any1");
  const CertFiles other = world.device("any2");
  world.settle();
  MqttClient client = world.connected(certificate, "whatever");

  CHECK(world.attempt(other, "whatever") == Connected::kRefused);
  CHECK(world.gave_reason(other, "client_id_mismatch"));
  CHECK(world.attempt(certificate, "second") == Connected::kRefused);
  CHECK(world.gave_reason(certificate, "certificate_in_use"));
  CHECK(client.ping());

  // Its own session it may take over, and once it is gone the id is free.
  MqttClient again = world.connected(certificate, "whatever");
  CHECK(client.ended());
  again.disconnect();
  CHECK(world.connected(other, "whatever").ping());
}

TEST_CASE("the device id comes from the name the operator chose, with its prefix stripped",
          "[e2e][identity]") {
  BrokerOptions options;
  options.admission = "device_id: {from: san_uri, strip_prefix: \"urn:device:\"}";
  options.topics = "[{allow: {publish: [\"devices/{device}/#\"]}}]";
  World world(options);
  CertSpec spec;
  spec.san = {"URI:urn:device:pump7"};
  const CertFiles certificate = world.device("a name for people", "active", spec);
  const CertFiles bare = world.device("pump8", "active");
  spec.san = {"URI:urn:device:pump7", "URI:urn:device:pump9"};
  const CertFiles two_faced = world.device("pump9", "active", spec);

  MqttClient client = world.connected(certificate, "pump7");
  CHECK(took(client.publish("devices/pump7/x", "", 1)));
  CHECK(world.attempt(bare, "pump8") == Connected::kRefused);
  CHECK(world.attempt(two_faced, "pump7") == Connected::kRefused);
  CHECK(world.gave_reason(bare, "identity_missing"));
  CHECK(world.gave_reason(two_faced, "identity_missing"));
}

TEST_CASE("names that would be more than a name are no device", "[e2e][identity]") {
  BrokerOptions options;
  options.admission = "client_id: any\nreserved_names: [admin]";
  World world(options);
  for (const std::string name : {"admin", "a/b", "#", "dev+", "$SYS", "a\tb"}) {
    INFO(name);
    CHECK(world.attempt(world.device(name), "some-id") == Connected::kRefused);
  }
  CHECK(world.broker.logged("reason=identity_missing"));
}

}  // namespace
}  // namespace leafgate::test
