// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/loaded_broker.h"

#include <openssl/ssl.h>  // X509_up_ref(), which SSL_get_peer_certificate() calls

#include <chrono>
#include <cstring>
#include <random>
#include <stdexcept>

#include "certs/facts.h"
#include "certs/issue.h"
#include "registry/replica.h"
#include "registry/snapshot.h"

extern "C" {
int mosquitto_plugin_init(mosquitto_plugin_id_t* identifier, void** userdata,
                          mosquitto_opt* options, int option_count);
int mosquitto_plugin_cleanup(void* userdata, mosquitto_opt* options, int option_count);
}

namespace leafgate::bench {
namespace {

// Nobody listens on that port. Rules as a fleet could have them: most begin alike.
constexpr const char* kRules = R"(
admission: {client_id: device_or_suffix}
topics:
  - allow: {publish: ["devices/{device}/first/#"], subscribe: ["devices/{device}/first/#"]}
  - allow: {publish: ["devices/{device}/state/+"], subscribe: ["devices/{device}/state/+"]}
  - allow: {publish: ["devices/{device}/alarms"], subscribe: ["devices/{device}/alarms"]}
  - allow: {publish: ["sites/+/{device}/#"], subscribe: ["sites/+/{device}/#"]}
  - allow: {publish: ["devices/{device}/last/#"], subscribe: ["devices/{device}/last/#"]}
)";

policy::Time now() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

std::string name_of(std::size_t certificate) {
  const bool is_device = certificate < LoadedBroker::kDevices;
  return (is_device ? "device-" : "crowd-") + std::to_string(certificate);
}

// Anybody, the same ones in each run.
policy::Fingerprint stranger(std::mt19937_64& random) {
  policy::Fingerprint fingerprint;
  for (std::size_t at = 0; at < fingerprint.bytes.size(); at += sizeof(std::uint64_t)) {
    const std::uint64_t word = random();
    std::memcpy(fingerprint.bytes.data() + at, &word, sizeof word);
  }
  return fingerprint;
}

// Shows what `certificate` is at that time.
mosquitto client_of(const certs::Certificate& certificate, std::string client_id) {
  mosquitto client;
  client.id = std::move(client_id);
  client.parsed = [&certificate]() -> void* {
    X509_up_ref(certificate.get());
    return certificate.get();
  };
  return client;
}

}  // namespace

extern "C" [[gnu::noinline]] int asked_decision(const Question& question) {
  return question.hook.callback(question.event, question.data, question.hook.userdata);
}

LoadedBroker::LoadedBroker(std::size_t records, std::size_t sessions) {
  issue_certificates();
  write_snapshot(records);
  load();
  tick();
  gather_crowd(sessions);
  // The first connection of each is told to people.
  for (std::size_t device = 0; device < kDevices; ++device) {
    admit(devices_[device]);
    disconnect(device);
  }
  tick();
}

LoadedBroker::~LoadedBroker() {
  mosquitto_plugin_cleanup(userdata_, nullptr, 0);
}

void LoadedBroker::issue_certificates() {
  constexpr std::chrono::hours kYear(24 * 365);
  const auto root = certs::make_root({.common_name = "Bench Root", .validity = kYear}, now());
  const auto issuer =
      certs::make_issuing_ca({.common_name = "Bench CA", .validity = kYear}, root.value(), now());
  for (std::size_t i = 0; i < kDevices + kCrowd; ++i) {
    const auto issued =
        certs::issue_device({.device = name_of(i), .validity = kYear}, issuer.value(), now());
    Shown& shown = shown_.emplace_back(Shown{certs::to_pem(*issued.value().certificate), nullptr});
    parse(shown);
    if (i < kDevices) devices_.push_back(client_of(shown.certificate, name_of(i)));
  }
}

// And looks at it, which fills OpenSSL's caches: verifying it does so before we are asked.
void LoadedBroker::parse(Shown& shown) {
  auto parsed = certs::from_pem_or_der(shown.pem);
  shown.certificate = std::move(parsed.value().front());
  static_cast<void>(certs::read_facts(*shown.certificate, certs::SanWanted::kNone));
}

void LoadedBroker::write_snapshot(std::size_t records) const {
  registry::Replica replica;
  replica.reserve(records);
  const policy::CertRecord active{.state = policy::CertState::kActive};
  for (const Shown& shown : shown_)
    replica.put(certs::fingerprint(*shown.certificate), active, registry::kUnstamped);
  std::mt19937_64 random;
  for (std::size_t i = shown_.size(); i < records; ++i)
    replica.put(stranger(random), active, registry::kUnstamped);
  const auto written = registry::write_snapshot(dir_ / "snapshot", replica, "leafgate:", now(),
                                                [] { return registry::Remembered{}; });
  if (!written) throw std::runtime_error(written.error().message);
}

void LoadedBroker::load() {
  const std::string config = dir_ / "leafgate.yaml";
  test::write_file(config,
                   "broker: bench\nregistry: {url: \"redis://127.0.0.1:1/0\", snapshot: \"" +
                       (dir_ / "snapshot") + "\"}" + kRules);
  std::string key = "config";
  std::string value = config;
  mosquitto_opt option{key.data(), value.data()};
  if (mosquitto_plugin_init(nullptr, &userdata_, &option, 1) != MOSQ_ERR_SUCCESS) {
    throw std::runtime_error("the plugin does not start: " + test::fake_broker().log.back().second);
  }
  on_connect_ = test::fake_broker().hooks.at(MOSQ_EVT_BASIC_AUTH);
  on_topic_ = test::fake_broker().hooks.at(MOSQ_EVT_ACL_CHECK);
}

void LoadedBroker::gather_crowd(std::size_t sessions) {
  for (std::size_t i = kDevices; i < kDevices + kCrowd; ++i) {
    const std::string base = "devices/" + name_of(i);
    topics_.push_back({base + "/first/temperature/celsius", base + "/last/temperature/celsius"});
  }
  for (std::size_t i = 0; i < sessions; ++i) {
    const std::size_t certificate = kDevices + i % kCrowd;
    const std::string client_id = name_of(certificate) + "/" + std::to_string(i);
    admit(crowd_.emplace_back(client_of(shown_[certificate].certificate, client_id)));
  }
}

void LoadedBroker::admit(mosquitto& client) {
  mosquitto_evt_basic_auth event{};
  event.client = &client;
  // Not by asked_decision(): nobody counts these.
  if (test::fake_broker().call(MOSQ_EVT_BASIC_AUTH, &event) != MOSQ_ERR_SUCCESS) {
    throw std::runtime_error("refused: " + test::fake_broker().log.back().second);
  }
}

Question LoadedBroker::connect(std::size_t device) {
  connect_.client = &devices_[device];
  return {on_connect_, MOSQ_EVT_BASIC_AUTH, &connect_};
}

void LoadedBroker::disconnect(std::size_t device) {
  mosquitto_evt_disconnect event{};
  event.client = &devices_[device];
  test::fake_broker().call(MOSQ_EVT_DISCONNECT, &event);
  devices_[device].username.reset();
}

Question LoadedBroker::topic(std::size_t session, int access, Rule rule) {
  const Topics& topics = topics_[session % kCrowd];
  topic_.client = &crowd_[session];
  topic_.access = access;
  topic_.topic = rule == Rule::kFirst ? topics.first.c_str() : topics.last.c_str();
  return {on_topic_, MOSQ_EVT_ACL_CHECK, &topic_};
}

void LoadedBroker::tick() {
  mosquitto_evt_tick event{};
  test::fake_broker().call(MOSQ_EVT_TICK, &event);
}

}  // namespace leafgate::bench
