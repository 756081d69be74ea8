// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/message_load.h"

#include <stdexcept>
#include <string>
#include <utility>

namespace leafgate::bench {
namespace {

constexpr auto kBurstInterval = std::chrono::milliseconds(1);
const std::string kTopic = "broadcast/publisher/data";
const std::string kPayload(32, 'x');

}  // namespace

MessageLoad::MessageLoad(test::MqttClient publisher, test::MqttClient subscriber,
                         int messages_per_s)
    : publisher_(std::move(publisher)), subscriber_(std::move(subscriber)) {
  if (subscriber_.subscribe(kTopic) != 0) throw std::runtime_error("the load may not subscribe");
  publishing_ = std::thread([this, messages_per_s] { publish(messages_per_s); });
  draining_ = std::thread([this] { drain(); });
}

MessageLoad::~MessageLoad() {
  stop_ = true;
  publishing_.join();
  draining_.join();
}

double MessageLoad::delivered_per_s() const {
  const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
  return static_cast<double>(delivered_) / passed.count();
}

void MessageLoad::publish(int messages_per_s) {
  const int burst = messages_per_s / 1000;
  for (auto due = start_; !stop_; due += kBurstInterval) {
    std::this_thread::sleep_until(due);
    for (int i = 0; i < burst; ++i)
      publisher_.publish(kTopic, kPayload);
  }
}

void MessageLoad::drain() {
  while (!stop_) {
    if (subscriber_.receive(std::chrono::milliseconds(100))) ++delivered_;
  }
}

}  // namespace leafgate::bench
