// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/contender.h"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/bench/gauge.h"

namespace leafgate::bench {
namespace {

// What the device of a message needs is in the last one.
constexpr const char* kTopics = R"(
  - allow: {publish: ["status/{device}"], subscribe: ["config/{device}/#"]}
  - allow: {publish: ["alarms/{device}/#"], subscribe: ["alarms/+/acknowledged"]}
  - allow: {publish: ["logs/{device}/#"], subscribe: ["firmware/#"]}
  - allow: {publish: ["shadow/{device}/+/update"], subscribe: ["shadow/{device}/#"]}
  - allow: {publish: ["devices/{device}/#", "broadcast/{device}/#"], subscribe: ["devices/{device}/cmd/#", "broadcast/#"]})";

test::BrokerOptions mosquitto(Settings settings) {
  test::BrokerOptions options;
  options.quiet = true;
  options.default_network = settings == Settings::kDefault;
  if (settings == Settings::kShipped)
    options.environment = {{"OPENSSL_CONF", std::filesystem::absolute("deploy/openssl.cnf")}};
  return options;
}

void start(Grounds& grounds, Contender& contender, test::BrokerOptions options) {
  contender.broker = std::make_unique<test::Broker>(grounds.pki, std::move(options));
  give_first_processor(contender.broker->pid());
}

// The port by which a broker reaches `redis`.
int port_at(Contender& contender, const test::RedisServer& redis, Distance distance) {
  if (distance == Distance(0)) return redis.port();
  contender.proxy = std::make_unique<test::DelayProxy>(redis.port());
  contender.proxy->set_delay(std::chrono::microseconds(distance) / 2);
  return contender.proxy->port();
}

void start_gated(Grounds& grounds, Contender& contender, int port, Settings settings,
                 const std::string& wait_at_start) {
  test::BrokerOptions options = mosquitto(settings);
  options.name = "bench-" + std::to_string(test::free_port());
  options.registry_url = "redis://127.0.0.1:" + std::to_string(port) + "/0";
  options.registry = "wait_at_start: " + wait_at_start;
  options.topics = kTopics;
  start(grounds, contender, std::move(options));
}

// As `openssl ca` keeps it: one line for each certificate that was issued.
std::string index_of_revoked(std::size_t entries) {
  std::string index;
  for (std::size_t i = 0; i < entries; ++i) {
    char serial[24];
    std::snprintf(serial, sizeof serial, "5A%014zX", i);
    index += "R\t400101000000Z\t250101000000Z\t" + std::string(serial) + "\tunknown\t/CN=gone\n";
  }
  return index;
}

std::string make_crl(const test::Pki& pki, const test::TempDir& folder, std::size_t entries) {
  test::write_file(folder / "index", index_of_revoked(entries));
  test::write_file(folder / "index.attr", "unique_subject = no\n");
  test::write_file(folder / "ca.cnf",
                   "[ca]\ndefault_ca = it\n[it]\ndatabase = " + (folder / "index") +
                       "\ndefault_md = sha256\ndefault_crl_days = 30\n");
  const test::Ran ran =
      test::run({"openssl", "ca", "-gencrl", "-config", folder / "ca.cnf", "-cert",
                 pki.ca().certificate, "-keyfile", pki.ca().key, "-out", folder / "crl"},
                "", {}, std::chrono::minutes(2));
  if (ran.status != 0) throw std::runtime_error("no CRL: " + ran.err);
  return folder / "crl";
}

// The file as `mosquitto_ctrl` makes it, and a client with the same password for each device.
std::string make_clients(const Grounds& grounds, const test::TempDir& folder) {
  const std::string path = folder / "clients";
  const test::Ran ran = test::run({"mosquitto_ctrl", "dynsec", "init", path, "admin", "password"});
  if (ran.status != 0) throw std::runtime_error("no clients for dynamic-security: " + ran.err);
  nlohmann::json file = nlohmann::json::parse(test::read_file(path));
  nlohmann::json acls = nlohmann::json::array();
  for (const char* topic : {"config/#", "alarms/#", "logs/#", "shadow/#", "broadcast/#"}) {
    for (const char* type : {"publishClientSend", "publishClientReceive", "subscribePattern"})
      acls.push_back({{"acltype", type}, {"topic", topic}, {"priority", 0}, {"allow", true}});
  }
  file["roles"].push_back({{"rolename", "device"}, {"acls", acls}});
  const nlohmann::json admin = file["clients"][0];
  for (const std::vector<Device>* devices : {&grounds.visitors, &grounds.talkers}) {
    for (const Device& device : *devices) {
      nlohmann::json client = admin;
      client["username"] = device.name;
      client["roles"] = nlohmann::json::array({{{"rolename", "device"}}});
      file["clients"].push_back(client);
    }
  }
  test::write_file(path, file.dump());
  return path;
}

// Debian's folder of the machine's architecture.
std::string dynamic_security_plugin() {
  for (const auto& folder : std::filesystem::directory_iterator("/usr/lib")) {
    const auto path = folder.path() / "mosquitto_dynamic_security.so";
    if (std::filesystem::exists(path)) return path;
  }
  throw std::runtime_error("mosquitto_dynamic_security.so is not in /usr/lib/*");
}

}  // namespace

