// SPDX-License-Identifier: Apache-2.0
// Two Redis servers, a master and its replica, and three sentinels that watch them. They know each
// other when the constructor is done.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "registry/endpoint.h"
#include "tests/support/process.h"
#include "tests/support/redis_server.h"

namespace leafgate::test {

class Sentinel {
 public:
  // `settings`: further lines of its configuration.
  Sentinel(int master_port, const std::string& settings = "");

  int port() const { return port_; }
  // What it calls the master's port; empty when it does not answer.
  std::string named() const;
  std::string cli(const std::vector<std::string>& arguments) const;
  void freeze() { process_->signal(SIGSTOP); }
  void thaw() { process_->signal(SIGCONT); }

 private:
  TempDir dir_;
  int port_ = free_port();
  std::unique_ptr<Process> process_;
};

class SentinelTrio {
 public:
  SentinelTrio();

  registry::Endpoint endpoint() const;
  std::string url() const;
  // Waits until two of the three name this server.
  bool majority_names(const RedisServer& server) const;

  RedisServer first;   // the master in the beginning
  RedisServer second;  // its replica
  std::array<Sentinel, 3> sentinels;
};

}  // namespace leafgate::test
