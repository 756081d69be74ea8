// SPDX-License-Identifier: Apache-2.0
#include "admin/output.h"

#include <unistd.h>

#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "admin/text.h"

namespace leafgate::admin {
namespace {

using std::chrono::steady_clock;

constexpr auto kTerminalInterval = std::chrono::milliseconds(200);
constexpr auto kLineInterval = std::chrono::seconds(5);
constexpr std::size_t kBarWidth = 30;

std::string_view to_string(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid:
      return "invalid";
    case ErrorKind::kNotFound:
      return "not_found";
    case ErrorKind::kRefused:
      return "refused";
    case ErrorKind::kUnreachable:
      return "unreachable";
    case ErrorKind::kInternal:
      return "internal";
  }
  return "internal";
}

}  // namespace

Exit exit_for(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::kInvalid:
      return Exit::kUsage;
    case ErrorKind::kNotFound:
      return Exit::kNotFound;
    case ErrorKind::kUnreachable:
      return Exit::kUnreachable;
    case ErrorKind::kRefused:
    case ErrorKind::kInternal:
      return Exit::kRefused;
  }
  return Exit::kRefused;
}

std::string to_text(const Json& json) {
  return json.dump(2, ' ', true, Json::error_handler_t::replace);
}

std::string to_line(const Json& json) {
  return json.dump(-1, ' ', true, Json::error_handler_t::replace);
}

void print(const Json& json) {
  std::cout << to_text(json) << '\n';
}

Json json_time(std::optional<policy::Time> time) {
  if (!time || *time == policy::kNever) return nullptr;
  return std::chrono::floor<std::chrono::seconds>(*time).time_since_epoch().count();
}

void print_error(const Error& error, bool json) {
  std::cerr << "leafgate: " << printable(error.message) << '\n';
  if (json) {
    print(Json{{"error", {{"kind", to_string(error.kind)}, {"message", error.message}}}});
  }
}

Exit fail(const Error& error, bool json) {
  print_error(error, json);
  return exit_for(error.kind);
}

void print_warning(std::string_view message) {
  std::cerr << "leafgate: warning: " << printable(message) << '\n';
}

void Table::print() const {
  std::vector<std::size_t> widths;
  for (const auto& row : rows_) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i)
      widths[i] = std::max(widths[i], row[i].size());
  }
  for (const auto& row : rows_) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += row[i];
      if (i + 1 < row.size()) line.append(widths[i] - row[i].size() + 2, ' ');
    }
    std::cout << line << '\n';
  }
}

Progress::Progress(std::string what, std::optional<std::size_t> total)
    : what_(std::move(what)),
      total_(total),
      terminal_(isatty(STDERR_FILENO) == 1),
      started_(steady_clock::now()),
      shown_(started_) {}

Progress::~Progress() {
  if (dirty_) std::cerr << "\r\x1b[K" << std::flush;
}

void Progress::show(std::size_t done) {
  const auto now = steady_clock::now();
  if (terminal_) {
    if (now - shown_ < kTerminalInterval) return;
    std::cerr << '\r' << text(done) << "\x1b[K" << std::flush;
    dirty_ = true;
  } else {
    if (now - shown_ < kLineInterval) return;
    std::cerr << text(done) << '\n';
  }
  shown_ = now;
}

std::string Progress::text(std::size_t done) const {
  const auto elapsed = std::chrono::duration<double>(steady_clock::now() - started_).count();
  const auto rate = static_cast<std::size_t>(static_cast<double>(done) / std::max(elapsed, 0.001));
  std::string out = what_ + ' ' + std::to_string(done);
  if (total_ && *total_ > 0) {
    const std::size_t filled = std::min(done, *total_) * kBarWidth / *total_;
    out += " of " + std::to_string(*total_);
    if (terminal_) {
      out += " [" + std::string(filled, '#') + std::string(kBarWidth - filled, '.') + ']';
    }
  }
  return out + ", " + std::to_string(rate) + "/s";
}

}  // namespace leafgate::admin