Grounds::Grounds()
    : visitors(make_fleet(pki, "visitor", kVisitors)),
      crowd(make_fleet(pki, "crowd", kCrowd)),
      talkers(make_fleet(pki, "talker", kTalkers)) {
  fill(redis, 0, kRecords);
  register_devices(redis);
}

void Grounds::fill(const test::RedisServer& server, std::size_t from, std::size_t to,
                   const std::string& state) {
  constexpr std::size_t kStep = 200'000;
  constexpr const char* kScript =
      "for i = ARGV[1], ARGV[2] - 1 do local h = redis.sha1hex(i) "
      "redis.call('HSET', 'leafgate:cert:' .. h .. string.sub(h, 1, 24), 'state', ARGV[3]) end";
  for (std::size_t at = from; at < to; at += kStep) {
    server.cli({"eval", kScript, "0", std::to_string(at), std::to_string(std::min(at + kStep, to)),
                state});
  }
}

void Grounds::register_devices(const test::RedisServer& server) const {
  std::vector<registry::Command> commands;
  for (const std::vector<Device>* devices : {&visitors, &crowd, &talkers}) {
    for (const Device& device : *devices)
      commands.push_back({"HSET", "leafgate:cert:" + device.fingerprint, "state", "active"});
  }
  if (!server.client().pipeline(commands)) throw std::runtime_error("Redis takes no records");
}

test::CertFiles Grounds::device_in_files(const std::string& name) {
  test::CertSpec spec;
  spec.cn = name;
  spec.not_before = "-1m";
  test::CertFiles files = pki.issue(spec);
  redis.cli({"hset", "leafgate:cert:" + files.fingerprint, "state", "active"});
  return files;
}

Contender plain(Grounds& grounds, Settings settings) {
  Contender contender;
  contender.name = settings == Settings::kShipped ? "Mosquitto" : "Mosquitto, its defaults";
  test::BrokerOptions options = mosquitto(settings);
  options.without_plugin = true;
  options.before_plugin = "allow_anonymous true";
  start(grounds, contender, std::move(options));
  return contender;
}

Contender gated(Grounds& grounds, const std::string& name, Distance distance, Settings settings) {
  Contender contender;
  contender.name = name;
  start_gated(grounds, contender, port_at(contender, grounds.redis, distance), settings, "25s");
  return contender;
}

Contender gated_by(Grounds& grounds, const std::string& name, const test::RedisServer& redis,
                   Distance distance) {
  Contender contender;
  contender.name = name;
  start_gated(grounds, contender, port_at(contender, redis, distance), Settings::kShipped, "0s");
  return contender;
}

Contender gated_frozen(Grounds& grounds) {
  Contender contender;
  contender.name = "leafgate, Redis frozen";
  contender.redis = std::make_unique<test::RedisServer>();
  Grounds::fill(*contender.redis, 0, Grounds::kRecords);
  grounds.register_devices(*contender.redis);
  start_gated(grounds, contender, contender.redis->port(), Settings::kShipped, "25s");
  contender.redis->freeze();
  return contender;
}

Contender asking(Grounds& grounds, const std::string& name, Distance distance) {
  Contender contender;
  contender.name = name;
  test::BrokerOptions options = mosquitto(Settings::kShipped);
  options.without_plugin = true;
  options.before_plugin = "plugin " LEAFGATE_ASKING_PLUGIN "\nplugin_opt_port " +
                          std::to_string(port_at(contender, grounds.redis, distance));
  start(grounds, contender, std::move(options));
  return contender;
}

Contender with_crl(Grounds& grounds, std::size_t entries) {
  const test::TempDir folder;
  Contender contender;
  contender.name = "crlfile of " + std::to_string(entries / 1000) + " k";
  test::BrokerOptions options = mosquitto(Settings::kShipped);
  options.without_plugin = true;
  options.before_plugin = "allow_anonymous true";
  options.listener_lines = {"require_certificate true",
                            "crlfile " + make_crl(grounds.pki, folder, entries)};
  start(grounds, contender, std::move(options));
  return contender;
}

Contender dynamic_security(Grounds& grounds) {
  const test::TempDir folder;
  Contender contender;
  contender.name = "dynamic-security";
  contender.with_password = true;
  test::BrokerOptions options = mosquitto(Settings::kShipped);
  options.without_plugin = true;
  options.before_plugin = "plugin " + dynamic_security_plugin() + "\nplugin_opt_config_file " +
                          make_clients(grounds, folder);
  start(grounds, contender, std::move(options));
  return contender;
}

}  // namespace leafgate::bench
