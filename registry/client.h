// SPDX-License-Identifier: Apache-2.0
// A blocking Redis connection for the command line: one command or a pipeline at a time, each with
// a deadline. Not for the broker's thread. One thread at a time.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "base/result.h"
#include "registry/endpoint.h"
#include "registry/resp.h"

namespace leafgate::registry {

class Client {
 public:
  // Finds the master where the endpoint has sentinels, connects, authenticates and selects the
  // database. kUnreachable when nobody answers within `timeout` (the sentinels have that time of
  // their own), kRefused when the login is not accepted; both name the endpoint and what to check.
  static Result<Client> connect(const Endpoint& endpoint,
                                std::chrono::milliseconds timeout = std::chrono::seconds(5));

  Client(Client&&) noexcept;
  Client& operator=(Client&&) noexcept;
  ~Client();

  // An error *reply* is a value (see to_error()); kUnreachable means the connection is gone or an
  // answer is overdue, and is then the answer to every later call as well.
  Result<Reply> call(const Command& command);
  // Sends all, then reads all. Replies stand in the order of the commands. The deadline is for each
  // reply, counted from the one before. All replies are held at once: bound the number of commands.
  Result<std::vector<Reply>> pipeline(const std::vector<Command>& commands);

  // As call(), for commands that block on the server (XREAD BLOCK): `wait` comes on top of the
  // timeout.
  Result<Reply> call_blocking(const Command& command, std::chrono::milliseconds wait);

 private:
  class Impl;
  explicit Client(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// The failure that an error reply stands for: kRefused (log-in, ACL), kUnreachable (Redis cannot
// now: loading, read-only, out of memory …), kInternal for the rest. REQUIRES: reply.is_error()
Error to_error(const Reply& reply);

}  // namespace leafgate::registry
