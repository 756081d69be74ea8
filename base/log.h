// SPDX-License-Identifier: Apache-2.0
// One structured log line, and the bounded queue that carries lines to the only thread that may
// write them.
//
// Lines are logfmt: `event key=value key="quoted value"`. Every value may be hostile (a common
// name, a client id, a Redis reply): bytes outside printable ASCII, quotes and backslashes are
// escaped, so that a value can neither end its field nor start a new line. A line never exceeds
// kMaxLine bytes: Mosquitto cuts longer ones.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

namespace leafgate::log {

enum class Level : std::uint8_t { kDebug, kInfo, kNotice, kWarning, kError };

// Bytes, without a trailing newline. Mosquitto 2.0 truncates at 1000, its own prefix included.
inline constexpr std::size_t kMaxLine = 900;
// Longer values are cut and end in `...`.
inline constexpr std::size_t kMaxValue = 256;

// `value` made safe for a log field: quoted when it holds anything but [A-Za-z0-9._:/@+-], control
// bytes and non-ASCII as \xHH, cut at kMaxValue source bytes.
std::string escape(std::string_view value);

// A line under construction. Not shared between threads.
class Line {
 public:
  // `event`: a fixed word of ours, e.g. `refused`; never untrusted text.
  Line(Level level, std::string_view event) : level_(level), text_(event) {}

  // `key`: a fixed word of ours. Fields that would pass kMaxLine are left out.
  Line& add(std::string_view key, std::string_view value);
  Line& add(std::string_view key, std::int64_t value);

  Level level() const noexcept { return level_; }
  const std::string& text() const noexcept { return text_; }

 private:
  Level level_;
  std::string text_;
};

// Lines from any thread to the broker's thread (mosquitto_log_printf is not thread safe).
//
// All functions may be called from any thread. Bounded: when full, new lines are dropped and
// counted, and the next drain() reports how many.
class Queue {
 public:
  explicit Queue(std::size_t capacity = 1024) : capacity_(capacity) {}

  void push(Line line);

  // Calls `write` for each waiting line, oldest first, outside the lock: `write` may block or log.
  void drain(const std::function<void(Level, const std::string&)>& write);

 private:
  const std::size_t capacity_;
  std::mutex mutex_;
  std::deque<Line> lines_;     // guarded by mutex_
  std::uint64_t dropped_ = 0;  // guarded by mutex_
};

}  // namespace leafgate::log
