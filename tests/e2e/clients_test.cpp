// SPDX-License-Identifier: Apache-2.0
// Clients that are not ours: the broker's own command line tools, and paho for Python.
#include "tests/catch.h"
#include "tests/e2e/world.h"

namespace leafgate::test {
namespace {

using std::chrono::seconds;

World& world() {
  static World shared;
  return shared;
}

std::vector<std::string> command(const std::string& program, const CertFiles& certificate,
                                 const std::string& id, const std::string& topic) {
  return {program,
          "-h",
          "127.0.0.1",
          "-p",
          std::to_string(world().broker.port()),
          "--cafile",
          world().pki.ca_file(),
          "--cert",
          certificate.certificate,
          "--key",
          certificate.key,
          "-i",
          id,
          "-q",
          "1",
          "-t",
          topic};
}

bool says(const std::string& file, const std::string& text) {
  return eventually([&] { return read_file(file).find(text) != std::string::npos; });
}

TEST_CASE("mosquitto_pub and mosquitto_sub work with active certificates", "[e2e][clients]") {
  const TempDir dir;
  const CertFiles reader = world().device("reader1");
  const CertFiles writer = world().device("writer1");
  world().settle();
  Process subscriber({command("mosquitto_sub", reader, "reader1", "tools/x"), {}, dir / "output"});
  REQUIRE(world().broker.logged("Sending SUBACK to reader1"));

  std::vector<std::string> publish = command("mosquitto_pub", writer, "writer1", "tools/x");
  publish.insert(publish.end(), {"-m", "a message"});
  CHECK(run(publish).status == 0);

  CHECK(says(dir / "output", "a message"));
}

TEST_CASE("mosquitto_sub is disconnected by a deactivation and gives up", "[e2e][clients]") {
  const TempDir dir;
  const std::string version = GENERATE("mqttv311", "mqttv5");
  const CertFiles certificate = world().device("sub-" + version);
  world().settle();
  std::vector<std::string> subscribe =
      command("mosquitto_sub", certificate, "sub-" + version, "tools/y");
  subscribe.insert(subscribe.end(), {"-V", version});
  Process subscriber({subscribe, {}, dir / "output"});
  REQUIRE(world().broker.logged("Sending SUBACK to sub-" + version));

  world().set_state(certificate, "inactive");

  // In MQTT 3.1.1 it comes back by itself, and its exit status is the refusal; in MQTT 5 it takes
  // the DISCONNECT for its orders.
  const auto status = subscriber.wait(seconds(30));
  REQUIRE(status);
  CHECK((*status != 0 || version == "mqttv5"));
  CHECK(world().gave_reason(certificate, "inactive"));
}

TEST_CASE("mosquitto_pub with a certificate nobody registered is told that it is not authorised",
          "[e2e][clients]") {
  std::vector<std::string> publish =
      command("mosquitto_pub", world().device("stranger1", ""), "stranger1", "tools/z");
  publish.insert(publish.end(), {"-m", "never"});

  const Ran ran = run(publish);

  CHECK(ran.status != 0);
  CHECK_THAT(ran.err, ContainsSubstring("authori"));
}

TEST_CASE("a device with paho is admitted, served and ended", "[e2e][clients]") {
  const TempDir dir;
  const CertFiles certificate = world().device("paho1");
  world().settle();
  const auto device = [&](const std::string& output) {
    return Process(
        {{"/usr/bin/python3", "tests/e2e/paho_client.py", std::to_string(world().broker.port()),
          world().pki.ca_file(), certificate.certificate, certificate.key, "paho1", "paho/1"},
         {},
         output});
  };
  Process client = device(dir / "first");
  CHECK(says(dir / "first", "connected 0"));
  REQUIRE(says(dir / "first", "message paho1"));

  world().set_state(certificate, "inactive");
  CHECK(says(dir / "first", "disconnected"));
  CHECK(client.wait(seconds(10)));

  Process again = device(dir / "second");
  CHECK(says(dir / "second", "connected " + std::to_string(kNotAuthorized)));
}

}  // namespace
}  // namespace leafgate::test
