// SPDX-License-Identifier: Apache-2.0
// mosquitto.conf as the broker reads it. Pure but for reading files; one thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace leafgate::admin {

struct Finding {
  enum class Severity : std::uint8_t { kError, kWarning } severity = Severity::kError;
  std::string file;
  std::size_t line = 0;  // 0: the whole file
  std::string message;   // what is wrong and what to do
};

// One line of mosquitto.conf that says something.
struct ConfLine {
  std::string file;
  std::size_t line = 0;
  std::string name;   // the first word
  std::string value;  // the rest, without blanks around it
};

// Reads as the broker does (conf.c of 2.0): a `#` first on the line is a comment; the `*.conf` of
// an include_dir stand where it is named. What cannot be read is a finding.
std::vector<ConfLine> read_conf(const std::string& path, std::vector<Finding>& findings);

// How the broker reads a yes.
bool is_true(std::string_view value);

// One listener's own lines. Pointers into the lines it was made of.
struct Listener {
  const ConfLine* start =
      nullptr;  // its `listener` or `port`; nullptr: the default listener unsaid
  std::vector<const ConfLine*> lines;

  const ConfLine* find(std::string_view name) const;  // the last one counts
  bool has_true(std::string_view name) const;
};

// As conf.c: lines before the first `listener` are the default listener's; it runs when one of
// them, or `port`, makes it, or when there is no other.
std::vector<Listener> listeners_of(const std::vector<ConfLine>& lines);

}  // namespace leafgate::admin
