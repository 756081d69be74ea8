// SPDX-License-Identifier: Apache-2.0
// A TCP proxy on the loopback address that makes a server look far away: bytes that arrive in
// either direction are passed on only after the delay in force at their arrival. Runs in a thread
// of its own.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>

namespace leafgate::test {

class DelayProxy {
 public:
  explicit DelayProxy(int target_port);
  ~DelayProxy();  // closes every connection
  DelayProxy(const DelayProxy&) = delete;
  DelayProxy& operator=(const DelayProxy&) = delete;

  int port() const { return port_; }
  // One way; an answer takes twice as long. Any thread.
  void set_delay(std::chrono::microseconds one_way) { delay_us_ = one_way.count(); }
  // Cut: every connection is closed, and new ones are closed as soon as they come. Any thread.
  void cut() { is_cut_ = true; }
  void mend() { is_cut_ = false; }

 private:
  class Loop;

  void run();

  int port_ = 0;
  std::atomic<std::chrono::microseconds::rep> delay_us_{0};
  std::atomic<bool> is_cut_{false};
  std::atomic<bool> stop_{false};
  std::unique_ptr<Loop> loop_;
  std::thread thread_;
};

}  // namespace leafgate::test
