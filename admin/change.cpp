// SPDX-License-Identifier: Apache-2.0
#include "admin/change.h"

#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "admin/interrupt.h"
#include "admin/text.h"

namespace leafgate::admin {
namespace {

using Kind = registry::Outcome::Kind;

// Small enough that Redis serves others between two chunks within a few milliseconds.
constexpr std::size_t kChunk = 500;
constexpr std::size_t kSaidMax = 20;      // failures told in full on standard error by a bulk run
constexpr std::size_t kListedMax = 1000;  // results of each sort in a JSON document

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::kApplied:
      return "applied";
    case Kind::kUnchanged:
      return "unchanged";
    case Kind::kRefused:
      return "refused";
    case Kind::kConflict:
      return "conflict";
    case Kind::kNotFound:
      return "not_found";
  }
  return "refused";
}

std::string place(const Item& item) {
  return item.where.empty() || item.where == item.name ? item.name : item.where;
}

}  // namespace

ChangeRun::ChangeRun(Access& access, ChangeWords words, const SelectorOptions& which, bool json)
    : writer_(access.writer(which.dry_run)),
      words_(std::move(words)),
      dry_run_(which.dry_run),
      bulk_(!which.from.empty()),
      json_(json),
      errors_path_(which.errors) {}

Exit ChangeRun::run(const Items& next) {
  if (!errors_path_.empty()) {
    errors_.open(errors_path_, std::ios::trunc);
    if (!errors_) {
      print_error({ErrorKind::kInvalid, "--errors: `" + errors_path_ + "` cannot be written"},
                  json_);
      return Exit::kUsage;
    }
  }
  catch_interrupts();
  std::optional<Progress> progress;
  if (bulk_) progress.emplace(words_.done, std::nullopt);

  std::vector<Item> chunk;
  bool more = true;
  while (more && !interrupted_) {
    std::optional<Result<Item>> item = next();
    more = item.has_value();
    if (item && *item) {
      chunk.push_back(std::move(*item).value());
    } else if (item) {
      const Error& error = item->error();
      failed("", error.message, exit_for(error.kind), {{"outcome", "failed"}});
    }
    if (chunk.size() < kChunk && more) continue;

    if (const auto applied = apply(chunk); !applied) {
      progress.reset();
      return finish(applied.error());
    }
    chunk.clear();
    if (progress) progress->show(tally_.total());
    interrupted_ = more && interrupted();
  }
  progress.reset();
  return finish(std::nullopt);
}

Result<void> ChangeRun::apply(std::vector<Item>& chunk) {
  if (chunk.empty()) return {};
  std::vector<registry::Change> changes;
  changes.reserve(chunk.size());
  for (Item& item : chunk)
    changes.push_back(std::move(item.change));

  const Result<std::vector<registry::Outcome>> outcomes = writer_.apply_all(changes);
  if (!outcomes) return outcomes.error();
  for (std::size_t i = 0; i < chunk.size(); ++i)
    finished(chunk[i], outcomes.value()[i]);
  return {};
}

void ChangeRun::finished(const Item& item, const registry::Outcome& outcome) {
  Json result;
  if (!item.where.empty()) result["where"] = item.where;
  result[words_.noun] = item.name;
  result["outcome"] = to_string(outcome.kind);
  result["from"] = outcome.from.empty() ? Json() : Json(outcome.from);
  result["to"] = outcome.to.empty() ? Json() : Json(outcome.to);
  result["seq"] = outcome.seq == 0 ? Json() : Json(outcome.seq);
  if (!item.warning.empty()) result["warning"] = item.warning;

  const bool went_well = outcome.kind == Kind::kApplied || outcome.kind == Kind::kUnchanged;
  if (!went_well) {
    const Exit as = outcome.kind == Kind::kNotFound ? Exit::kNotFound : Exit::kRefused;
    return failed(place(item), outcome.message, as, std::move(result));
  }
  ++(outcome.kind == Kind::kApplied ? tally_.applied : tally_.unchanged);
  add_result(std::move(result), listed_);
  if (!item.warning.empty() && ++warned_ <= kSaidMax)
    print_warning(place(item) + ": " + item.warning);
  if (bulk_ || json_) return;

  std::string line = dry_run_ ? "would be " : "";
  line += outcome.kind == Kind::kApplied ? words_.done : "unchanged";
  line += ' ' + printable(item.name);
  if (place(item) != item.name) line += " (" + printable(item.where) + ")";
  if (!outcome.to.empty()) {
    line += ": " +
            (outcome.from.empty() || outcome.from == outcome.to ? std::string()
                                                                : outcome.from + " -> ") +
            outcome.to;
  }
  std::cout << line << '\n';
}

void ChangeRun::failed(const std::string& where, const std::string& message, Exit as, Json result) {
  ++tally_.failed;
  failures_differ_ = failures_differ_ || (failure_ && *failure_ != as);
  failure_ = as;
  const std::string line = where.empty() ? message : where + ": " + message;
  if (errors_.is_open()) {
    errors_ << printable(line) << '\n';
  } else if (!bulk_ || ++said_ <= kSaidMax) {
    print_error({ErrorKind::kRefused, line}, false);
  }
  result["message"] = message;
  add_result(std::move(result), listed_failures_);
}

void ChangeRun::add_result(Json result, std::size_t& listed) {
  if (!json_ || ++listed > kListedMax) return;
  results_.push_back(std::move(result));
}

Exit ChangeRun::finish(const std::optional<Error>& broken_off) {
  if (said_ > kSaidMax) {
    print_warning(std::to_string(said_ - kSaidMax) +
                  " more failures: name a file with --errors to have them all");
  }
  if (errors_.is_open() && !errors_.flush()) {
    print_warning("--errors: `" + errors_path_ + "` could not be written to its end");
  }
  print_summary();
  if (broken_off) {
    print_error(*broken_off, false);
    return exit_for(broken_off->kind);
  }
  if (interrupted_) {
    print_warning("interrupted: running the same command again goes on where it stopped");
    return Exit::kRefused;
  }
  if (tally_.failed == 0) return Exit::kOk;
  const bool nothing_went_well = tally_.failed == tally_.total();
  return nothing_went_well && !failures_differ_ ? *failure_ : Exit::kRefused;
}

void ChangeRun::print_summary() const {
  if (json_) {
    Json summary = {
        {"applied", tally_.applied}, {"unchanged", tally_.unchanged}, {"failed", tally_.failed}};
    for (const auto& [name, count] : further_)
      summary[name] = count;
    const bool all_listed = listed_ <= kListedMax && listed_failures_ <= kListedMax;
    print(Json{{"dry_run", dry_run_},
               {"change", words_.done},
               {"results", results_},
               {"results_complete", all_listed},
               {"interrupted", interrupted_},
               {"summary", std::move(summary)}});
    return;
  }
  if (!bulk_ && tally_.total() < 2) return;
  std::cout << (dry_run_ ? "dry run, nothing written: " : "") << words_.done << ' '
            << tally_.applied << ", unchanged " << tally_.unchanged << ", failed " << tally_.failed;
  for (const auto& [name, count] : further_)
    std::cout << ", " << name << ' ' << count;
  std::cout << '\n';
}

}  // namespace leafgate::admin
