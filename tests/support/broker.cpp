// SPDX-License-Identifier: Apache-2.0
#include "tests/support/broker.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "tests/support/stream.h"

namespace leafgate::test {
namespace {

// The plugin may wait 10 s for Redis before the listeners open; a sanitizer makes all of it slower.
constexpr milliseconds kStartLimit{30000};

std::string environment(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

std::string indented(const std::string& lines) {
  std::string out;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);)
    out += "  " + line + "\n";
  return out;
}

std::string yaml(const BrokerOptions& options) {
  if (!options.leafgate_yaml.empty()) return options.leafgate_yaml;
  std::string out = "broker: " + options.name + "\n";
  out += "registry:\n  url: " + options.registry_url + "\n" + indented(options.registry);
  if (!options.admission.empty()) out += "admission:\n" + indented(options.admission);
  out += "topics: " + options.topics + "\n";
  return out + options.extra_yaml;
}

}  // namespace

class Broker::Impl {
 public:
  Impl(Pki& pki, BrokerOptions options);
  ~Impl();

  void start();
  void stop();
  std::string log() const;

  const BrokerOptions options_;
  const std::string ca_file_;
  const CertFiles server_;
  const int port_ = free_port();
  const int websocket_port_ = free_port();
  const int plain_port_ = free_port();
  TempDir dir_;
  std::unique_ptr<Process> process_;

 private:
  std::string conf() const;
  std::string tls_files() const;
  std::map<std::string, std::string> environment_of_broker() const;
  std::string sanitizer_reports() const;
};

Broker::Impl::Impl(Pki& pki, BrokerOptions options)
    : options_(std::move(options)), ca_file_(pki.ca_file()), server_(pki.server()) {
  write_file(dir_ / "leafgate.yaml", yaml(options_));
  write_file(dir_ / "mosquitto.conf", conf());
  start();
}

Broker::Impl::~Impl() {
  try {
    stop();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    std::abort();
  }
}

std::string Broker::Impl::tls_files() const {
  return "cafile " + ca_file_ + "\ncertfile " + server_.certificate + "\nkeyfile " + server_.key +
         "\n";
}

std::string Broker::Impl::conf() const {
  const auto listener = [](int port) {
    return "listener " + std::to_string(port) + " 127.0.0.1\n";
  };
  std::string out = "log_dest file " + (dir_ / "mosquitto.log") + "\n";
  if (!options_.default_network) out += "set_tcp_nodelay true\n";
  out += options_.quiet
             ? "log_type error\nlog_type warning\nlog_type notice\nlog_type information\n"
             : "log_type all\n";
  if (geteuid() == 0) out += "user root\n";  // the temporary folder is ours alone
  if (options_.persistence) {
    out += "persistence true\npersistence_location " + dir_.path().string() + "/\n";
  }
  const std::string ours = "plugin " + environment("LEAFGATE_PLUGIN", LEAFGATE_BUILT_PLUGIN) +
                           "\nplugin_opt_config " + (dir_ / "leafgate.yaml") + "\n";
  const std::string plugins = options_.before_plugin + "\n" +
                              (options_.without_plugin ? "" : ours) + options_.after_plugin + "\n";

  out += options_.plugin_in_listener ? "per_listener_settings true\n" : plugins;
  out += listener(port_) + tls_files();
  if (options_.plugin_in_listener) out += plugins;
  if (options_.listener_lines.empty()) out += "require_certificate true\n";
  for (const std::string& line : options_.listener_lines)
    out += line + "\n";
  if (options_.websockets) {
    out += listener(websocket_port_) + "protocol websockets\n" + tls_files() +
           "require_certificate true\n";
  }
  if (options_.plain_listener) out += listener(plain_port_);
  return out;
}

