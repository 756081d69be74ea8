// SPDX-License-Identifier: Apache-2.0
// What a broker has to tell: events for the `events` stream and its own `broker:<name>` hash.
// Filled by the broker's thread, emptied by the sync thread, which owns the connection.
//
// All functions may be called from any thread; none waits for Redis. Bounded: when full, new events
// are dropped and counted; of the status only the latest is kept.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "registry/schema.h"

namespace leafgate::registry {

using Fields = std::vector<std::pair<std::string, std::string>>;

// A stream has no compact form to lose: room for a whole key.
inline constexpr std::size_t kEventValueBytesMax = 2 * kValueBytesMax;

// Field values are cut at kEventValueBytesMax; they are data, never keys or commands.
struct Event {
  std::string kind;  // refused | first_seen | unknown | ended | clone | regressed
  Fields fields;
};

class Outbox {
 public:
  explicit Outbox(std::size_t capacity = 4096) : capacity_(capacity) {}

  void event(Event event);
  void status(Fields fields);  // its values are cut at kValueBytesMax

  struct Letters {
    std::vector<Event> events;
    std::optional<Fields> status;
  };
  // Up to `most` events, oldest first, and the status if it is new.
  Letters take(std::size_t most);

  // How many more events fit now.
  std::size_t room() const;
  std::uint64_t dropped() const;

 private:
  const std::size_t capacity_;
  mutable std::mutex mutex_;
  std::deque<Event> events_;      // guarded by mutex_
  std::optional<Fields> status_;  // guarded by mutex_
  std::uint64_t dropped_ = 0;     // guarded by mutex_
};

}  // namespace leafgate::registry
