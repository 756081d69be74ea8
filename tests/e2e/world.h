// SPDX-License-Identifier: Apache-2.0
// A CA, a Redis and a broker with the plugin, and the words the end-to-end tests are written in.
//
// The cases of a file share one World where they can: each uses device names of its own. Records
// are written with redis-cli, as a person would, unless a case is about the `leafgate` command.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/broker.h"
#include "tests/support/delay_proxy.h"
#include "tests/support/mqtt_client.h"
#include "tests/support/pki.h"
#include "tests/support/redis_server.h"

namespace leafgate::test {

// CONNACK, SUBACK and PUBACK of MQTT 5 (§2.4), and CONNACK of 3.1.1 (§3.2.2.3).
inline constexpr int kClientIdentifierNotValid = 0x85;
inline constexpr int kNotAuthorized = 0x87;
inline constexpr int kServerUnavailable = 0x88;
inline constexpr int kNotAuthorizedV4 = 5;
// DISCONNECT of MQTT 5.
inline constexpr int kAdministrativeAction = 0x98;
inline constexpr int kSessionTakenOver = 0x8e;

class World {
 public:
  explicit World(BrokerOptions options = {}, RedisOptions redis_options = {});

  // A certificate for `name`, and its record. An empty state: no record.
  CertFiles device(const std::string& name, const std::string& state = "active",
                   CertSpec spec = {});
  static std::string key(const CertFiles& certificate);
  void set(const CertFiles& certificate, const std::vector<std::string>& fields_and_values) const;
  void set_state(const CertFiles& certificate, const std::string& state) const;
  // Returns once the broker decides by everything that was written before.
  void settle();

  // One attempt, by `<name>` as the client id.
  Connected attempt(const CertFiles& certificate, const std::string& client_id) const;
  // A client that is in; waits until its record has reached the broker and fails the case
  // otherwise.
  MqttClient connected(const CertFiles& certificate, const std::string& client_id) const;
  MqttClient connected(const ConnectOptions& options) const;
  ConnectOptions options(const CertFiles& certificate, const std::string& client_id) const {
    return broker.client(certificate, client_id);
  }

  // Where the broker finds Redis.
  std::string registry_url() const;

  // Has the broker's log a line about this certificate with this reason?
  bool gave_reason(const CertFiles& certificate, const std::string& reason) const;

  Pki pki;
  RedisServer redis;
  DelayProxy registry_proxy;  // the broker reaches Redis through this, everybody else directly
  Broker broker;

 private:
  CertFiles probe_;
  bool probe_active_ = false;
};

// Did the broker take it? 0x10, "no matching subscribers", is a yes as well.
bool took(const std::optional<int>& puback);

// Does what `from` publishes to `topic` reach `to`, which has subscribed to it?
bool flows(MqttClient& from, MqttClient& to, const std::string& topic);

// A time as stored in a record.
std::string unix_seconds(std::chrono::system_clock::time_point time);
std::string in_seconds(int seconds);

}  // namespace leafgate::test
