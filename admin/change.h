// SPDX-License-Identifier: Apache-2.0
// Carries out changes, one or a million, through registry/writer.h: in pipelined chunks, with
// progress, one message for each that failed, and a summary. Running the same again is safe: what
// is so already counts as unchanged. SIGINT ends it between two chunks. One thread.
#pragma once

#include <cstddef>
#include <fstream>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/access.h"
#include "admin/options.h"
#include "admin/output.h"
#include "registry/writer.h"

namespace leafgate::admin {

struct Item {
  std::string where;    // `fleet.csv:17`, or as typed
  std::string name;     // the fingerprint, device id or issuer id
  std::string warning;  // said once the change is done; empty: none
  registry::Change change;
};

// The next change, or why there is none for one input; nullopt at the end.
using Items = std::function<std::optional<Result<Item>>()>;

struct ChangeWords {
  std::string noun;  // JSON field of Item::name: `fingerprint`, `device`, `issuer`
  std::string done;  // `imported`, `activated` …
};

// The sum of a run.
struct Tally {
  std::size_t applied = 0;
  std::size_t unchanged = 0;
  std::size_t failed = 0;

  std::size_t total() const { return applied + unchanged + failed; }
};

class ChangeRun {
 public:
  // `bulk`: a list of unknown length, so progress and a summary rather than a line each.
  ChangeRun(Access& access, ChangeWords words, const SelectorOptions& which, bool json);

  // Does all of them. kUsage when the error file cannot be opened; otherwise 0 when all went well,
  // the exit code of the failures when they agree and nothing went well, 1 when it is mixed.
  Exit run(const Items& next);

  // A further count for the summary, beside those of the changes.
  void count(const std::string& name, std::size_t count) { further_.emplace_back(name, count); }

 private:
  Result<void> apply(std::vector<Item>& chunk);
  void finished(const Item& item, const registry::Outcome& outcome);
  void failed(const std::string& where, const std::string& message, Exit as, Json result);
  void add_result(Json result, std::size_t& listed);
  Exit finish(const std::optional<Error>& broken_off);
  void print_summary() const;

  registry::Writer writer_;
  ChangeWords words_;
  bool dry_run_;
  bool bulk_;
  bool json_;
  bool interrupted_ = false;
  std::string errors_path_;
  std::ofstream errors_;
  Tally tally_;
  std::optional<Exit> failure_;  // what the failures agree on
  bool failures_differ_ = false;
  std::size_t said_ = 0;             // failures told on standard error
  std::size_t listed_ = 0;           // in results_, that went well
  std::size_t listed_failures_ = 0;  // in results_, that did not
  std::size_t warned_ = 0;
  std::vector<Json> results_;
  std::vector<std::pair<std::string, std::size_t>> further_;
};

}  // namespace leafgate::admin
