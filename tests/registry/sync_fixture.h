// SPDX-License-Identifier: Apache-2.0
// One broker's side of the registry as the plugin would run it, and the means to compare it with
// Redis.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/log.h"
#include "registry/changes.h"
#include "registry/outbox.h"
#include "registry/replica.h"
#include "registry/sync.h"
#include "tests/support/redis_server.h"

namespace leafgate::test {

// The fingerprint number `n`, spread over all bits as a digest would be.
policy::Fingerprint fingerprint(std::uint64_t n);

// Certificates number 0 to `records` - 1, active.
void fill(const RedisServer& redis, std::uint64_t records);

struct Watcher {
  // Starts at once, with deadlines that suit a test.
  explicit Watcher(const RedisServer& redis, std::string broker = "gateway-1");
  // `before` fills the replica as a snapshot would.
  explicit Watcher(registry::SyncOptions options,
                   const std::function<void(registry::Replica&)>& before = {});

  static registry::SyncOptions options(const RedisServer& redis, std::string broker = "gateway-1");

  bool live(milliseconds limit = std::chrono::seconds(20)) const;
  // Waits for the state a decision would see; `none` when there is no record.
  bool sees(const policy::Fingerprint& fingerprint, std::string_view state,
            milliseconds limit = std::chrono::seconds(10)) const;
  // Waits until everything written to Redis before this call has been applied.
  bool settled(milliseconds limit = std::chrono::seconds(20)) const;
  // All log lines so far.
  std::string log();

  registry::Replica replica;
  registry::Changes changes;
  registry::Outbox outbox;
  log::Queue log_queue;
  std::string log_text;
  std::atomic<std::uint64_t> wakes{0};
  registry::Sync sync;  // last: its thread uses all of the above
};

// What is different between Redis, read key by key with plain commands, and the replica: one line
// for each, at most ten; empty when they are equal.
std::string differences(const RedisServer& redis, const registry::Replica& replica);

}  // namespace leafgate::test
