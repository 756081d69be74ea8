// SPDX-License-Identifier: Apache-2.0
// How results look: JSON documents, tables, errors, progress. Everything untrusted is escaped here
// or was escaped by the caller with text.h. One thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/options.h"
#include "base/result.h"
#include "policy/vocabulary.h"

namespace leafgate::admin {

using Json = nlohmann::ordered_json;

// Pure ASCII (everything else as \u escapes, broken UTF-8 replaced), so that a value can neither
// break the document nor speak to the terminal.
std::string to_text(const Json& json);             // indented
std::string to_line(const Json& json);             // one line, for JSON lines
void print(const Json& json);                      // indented, to standard output
Json json_time(std::optional<policy::Time> time);  // Unix seconds; null for none and for kNever

// `leafgate: <message>` to standard error; with `json` also an `error` document to standard output.
void print_error(const Error& error, bool json);
// print_error() and the exit code that goes with it.
Exit fail(const Error& error, bool json);
void print_warning(std::string_view message);

// Columns as wide as their widest cell; cells are printed as they are. For lists that fit a screen.
class Table {
 public:
  explicit Table(std::vector<std::string> header) : rows_{std::move(header)} {}

  void add(std::vector<std::string> row) { rows_.push_back(std::move(row)); }
  bool empty() const { return rows_.size() == 1; }
  void print() const;

 private:
  std::vector<std::vector<std::string>> rows_;
};

// How far a long command has come, on standard error: a line that renews itself on a terminal, one
// line each few seconds elsewhere. Says nothing about commands that end at once.
class Progress {
 public:
  // `what`: e.g. `imported`; `total` where it is known.
  Progress(std::string what, std::optional<std::size_t> total);
  ~Progress();  // clears the terminal's line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void show(std::size_t done);

 private:
  std::string text(std::size_t done) const;

  std::string what_;
  std::optional<std::size_t> total_;
  bool terminal_;
  bool dirty_ = false;
  std::chrono::steady_clock::time_point started_;
  std::chrono::steady_clock::time_point shown_;
};

}  // namespace leafgate::admin
