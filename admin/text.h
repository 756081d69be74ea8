// SPDX-License-Identifier: Apache-2.0
// Words for people and back: times, durations, and untrusted text made safe for a terminal. Pure;
// any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "policy/vocabulary.h"

namespace leafgate::admin {

// As in leafgate.yaml: `500ms 10s 5m 12h 30d`. kInvalid otherwise.
Result<std::chrono::milliseconds> parse_duration(std::string_view text);

// `now`, `+30d`, `-1h`, `2026-11-22`, `2026-11-22T10:00:00Z` or Unix seconds, between 1970 and
// 9999. kInvalid otherwise.
Result<policy::Time> parse_time(std::string_view text, policy::Time now);

// `2026-11-22T10:00:00Z`; `never` for kNever.
std::string format_time(policy::Time time);
// What Redis fields hold.
std::string unix_seconds(policy::Time time);

// `text` with every byte outside printable ASCII as \xHH: safe to print, whatever it was. For words
// of ours that quote others; for a lone value use log::escape(), which also shows where it ends.
std::string printable(std::string_view text);

// The fields of one CSV line (RFC 4180, without line breaks inside quotes). kInvalid on a stray
// quote.
Result<std::vector<std::string>> split_csv(std::string_view line);

policy::Time system_now();

}  // namespace leafgate::admin
