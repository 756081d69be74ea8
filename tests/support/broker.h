// SPDX-License-Identifier: Apache-2.0
// A real Mosquitto with the plugin under test, on a free loopback port, in a temporary folder.
//
// LEAFGATE_PLUGIN (path of the .so) and LEAFGATE_MOSQUITTO (path of the broker) may be set in the
// environment to run the same tests against other builds; LEAFGATE_PRELOAD names a sanitizer
// runtime for the broker's LD_PRELOAD. A broker that crashed, or that a sanitizer found fault with,
// aborts the test binary: no test goes on after that.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/mqtt_client.h"
#include "tests/support/pki.h"
#include "tests/support/process.h"
#include "tests/support/redis_server.h"

namespace leafgate::test {

struct BrokerOptions {
  std::string name = "gateway-1";
  std::string registry_url;    // REQUIRED unless leafgate_yaml is set
  std::string registry;        // further YAML lines below `registry:`
  std::string admission;       // YAML lines below `admission:`; empty: the defaults
  std::string topics = "any";  // YAML value of `topics:`
  std::string extra_yaml;      // further top-level YAML
  std::string leafgate_yaml;   // replaces the whole file when not empty
  std::string before_plugin;   // mosquitto.conf lines before our plugin line
  std::string after_plugin;    // and after it
  // The TLS listener's lines after its three files; empty: `require_certificate true`.
  std::vector<std::string> listener_lines;
  bool websockets = false;      // a second TLS listener with `protocol websockets`
  bool plain_listener = false;  // a third, plain TCP, listener
  bool plugin_in_listener =
      false;                     // per_listener_settings, and the plugin in the TLS listener only
  bool persistence = false;      // Mosquitto's own, over restart()
  bool quiet = false;            // no line for each message: for measurements
  bool without_plugin = false;   // Mosquitto alone, with the lines of before_plugin
  bool default_network = false;  // without set_tcp_nodelay
  std::map<std::string, std::string> environment;  // of the broker, on top of ours
};

class Broker {
 public:
  // Returns once the broker accepts connections; throws with its log when it does not come up.
  Broker(Pki& pki, BrokerOptions options);
  ~Broker();

  int port() const;  // TLS
  int websocket_port() const;
  int plain_port() const;
  pid_t pid() const;
  std::string log() const;  // everything so far
  bool logged(const std::string& text, milliseconds limit = std::chrono::seconds(10)) const;
  bool is_2_1() const;  // its version, as its log says

  void reload();  // SIGHUP; what a client asks after this is answered by the reloaded broker
  void write_leafgate_yaml(const std::string& yaml);  // does not reload
  std::string config_path() const;                    // of leafgate.yaml
  void stop();
  void restart();

  // Options for a client of this broker with this certificate; the client id is `client_id`.
  ConnectOptions client(const CertFiles& credential, const std::string& client_id) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leafgate::test
