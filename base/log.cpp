// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <algorithm>
#include <cctype>
#include <utility>

namespace leafgate::log {
namespace {

bool is_plain(unsigned char c) {
  return std::isalnum(c) != 0 ||
         std::string_view("._:/@+-").find(static_cast<char>(c)) != std::string_view::npos;
}

void append_escaped(std::string& out, unsigned char c) {
  constexpr std::string_view kHex = "0123456789abcdef";
  if (c == '"' || c == '\\') {
    out += '\\';
    out += static_cast<char>(c);
  } else if (c >= 0x20 && c < 0x7f) {
    out += static_cast<char>(c);
  } else {
    out += "\\x";
    out += kHex[c >> 4U];
    out += kHex[c & 0xfU];
  }
}

}  // namespace

std::string escape(std::string_view value) {
  const bool cut = value.size() > kMaxValue;
  if (cut) value = value.substr(0, kMaxValue);
  if (!cut && !value.empty() && std::all_of(value.begin(), value.end(), is_plain)) {
    return std::string(value);
  }

  std::string out = "\"";
  for (const char c : value)
    append_escaped(out, static_cast<unsigned char>(c));
  if (cut) out += "...";
  out += '"';
  return out;
}

Line& Line::add(std::string_view key, std::string_view value) {
  const std::string safe = escape(value);
  if (text_.size() + key.size() + safe.size() + 2 > kMaxLine) return *this;

  text_ += ' ';
  text_ += key;
  text_ += '=';
  text_ += safe;
  return *this;
}

Line& Line::add(std::string_view key, std::int64_t value) {
  return add(key, std::to_string(value));
}

void Queue::push(Line line) {
  const std::lock_guard lock(mutex_);
  if (lines_.size() >= capacity_) {
    ++dropped_;
    return;
  }
  lines_.push_back(std::move(line));
}

void Queue::drain(const std::function<void(Level, const std::string&)>& write) {
  std::deque<Line> lines;
  std::uint64_t dropped = 0;
  {
    const std::lock_guard lock(mutex_);
    lines.swap(lines_);
    dropped = std::exchange(dropped_, 0);
  }
  for (const Line& line : lines)
    write(line.level(), line.text());
  if (dropped > 0) {
    const Line note =
        Line(Level::kWarning, "log_lines_dropped").add("count", static_cast<std::int64_t>(dropped));
    write(note.level(), note.text());
  }
}

}  // namespace leafgate::log
