// SPDX-License-Identifier: Apache-2.0
// How long things take, as distributions: never one number, never an average.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "tests/support/mqtt_client.h"

namespace leafgate::test {

using Latency = std::chrono::duration<double, std::milli>;

struct Distribution {
  std::size_t count = 0;
  Latency p50{};
  Latency p99{};
  Latency max{};
};

// REQUIRES: not empty. Nearest-rank percentiles.
Distribution distribution(std::vector<Latency> samples);

// `p50 0.123 ms  p99 0.456 ms  max 0.789 ms  (n 200)`.
std::string text(const Distribution& distribution);

// A client that publishes to itself through the broker: what everybody else on that broker feels.
class Bystander {
 public:
  // `client` is connected and may publish and subscribe to `topic`.
  Bystander(MqttClient client, std::string topic);

  // Publishes each `interval` for `period` and returns how long each message took, from the moment
  // it was due: a message that had to wait for the one before it counts its waiting. Throws when a
  // message is lost.
  std::vector<Latency> measure(std::chrono::milliseconds period,
                               std::chrono::milliseconds interval = std::chrono::milliseconds(2));

 private:
  MqttClient client_;
  std::string topic_;
  std::uint64_t sent_ = 0;
};

}  // namespace leafgate::test
