// SPDX-License-Identifier: Apache-2.0
#include "tests/support/connect_load.h"

#include <utility>

namespace leafgate::test {

ConnectLoad::ConnectLoad(std::vector<ConnectOptions> devices, milliseconds interval)
    : thread_([this, devices = std::move(devices), interval] { run(devices, interval); }) {}

ConnectLoad::Counts ConnectLoad::stop() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
  return counts_;
}

void ConnectLoad::run(const std::vector<ConnectOptions>& devices, milliseconds interval) {
  auto due = std::chrono::steady_clock::now();
  for (std::size_t i = 0; !stop_; ++i) {
    MqttClient client;
    switch (client.connect(devices[i % devices.size()])) {
      case Connected::kAccepted:
        ++counts_.accepted;
        client.disconnect();
        break;
      case Connected::kRefused:
        ++counts_.refused;
        break;
      case Connected::kClosed:
      case Connected::kTlsFailed:
      case Connected::kTimeout:
        ++counts_.other;
        break;
    }
    due = std::max(due + interval, std::chrono::steady_clock::now());
    std::this_thread::sleep_until(due);
  }
}

}  // namespace leafgate::test
