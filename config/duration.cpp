// SPDX-License-Identifier: Apache-2.0
#include "config/duration.h"

#include <charconv>
#include <cstdint>
#include <system_error>
#include <utility>

namespace leafgate::config {

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
  using std::chrono::milliseconds;
  constexpr std::pair<std::string_view, milliseconds> kUnits[] = {
      {"ms", std::chrono::milliseconds(1)}, {"s", std::chrono::seconds(1)},
      {"m", std::chrono::minutes(1)},       {"h", std::chrono::hours(1)},
      {"d", std::chrono::hours(24)},
  };
  constexpr std::size_t kDigitsMax = 9;
  const auto digits = text.substr(0, text.find_first_not_of("0123456789"));
  if (digits.empty() || digits.size() > kDigitsMax) return std::nullopt;
  std::int64_t count = 0;
  std::from_chars(digits.data(), digits.data() + digits.size(), count);  // nine digits cannot fail
  for (const auto& [word, unit] : kUnits) {
    if (word == text.substr(digits.size())) return count * unit;
  }
  return std::nullopt;
}

}  // namespace leafgate::config
