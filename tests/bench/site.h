// SPDX-License-Identifier: Apache-2.0
// What the measurements are taken on: one Redis, one broker with the plugin, devices that are in.
#pragma once

#include <optional>
#include <string>

#include "registry/client.h"
#include "tests/support/broker.h"
#include "tests/support/delay_proxy.h"
#include "tests/support/mqtt_client.h"
#include "tests/support/pki.h"
#include "tests/support/redis_server.h"

namespace leafgate::bench {

enum class Line { kDirect, kThroughProxy };  // how the broker reaches Redis

class Site {
 public:
  // `admission`: YAML lines below `admission:`.
  explicit Site(Line line, const std::string& admission = "");

  // A certificate for `name`, with a record in `state`.
  test::CertFiles device(const std::string& name, const std::string& state = "active");
  // Throws when Redis does not take it.
  void set_state(const test::CertFiles& certificate, const std::string& state);
  // Waits until the broker admits it; throws when it never does.
  test::MqttClient connected(const test::CertFiles& certificate,
                             const std::string& client_id) const;

  test::Pki pki;
  test::RedisServer redis;
  std::optional<test::DelayProxy> proxy;  // kThroughProxy only
  test::Broker broker;

 private:
  registry::Client writer_;
};

}  // namespace leafgate::bench
