// SPDX-License-Identifier: Apache-2.0
// `leafgate registry import`: puts back what a backup has and the registry lacks. The whole file is
// checked before the first write.
#include <charconv>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "admin/access.h"
#include "admin/backup.h"
#include "admin/change.h"
#include "admin/output.h"
#include "admin/state.h"
#include "admin/stream.h"

namespace leafgate::admin {
namespace {

using Kind = BackupLine::Kind;

constexpr std::size_t kChunk = 500;
constexpr std::size_t kSaidMax = 20;  // wrong lines told in full

// Tells what is wrong with the file.
Result<void> check(BackupReader& reader) {
  std::size_t wrong = 0;
  std::size_t seen = 0;
  {
    Progress progress("checked", std::nullopt);
    while (const std::optional<Result<BackupLine>> line = reader.next()) {
      progress.show(++seen);
      if (!*line && ++wrong <= kSaidMax) print_error(line->error(), false);
    }
  }
  if (wrong == 0) return {};
  return Error{ErrorKind::kInvalid, "the backup has " + std::to_string(wrong) +
                                        (wrong == 1 ? " fault" : " faults") + ": nothing written"};
}

// An entry's id in the order of the stream.
std::pair<std::uint64_t, std::uint64_t> place_of(std::string_view id) {
  std::pair<std::uint64_t, std::uint64_t> place;
  const std::size_t dash = std::min(id.find('-'), id.size());
  std::from_chars(id.data(), id.data() + dash, place.first);
  if (dash < id.size()) std::from_chars(id.data() + dash + 1, id.data() + id.size(), place.second);
  return place;
}

// The log of the backup, as far as the registry's own has not gone on: a stream is only appended
// to.
class LogRestore {
 public:
  LogRestore(Access& access, bool dry_run) : access_(access), dry_run_(dry_run) {}

  Result<void> add(const BackupLine& line) {
    if (!last_) {
      if (auto found = find_last(); !found) return found;
    }
    if (place_of(line.id) <= *last_) {
      ++skipped_;
      return {};
    }
    registry::Command command{"XADD", access_.schema().log(),         "MAXLEN",
                              "~",    std::to_string(kLogEntriesMax), line.id};
    for (const auto& [name, value] : line.fields) {
      command.push_back(name);
      command.push_back(value);
    }
    commands_.push_back(std::move(command));
    return commands_.size() < kChunk ? Result<void>() : flush();
  }

  Result<void> flush() {
    restored_ += commands_.size();
    const std::vector<registry::Command> commands = std::exchange(commands_, {});
    if (dry_run_ || commands.empty()) return {};
    const Result<std::vector<registry::Reply>> replies = access_.client().pipeline(commands);
    if (!replies) return replies.error();
    for (const registry::Reply& reply : replies.value()) {
      if (!reply.is_error()) continue;
      const Error error = registry::to_error(reply);
      return with_context("`" + access_.schema().log() + "`", error);
    }
    return {};
  }

  std::size_t restored() const { return restored_; }
  std::size_t skipped() const { return skipped_; }

 private:
  static constexpr std::size_t kLogEntriesMax = 100'000;  // as transition.lua keeps

  Result<void> find_last() {
    last_.emplace();
    return for_each_newest(access_, access_.schema().log(), 1, [&](const StreamEntry& entry) {
      last_ = place_of(entry.id);
      return false;
    });
  }

  Access& access_;
  bool dry_run_;
  std::optional<std::pair<std::uint64_t, std::uint64_t>> last_;  // of the registry's own log
  std::vector<registry::Command> commands_;
  std::size_t restored_ = 0;
  std::size_t skipped_ = 0;
};

// The lines as changes. Meta comes last, wherever it stood: brokers that miss the data set go on
// when its id is back, and must find the records then.
class Restore {
 public:
  Restore(Access& access, BackupReader& reader, bool dry_run)
      : access_(access), reader_(reader), log_(access, dry_run) {}

  std::optional<Result<Item>> next() {
    while (std::optional<Result<BackupLine>> line = reader_.next()) {
      if (!*line) return line->error();
      if (line->value().kind == Kind::kLog) {
        if (auto added = log_.add(line->value()); !added) return added.error();
        continue;
      }
      // Its entries are older than those that the restored records make.
      if (auto flushed = log_.flush(); !flushed) return flushed.error();
      Item item = item_of(std::move(*line).value());
      if (item.change.key != access_.schema().meta()) return item;
      meta_ = std::move(item);
    }
    if (auto flushed = log_.flush(); !flushed) return flushed.error();
    if (!meta_) return std::nullopt;
    return std::exchange(meta_, std::nullopt);
  }

  const LogRestore& log() const { return log_; }

 private:
  Item item_of(BackupLine line) const {
    Item item;
    item.where = reader_.where();
    item.change.op = registry::Op::kRestore;
    item.change.key = key_of(access_.schema(), line);
    item.change.by = access_.settings().by;
    item.change.note = access_.settings().note;
    item.change.ends_at_ms = line.ends_at_ms;
    item.change.fields = std::move(line.fields);
    item.name = item.change.key.substr(access_.schema().prefix().size());
    return item;
  }

  Access& access_;
  BackupReader& reader_;
  LogRestore log_;
  std::optional<Item> meta_;
};

}  // namespace

Exit registry_import(const CommonOptions& common, const RegistryImportOptions& options) {
  Result<BackupReader> reader = BackupReader::open(options.file);
  if (!reader) return fail(reader.error(), common.json);
  if (const auto checked = check(reader.value()); !checked)
    return fail(checked.error(), common.json);
  const bool has_log = reader.value().counts()[static_cast<std::size_t>(Kind::kLog)] != 0;
  reader.value().rewind();

  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  SelectorOptions which;
  which.from = options.file;
  which.errors = options.errors;
  which.dry_run = options.dry_run;
  Restore restore(access.value(), reader.value(), options.dry_run);
  ChangeRun run(access.value(), {"key", "restored"}, which, common.json);
  return run.run([&]() -> std::optional<Result<Item>> {
    std::optional<Result<Item>> item = restore.next();
    if (!item && has_log) {
      run.count("log_restored", restore.log().restored());
      run.count("log_skipped", restore.log().skipped());
    }
    return item;
  });
}

}  // namespace leafgate::admin
