// SPDX-License-Identifier: Apache-2.0
#include "admin/text.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <optional>

#include "config/duration.h"

namespace leafgate::admin {
namespace {

using std::chrono::seconds;

constexpr policy::Time kYear9999{std::chrono::seconds(253402300799)};

// All of `text` as a number without a sign.
std::optional<std::int64_t> number(std::string_view text) {
  if (text.empty() || text.size() > 12) return std::nullopt;
  if (!std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; })) {
    return std::nullopt;
  }
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::optional<std::chrono::sys_days> parse_date(std::string_view text) {
  if (text.size() != 10 || text[4] != '-' || text[7] != '-') return std::nullopt;
  const auto y = number(text.substr(0, 4));
  const auto m = number(text.substr(5, 2));
  const auto d = number(text.substr(8, 2));
  if (!y || !m || !d) return std::nullopt;

  const std::chrono::year_month_day date{std::chrono::year(static_cast<int>(*y)),
                                         std::chrono::month(static_cast<unsigned>(*m)),
                                         std::chrono::day(static_cast<unsigned>(*d))};
  if (!date.ok()) return std::nullopt;
  return std::chrono::sys_days(date);
}

// `10:00:00Z`
std::optional<seconds> parse_clock(std::string_view text) {
  if (text.size() != 9 || text[2] != ':' || text[5] != ':' || text[8] != 'Z') return std::nullopt;
  const auto h = number(text.substr(0, 2));
  const auto m = number(text.substr(3, 2));
  const auto s = number(text.substr(6, 2));
  if (!h || !m || !s || *h > 23 || *m > 59 || *s > 59) return std::nullopt;
  return seconds(*h * 3600 + *m * 60 + *s);
}

std::optional<policy::Time> parse_calendar(std::string_view text) {
  const auto date = parse_date(text.substr(0, 10));
  if (!date) return std::nullopt;
  if (text.size() == 10) return policy::Time(*date);
  if (text[10] != 'T') return std::nullopt;

  const auto clock = parse_clock(text.substr(11));
  if (!clock) return std::nullopt;
  return policy::Time(*date + *clock);
}

std::optional<policy::Time> parse_relative(std::string_view text, policy::Time now) {
  const auto distance = config::parse_duration(text.substr(1));
  if (!distance) return std::nullopt;
  return text.front() == '+' ? now + *distance : now - *distance;
}

std::optional<policy::Time> parse_any(std::string_view text, policy::Time now) {
  if (text == "now") return now;
  if (text.size() > 1 && (text.front() == '+' || text.front() == '-'))
    return parse_relative(text, now);
  if (const auto unix_time = number(text)) return policy::Time(seconds(*unix_time));
  return text.size() < 10 ? std::nullopt : parse_calendar(text);
}

}  // namespace

Result<std::chrono::milliseconds> parse_duration(std::string_view text) {
  if (const auto duration = config::parse_duration(text)) return *duration;
  return Error{ErrorKind::kInvalid,
               "`" + std::string(text) +
                   "` is not a duration: write a whole number and ms, s, m, h or d, e.g. `30d`"};
}

Result<policy::Time> parse_time(std::string_view text, policy::Time now) {
  const auto time = parse_any(text, now);
  if (time && *time >= policy::Time() && *time <= kYear9999) return *time;
  return Error{ErrorKind::kInvalid,
               "`" + std::string(text) +
                   "` is not a time between 1970 and 9999: write e.g. `2026-11-22T10:00:00Z`, "
                   "`2026-11-22`, `+30d`, `-1h`, `now` or Unix seconds"};
}

std::string format_time(policy::Time time) {
  if (time == policy::kNever) return "never";
  const auto day = std::chrono::floor<std::chrono::days>(time);
  const std::chrono::year_month_day date(day);
  const std::chrono::hh_mm_ss clock(std::chrono::floor<seconds>(time - day));

  char out[48];
  std::snprintf(out, sizeof out, "%04d-%02u-%02uT%02d:%02d:%02dZ", static_cast<int>(date.year()),
                static_cast<unsigned>(date.month()), static_cast<unsigned>(date.day()),
                static_cast<int>(clock.hours().count()), static_cast<int>(clock.minutes().count()),
                static_cast<int>(clock.seconds().count()));
  return out;
}

std::string unix_seconds(policy::Time time) {
  return std::to_string(std::chrono::floor<seconds>(time).time_since_epoch().count());
}

std::string printable(std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte >= 0x20 && byte < 0x7f) {
      out += c;
      continue;
    }
    out += "\\x";
    out += kHex[byte >> 4U];
    out += kHex[byte & 0xfU];
  }
  return out;
}

Result<std::vector<std::string>> split_csv(std::string_view line) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quoted && c == '"' && i + 1 < line.size() && line[i + 1] == '"') {
      fields.back() += '"';
      ++i;
    } else if (c == '"' && (quoted || fields.back().empty())) {
      quoted = !quoted;
    } else if (c == '"') {
      return Error{ErrorKind::kInvalid, "a quote inside an unquoted CSV field"};
    } else if (c == ',' && !quoted) {
      fields.emplace_back();
    } else {
      fields.back() += c;
    }
  }
  if (quoted) return Error{ErrorKind::kInvalid, "a CSV quote is not closed on its line"};
  return fields;
}

policy::Time system_now() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

}  // namespace leafgate::admin
