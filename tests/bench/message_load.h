// SPDX-License-Identifier: Apache-2.0
// A publisher and a subscriber that keep a broker busy with small QoS 0 messages, from two threads.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>

#include "tests/support/mqtt_client.h"

namespace leafgate::bench {

class MessageLoad {
 public:
  // Both clients are connected, as `publisher` and `subscriber`. The load flows until the object
  // ends.
  MessageLoad(test::MqttClient publisher, test::MqttClient subscriber, int messages_per_s);
  ~MessageLoad();
  MessageLoad(const MessageLoad&) = delete;
  MessageLoad& operator=(const MessageLoad&) = delete;

  // Delivered since the start, per second: what was really reached.
  double delivered_per_s() const;

 private:
  void publish(int messages_per_s);
  void drain();

  test::MqttClient publisher_;
  test::MqttClient subscriber_;
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
  std::atomic<bool> stop_{false};
  std::atomic<std::uint64_t> delivered_{0};
  std::thread publishing_;
  std::thread draining_;
};

}  // namespace leafgate::bench
