// SPDX-License-Identifier: Apache-2.0
// Durations as people write them. Pure; any thread; never throws.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace leafgate::config {

// A whole number of at most nine digits and its unit: `500ms 10s 5m 1h 2d`. nullopt for anything
// else, a number without a unit included.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text);

}  // namespace leafgate::config
