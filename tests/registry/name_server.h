// SPDX-License-Identifier: Apache-2.0
// A name server (RFC 1035) as slow as a test wants, and a resolver that asks it: in a network and a
// mount namespace of its own, so that port 53 is free and /etc/resolv.conf is the test's.
#pragma once

#include <atomic>
#include <chrono>
#include <thread>

#include "tests/support/process.h"

namespace leafgate::test {

// Moves the calling thread, and all it starts from now on, to namespaces of their own with a
// resolver that asks 127.0.0.1. Once in a process, before there is a second thread. false when the
// system does not let us.
bool enter_own_network();

// Answers every name's A query with 127.0.0.1, and that there is no AAAA.
class NameServer {
 public:
  // REQUIRES enter_own_network().
  explicit NameServer(milliseconds delay);
  ~NameServer();
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  // From now on it answers nothing, or everything that is asked from now on. Any thread.
  void be_silent(bool silent) { silent_ = silent; }
  // How many there were. Any thread.
  unsigned queries() const { return queries_; }

 private:
  void run();

  const milliseconds delay_;
  int socket_ = -1;
  std::atomic<bool> silent_{false};
  std::atomic<unsigned> queries_{0};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace leafgate::test
