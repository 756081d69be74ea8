// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/world.h"

#include <sstream>

#include "tests/catch.h"

namespace leafgate::test {
namespace {

std::string url_of(int port) {
  return "redis://127.0.0.1:" + std::to_string(port) + "/0";
}

BrokerOptions with_registry(BrokerOptions options, int port) {
  options.registry_url = url_of(port);
  return options;
}

const std::string kProbe = "settle-probe";

}  // namespace

World::World(BrokerOptions options, RedisOptions redis_options)
    : redis(std::move(redis_options)),
      registry_proxy(redis.port()),
      broker(pki, with_registry(std::move(options), registry_proxy.port())) {}

std::string World::registry_url() const {
  return url_of(registry_proxy.port());
}

CertFiles World::device(const std::string& name, const std::string& state, CertSpec spec) {
  spec.cn = name;
  CertFiles certificate = pki.issue(spec);
  if (!state.empty()) set(certificate, {"state", state, "device", name});
  return certificate;
}

std::string World::key(const CertFiles& certificate) {
  return "leafgate:cert:" + certificate.fingerprint;
}

void World::set(const CertFiles& certificate,
                const std::vector<std::string>& fields_and_values) const {
  std::vector<std::string> command = {"HSET", key(certificate)};
  command.insert(command.end(), fields_and_values.begin(), fields_and_values.end());
  const std::string answer = redis.cli(command);
  INFO(answer);
  REQUIRE(answer.find_first_not_of("0123456789") == std::string::npos);
}

void World::set_state(const CertFiles& certificate, const std::string& state) const {
  set(certificate, {"state", state});
}

void World::settle() {
  // A change is visible to the next decision, and a live broker applies changes in the order in
  // which Redis saw them: once this probe's has arrived, so have all earlier ones.
  if (probe_.fingerprint.empty()) probe_ = device(kProbe, "");
  probe_active_ = !probe_active_;
  set_state(probe_, probe_active_ ? "active" : "inactive");
  const Connected expected = probe_active_ ? Connected::kAccepted : Connected::kRefused;
  REQUIRE(eventually([&] { return attempt(probe_, kProbe) == expected; }));
}

Connected World::attempt(const CertFiles& certificate, const std::string& client_id) const {
  MqttClient client;
  const Connected result = client.connect(options(certificate, client_id));
  if (result == Connected::kAccepted) client.disconnect();
  return result;
}

MqttClient World::connected(const CertFiles& certificate, const std::string& client_id) const {
  return connected(options(certificate, client_id));
}

MqttClient World::connected(const ConnectOptions& options) const {
  MqttClient client;
  const bool in = eventually([&] { return client.connect(options) == Connected::kAccepted; });
  INFO("client id " << options.client_id << ", CONNACK " << client.connack_code());
  REQUIRE(in);
  return client;
}

bool World::gave_reason(const CertFiles& certificate, const std::string& reason) const {
  std::istringstream lines(broker.log());
  for (std::string line; std::getline(lines, line);) {
    if (line.find(certificate.fingerprint) != std::string::npos &&
        line.find("reason=" + reason) != std::string::npos) {
      return true;
    }
  }
  return false;
}

bool took(const std::optional<int>& puback) {
  return puback && *puback < 0x80;
}

bool flows(MqttClient& from, MqttClient& to, const std::string& topic) {
  static int sent = 0;
  const std::string payload = "message " + std::to_string(++sent);
  if (!took(from.publish(topic, payload, 1))) return false;
  const auto message = to.receive();
  return message && message->topic == topic && message->payload == payload;
}

std::string unix_seconds(std::chrono::system_clock::time_point time) {
  return std::to_string(
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
}

std::string in_seconds(int seconds) {
  return unix_seconds(std::chrono::system_clock::now() + std::chrono::seconds(seconds));
}

}  // namespace leafgate::test
