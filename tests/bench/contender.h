// SPDX-License-Identifier: Apache-2.0
// The brokers that are compared: the same Mosquitto, the same listener, the same devices; what
// differs is who says which device may come in.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "registry/client.h"
#include "tests/bench/fleet.h"
#include "tests/bench/link.h"
#include "tests/support/broker.h"
#include "tests/support/delay_proxy.h"
#include "tests/support/redis_server.h"

namespace leafgate::bench {

// What all of them share: a CA, its devices, a Redis that knows them and a million others.
class Grounds {
 public:
  static constexpr std::size_t kRecords = 1'000'000;
  static constexpr std::size_t kVisitors = 2000;
  static constexpr std::size_t kCrowd = 10'000;
  static constexpr std::size_t kTalkers = 101;

  Grounds();

  // Certificates with the numbers from `from` up to `to`, none of them of a device of ours.
  static void fill(const test::RedisServer& server, std::size_t from, std::size_t to,
                   const std::string& state = "active");
  // The devices' records, `active`.
  void register_devices(const test::RedisServer& server) const;
  // A certificate in files, registered: for test::MqttClient. Younger than those of the others.
  test::CertFiles device_in_files(const std::string& name);

  test::Pki pki;
  const std::vector<Device> visitors;  // they come and go
  const std::vector<Device> crowd;     // they stay
  const std::vector<Device> talkers;   // they publish and subscribe
  test::RedisServer redis;
};

struct Contender {
  std::string name;
  bool with_password = false;
  std::unique_ptr<test::RedisServer> redis;  // one of its own
  std::unique_ptr<test::DelayProxy> proxy;
  std::unique_ptr<test::Broker> broker;  // last: it uses the others

  Door door() const { return {broker->port(), with_password, broker->pid()}; }
};

// How far away Redis is: an answer takes that long.
using Distance = std::chrono::milliseconds;

enum class Settings {
  kShipped,
  kDefault
};  // ours, and what Mosquitto does when nobody says anything

// Mosquitto with `require_certificate`.
Contender plain(Grounds& grounds, Settings settings = Settings::kShipped);
// With leafgate and five topic rules.
Contender gated(Grounds& grounds, const std::string& name, Distance distance = Distance(0),
                Settings settings = Settings::kShipped);
// The same with another Redis, which it may not have read yet.
Contender gated_by(Grounds& grounds, const std::string& name, const test::RedisServer& redis,
                   Distance distance = Distance(0));
// With leafgate and a Redis of its own, frozen once the broker knows its records.
Contender gated_frozen(Grounds& grounds);
// With a plugin that asks Redis at each CONNECT and waits for the answer.
Contender asking(Grounds& grounds, const std::string& name, Distance distance = Distance(0));
// With a `crlfile` of so many entries, none of them a device of ours.
Contender with_crl(Grounds& grounds, std::size_t entries);
// With the dynamic-security plugin and a client, with password, for each visitor and talker.
Contender dynamic_security(Grounds& grounds);

}  // namespace leafgate::bench
