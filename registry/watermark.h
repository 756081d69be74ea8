// SPDX-License-Identifier: Apache-2.0
// How old what a broker knows of the registry is. One thread advances it, any thread asks.
//
// What was heard of Redis is as old as CLOCK_BOOTTIME says, which goes on while the machine is
// suspended. What was read of a file is also as old as the wall clock says, again at each question:
// a machine without a battery starts with the time of its shutdown, and learns the right one later.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <optional>

#include "policy/vocabulary.h"

namespace leafgate::registry {

class Watermark {
 public:
  struct Clocks {
    std::chrono::nanoseconds since_boot;
    policy::Time wall;
  };
  static Clocks now() noexcept;

  // What a file says was so old when it was read.
  void start(std::chrono::milliseconds age, const Clocks& now) noexcept {
    wall_ = (now.wall - age).time_since_epoch().count();
    since_boot_ = (now.since_boot - age).count();
  }
  // Everything written until so long before `now` has been applied. Never moves back.
  void advance(std::chrono::nanoseconds age, const Clocks& now) noexcept {
    const std::int64_t proven = (now.since_boot - age).count();
    if (proven <= since_boot_.load(std::memory_order_relaxed)) return;
    since_boot_.store(proven, std::memory_order_release);
    wall_.store(kNone, std::memory_order_release);
  }
  // nullopt: nothing is known.
  std::optional<std::chrono::milliseconds> age(const Clocks& now) const noexcept {
    const std::int64_t proven = since_boot_.load(std::memory_order_acquire);
    if (proven == kNone) return std::nullopt;
    std::chrono::nanoseconds age = now.since_boot - std::chrono::nanoseconds(proven);
    const std::int64_t wall = wall_.load(std::memory_order_acquire);
    if (wall != kNone) {
      age = std::max<std::chrono::nanoseconds>(
          age, now.wall.time_since_epoch() - std::chrono::milliseconds(wall));
    }
    return std::chrono::duration_cast<std::chrono::milliseconds>(
        std::max(age, std::chrono::nanoseconds(0)));
  }

 private:
  static constexpr std::int64_t kNone = INT64_MIN;

  std::atomic<std::int64_t> since_boot_{kNone};  // ns
  std::atomic<std::int64_t> wall_{kNone};        // ms since 1970; kNone: heard of Redis
};

}  // namespace leafgate::registry
