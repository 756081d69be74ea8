// SPDX-License-Identifier: Apache-2.0
#include "tests/support/latency.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <stdexcept>
#include <thread>

namespace leafgate::test {

using Clock = std::chrono::steady_clock;

Distribution distribution(std::vector<Latency> samples) {
  std::sort(samples.begin(), samples.end());
  const auto rank = [&](double share) {
    const double index = std::ceil(share * static_cast<double>(samples.size()));
    return samples[static_cast<std::size_t>(index) - 1];
  };
  return {samples.size(), rank(0.50), rank(0.99), samples.back()};
}

std::string text(const Distribution& distribution) {
  char line[128];
  std::snprintf(line, sizeof line, "p50 %.3f ms  p99 %.3f ms  max %.3f ms  (n %zu)",
                distribution.p50.count(), distribution.p99.count(), distribution.max.count(),
                distribution.count);
  return line;
}

Bystander::Bystander(MqttClient client, std::string topic)
    : client_(std::move(client)), topic_(std::move(topic)) {
  const auto code = client_.subscribe(topic_);
  if (!code || *code >= 0x80) throw std::runtime_error("the bystander may not subscribe");
}

std::vector<Latency> Bystander::measure(std::chrono::milliseconds period,
                                        std::chrono::milliseconds interval) {
  std::vector<Latency> samples;
  const auto start = Clock::now();
  for (auto due = start; due < start + period; due += interval) {
    std::this_thread::sleep_until(due);
    const std::string payload = std::to_string(++sent_);
    client_.publish(topic_, payload);
    const auto message = client_.receive(std::chrono::seconds(30));
    if (!message || message->payload != payload) throw std::runtime_error("a message was lost");
    samples.push_back(Clock::now() - due);
  }
  return samples;
}

}  // namespace leafgate::test
