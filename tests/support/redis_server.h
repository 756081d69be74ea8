// SPDX-License-Identifier: Apache-2.0
// A private Redis (or Valkey) on a free loopback port, in a temporary folder, without persistence
// unless asked for.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "registry/client.h"
#include "registry/endpoint.h"
#include "tests/support/process.h"

namespace leafgate::test {

// LEAFGATE_REDIS_SERVER in the environment, e.g. `valkey-server`; otherwise `redis-server`.
std::string default_redis();

struct RedisOptions {
  std::string binary = default_redis();
  bool append_only = false;            // keep data over restart()
  std::vector<std::string> arguments;  // further `--name value`
};

class RedisServer {
 public:
  explicit RedisServer(RedisOptions options = {});

  int port() const { return port_; }
  registry::Endpoint endpoint() const;
  std::string url() const;
  pid_t pid() const { return process_->pid(); }

  void freeze() { process_->signal(SIGSTOP); }
  void thaw() { process_->signal(SIGCONT); }
  void kill();     // SIGKILL and reap
  void stop();     // orderly
  void restart();  // REQUIRES: killed or stopped. Same port, same folder.

  // A command through redis-cli, as a person would type it; its output without the last newline.
  std::string cli(const std::vector<std::string>& arguments) const;
  // A connection of registry/client.h; throws when there is none to be had.
  registry::Client client() const;

 private:
  void launch();
  void start();

  RedisOptions options_;
  TempDir dir_;
  int port_;
  std::unique_ptr<Process> process_;
};

}  // namespace leafgate::test
