// SPDX-License-Identifier: Apache-2.0
// Devices that connect and leave again, all the time, from a thread of their own.
#pragma once

#include <atomic>
#include <thread>
#include <vector>

#include "tests/support/mqtt_client.h"

namespace leafgate::test {

class ConnectLoad {
 public:
  struct Counts {
    int accepted = 0;
    int refused = 0;
    int other = 0;
  };

  // Goes round `devices`, one connection each `interval`, or as fast as the broker answers.
  ConnectLoad(std::vector<ConnectOptions> devices, milliseconds interval);
  ~ConnectLoad() { stop(); }
  ConnectLoad(const ConnectLoad&) = delete;
  ConnectLoad& operator=(const ConnectLoad&) = delete;

  // Ends the thread; what it counted.
  Counts stop();

 private:
  void run(const std::vector<ConnectOptions>& devices, milliseconds interval);

  std::atomic<bool> stop_{false};
  Counts counts_;  // of the thread, until it has ended
  std::thread thread_;
};

}  // namespace leafgate::test