std::map<std::string, std::string> Broker::Impl::environment_of_broker() const {
  const std::string preload = environment("LEAFGATE_PRELOAD", "");
  if (preload.empty()) return options_.environment;
  const std::string to_file = "log_path=" + (dir_ / "sanitizer");
  // The broker leaks at its end, and has unloaded us by the time leaks are looked for. Ours show in
  // the unit tests, where the plugin runs inside the test. The broker is a C program: without
  // libstdc++ from the start a sanitizer does not find what it has to wrap, and ends at our first
  // throw.
  return {{"LD_PRELOAD", preload + ":libstdc++.so.6"},
          {"ASAN_OPTIONS", to_file + ":detect_leaks=0:" + environment("ASAN_OPTIONS", "")},
          {"TSAN_OPTIONS", to_file + ":" + environment("TSAN_OPTIONS", "")},
          {"UBSAN_OPTIONS", to_file + ":print_stacktrace=1"}};
}

void Broker::Impl::start() {
  const std::size_t running_before = occurrences(log(), " running");
  ProcessOptions process;
  process.argv = {environment("LEAFGATE_MOSQUITTO", "/usr/sbin/mosquitto"), "-c",
                  dir_ / "mosquitto.conf"};
  process.env = environment_of_broker();
  process.output = dir_ / "output";
  process_ = std::make_unique<Process>(process);

  const auto up = [&] { return occurrences(log(), " running") > running_before; };
  eventually([&] { return up() || !process_->running(); }, kStartLimit);
  if (up() && process_->running()) return;
  process_->stop();
  throw std::runtime_error("the broker did not start:\n" + log() + read_file(process.output) +
                           sanitizer_reports());
}

void Broker::Impl::stop() {
  if (process_ == nullptr) return;
  const int status = std::exchange(process_, nullptr)->stop();
  const std::string reports = sanitizer_reports();
  if (status == 0 && reports.empty()) return;
  throw std::runtime_error("the broker ended with status " + std::to_string(status) + ":\n" +
                           log() + read_file(dir_ / "output") + reports);
}

std::string Broker::Impl::log() const {
  const std::string path = dir_ / "mosquitto.log";
  return std::filesystem::exists(path) ? read_file(path) : "";
}

std::string Broker::Impl::sanitizer_reports() const {
  std::string out;
  for (const auto& entry : std::filesystem::directory_iterator(dir_.path())) {
    if (entry.path().filename().string().starts_with("sanitizer.")) out += read_file(entry.path());
  }
  return out;
}

Broker::Broker(Pki& pki, BrokerOptions options)
    : impl_(std::make_unique<Impl>(pki, std::move(options))) {}
Broker::~Broker() = default;

int Broker::port() const {
  return impl_->port_;
}
int Broker::websocket_port() const {
  return impl_->websocket_port_;
}
int Broker::plain_port() const {
  return impl_->plain_port_;
}
pid_t Broker::pid() const {
  return impl_->process_->pid();
}
std::string Broker::log() const {
  return impl_->log();
}

bool Broker::logged(const std::string& text, milliseconds limit) const {
  return eventually([&] { return log().find(text) != std::string::npos; }, limit);
}

bool Broker::is_2_1() const {
  return log().find("mosquitto version 2.1.") != std::string::npos;
}

void Broker::reload() {
  const std::string reloading = "Reloading config.";
  const std::size_t before = occurrences(log(), reloading);
  impl_->process_->signal(SIGHUP);
  // The broker has one thread: the next connection that it takes comes after the reload. Until then
  // it would also miss a second SIGHUP.
  const auto done = [&] {
    const std::string all = log();
    if (occurrences(all, reloading) == before) return false;
    Stream knock;
    knock.open(impl_->port_, std::chrono::steady_clock::now() + std::chrono::seconds(1));
    return eventually([&] {
      return log().find("New connection from", all.rfind(reloading)) != std::string::npos;
    });
  };
  if (!eventually(done)) throw std::runtime_error("the broker did not reload:\n" + log());
}

void Broker::write_leafgate_yaml(const std::string& yaml_text) {
  write_file(config_path(), yaml_text);
}

std::string Broker::config_path() const {
  return impl_->dir_ / "leafgate.yaml";
}
void Broker::stop() {
  impl_->stop();
}

void Broker::restart() {
  impl_->stop();
  impl_->start();
}

ConnectOptions Broker::client(const CertFiles& credential, const std::string& client_id) const {
  ConnectOptions options;
  options.port = impl_->port_;
  options.ca_file = impl_->ca_file_;
  options.credential = credential;
  options.client_id = client_id;
  return options;
}

}  // namespace leafgate::test
