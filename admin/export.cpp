// SPDX-License-Identifier: Apache-2.0
// `leafgate registry export`: the registry as a backup file (admin/backup.h).
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>
#include <utility>

#include "admin/access.h"
#include "admin/backup.h"
#include "admin/brokers.h"
#include "admin/inspect.h"
#include "admin/interrupt.h"
#include "admin/output.h"
#include "admin/record.h"
#include "admin/stream.h"
#include "admin/text.h"

namespace leafgate::admin {
namespace {

using Kind = BackupLine::Kind;

// Log entries asked for at once.
constexpr std::size_t kPage = 1000;

// Standard output, or a file that appears under its name only when it is whole.
class Output {
 public:
  static Result<Output> open(const std::string& path) {
    if (path.empty()) return Output(stdout, "", "");
    std::string temporary = path + ".XXXXXX";
    const int fd = mkstemp(temporary.data());  // mode 0600
    std::FILE* file = fd < 0 ? nullptr : fdopen(fd, "w");
    if (file == nullptr) return cannot_write(path, errno);
    return Output(file, path, temporary);
  }
  Output(Output&& other) noexcept
      : file_(std::exchange(other.file_, nullptr)),
        path_(std::move(other.path_)),
        temporary_(std::exchange(other.temporary_, "")) {}
  Output& operator=(Output&&) = delete;
  ~Output() {
    if (temporary_.empty()) return;
    if (file_ != nullptr) std::fclose(file_);
    unlink(temporary_.c_str());
  }

  void write(const std::string& line) {
    std::fwrite(line.data(), 1, line.size(), file_);
    std::fputc('\n', file_);
  }
  bool failed() const { return std::ferror(file_) != 0; }

  Result<void> finish() {
    if (std::fflush(file_) != 0 || failed()) return cannot_write(path_, errno);
    if (temporary_.empty()) return {};
    if (fsync(fileno(file_)) != 0) return cannot_write(path_, errno);
    std::fclose(std::exchange(file_, nullptr));
    if (rename(temporary_.c_str(), path_.c_str()) != 0) return cannot_write(path_, errno);
    temporary_.clear();
    return {};
  }

 private:
  Output(std::FILE* file, std::string path, std::string temporary)
      : file_(file), path_(std::move(path)), temporary_(std::move(temporary)) {}

  static Error cannot_write(const std::string& path, int error) {
    return {ErrorKind::kInvalid,
            (path.empty() ? "standard output" : "--out: `" + path + "`") +
                " cannot be written: " + std::generic_category().message(error)};
  }

  std::FILE* file_;
  std::string path_;
  std::string temporary_;  // empty: nothing to remove
};

class Exporter {
 public:
  Exporter(Access& access, Output& output)
      : access_(access), output_(output), progress_("exported", std::nullopt) {}

  Result<void> run(bool with_log) {
    if (auto done = write_header(); !done) return done;
    if (with_log) {
      if (auto done = write_log(); !done) return done;
    }
    if (auto done = write_certificates(); !done) return done;
    if (auto done = write_blocks(); !done) return done;
    if (auto done = write_meta(); !done) return done;
    BackupLine end;
    end.kind = Kind::kEnd;
    end.counts = counts_;
    return put(end);
  }

  const BackupLine::Counts& counts() const { return counts_; }

 private:
  Result<void> put(const BackupLine& line) {
    if (interrupted()) return Error{ErrorKind::kRefused, "interrupted: there is no backup"};
    const Result<std::string> text = encode(line);
    if (!text) {
      return with_context("`" + key_of(access_.schema(), line) + "` cannot be exported",
                          Error{ErrorKind::kRefused, text.error().message});
    }
    output_.write(text.value());
    if (output_.failed()) return output_.finish();  // says why
    const auto kind = static_cast<std::size_t>(line.kind);
    if (kind < counts_.size()) ++counts_[kind];
    progress_.show(++written_);
    return {};
  }

  Result<void> write_header() {
    const Result<registry::Reply> id = access_.ask({"HGET", access_.schema().meta(), "id"});
    if (!id) return id.error();
    BackupLine header;
    header.kind = Kind::kHeader;
    header.prefix = access_.schema().prefix();
    if (is_data_set_id(id.value().text().value_or(""))) header.id = *id.value().text();
    header.at = std::chrono::floor<std::chrono::seconds>(system_now()).time_since_epoch().count();
    return put(header);
  }

  Result<void> write_log() {
    std::string after = "-";
    for (;;) {
      const Result<registry::Reply> page = access_.ask(
          {"XRANGE", access_.schema().log(), after, "+", "COUNT", std::to_string(kPage)});
      if (!page) return page.error();
      for (std::size_t i = 0; i < page.value().size(); ++i) {
        const std::optional<StreamEntry> entry = parse_entry(page.value()[i]);
        if (!entry)
          return Error{ErrorKind::kInternal, "redis answered XRANGE in a form nobody knows"};
        BackupLine line;
        line.kind = Kind::kLog;
        line.id = entry->id;
        line.fields = entry->fields;
        if (auto done = put(line); !done) return done;
        after = "(" + entry->id;
      }
      if (page.value().size() < kPage) return {};
    }
  }

  // Hashes, with the ends of their times to live. The end is read first: should a record be changed
  // in between, a refusal may get an end, and an admission never lose one.
  Result<void> write_hashes(std::vector<BackupLine>& lines) {
    std::vector<registry::Command> commands;
    for (const BackupLine& line : lines) {
      const std::string key = key_of(access_.schema(), line);
      commands.push_back({"PEXPIRETIME", key});
      commands.push_back({"HGETALL", key});
    }
    const Result<std::vector<registry::Reply>> replies = access_.client().pipeline(commands);
    if (!replies) return replies.error();
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const registry::Reply& ends = replies.value()[2 * i];
      const registry::Reply& hash = replies.value()[2 * i + 1];
      if (hash.is_error() && hash.text().value_or("").starts_with("WRONGTYPE")) {
        print_warning("`" + commands[2 * i].back() + "` is no hash: it is not in the backup");
        continue;
      }
      for (const registry::Reply& reply : {ends, hash}) {
        if (reply.is_error()) return registry::to_error(reply);
      }
      if (hash.size() == 0) continue;  // gone by now
      if (ends.integer().value_or(-1) >= 0)
        lines[i].ends_at_ms = static_cast<std::uint64_t>(*ends.integer());
      lines[i].fields = fields_of(hash);
      if (auto done = put(lines[i]); !done) return done;
    }
    return {};
  }

  Result<void> write_certificates() {
    Result<void> done;
    const Result<void> scanned =
        for_each_certificate(access_, [&](std::span<const policy::Fingerprint> batch) {
          std::vector<BackupLine> lines(batch.size());
          for (std::size_t i = 0; i < batch.size(); ++i)
            lines[i].id = policy::to_hex(batch[i]);
          done = write_hashes(lines);
          return done.ok();
        });
    return done.ok() ? scanned : done;
  }

  Result<void> write_blocks() {
    std::set<std::string> seen;
    Result<void> done;
    const Result<void> scanned = access_.scan(
        access_.schema().block_prefix() + "*", [&](const std::vector<std::string>& keys) {
          std::vector<BackupLine> lines;
          for (const std::string& key : keys) {
            const registry::KeyName name = registry::parse_key(access_.schema(), key);
            const bool device = name.kind == registry::KeyName::Kind::kDeviceBlock;
            const bool issuer = name.kind == registry::KeyName::Kind::kIssuerBlock;
            if ((!device && !issuer) || !seen.insert(key).second) continue;
            lines.emplace_back().kind = device ? Kind::kDeviceBlock : Kind::kIssuerBlock;
            lines.back().id = name.id;
          }
          done = write_hashes(lines);
          return done.ok();
        });
    return done.ok() ? scanned : done;
  }

  Result<void> write_meta() {
    const Result<registry::Reply> meta = access_.ask({"HGETALL", access_.schema().meta()});
    if (!meta) return meta.error();
    BackupLine line;
    line.kind = Kind::kMeta;
    line.fields = fields_of(meta.value());
    for (const auto& [name, value] : line.fields) {
      if (name == "id" && is_data_set_id(value)) return put(line);
    }
    print_warning("the registry has no id: run `leafgate registry init` once");
    return {};
  }

  Access& access_;
  Output& output_;
  Progress progress_;
  BackupLine::Counts counts_{};
  std::size_t written_ = 0;
};

void print_summary(const std::string& path, const BackupLine::Counts& counts, bool json) {
  Json by_kind;
  for (std::size_t i = 0; i < counts.size(); ++i)
    by_kind[std::string(to_string(static_cast<Kind>(i)))] = counts[i];
  if (json) {
    print(Json{{"out", path}, {"counts", std::move(by_kind)}});
    return;
  }
  std::cout << "exported to " << printable(path) << ':';
  for (const auto& [kind, count] : by_kind.items())
    std::cout << ' ' << kind << ' ' << count;
  std::cout << '\n';
}

}  // namespace

Exit registry_export(const CommonOptions& common, const RegistryExportOptions& options) {
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  Result<Output> output = Output::open(options.out);
  if (!output) return fail(output.error(), common.json);
  catch_interrupts();
  BackupLine::Counts counts{};
  {
    Exporter exporter(access.value(), output.value());
    // Half a backup may be on standard output: no document after it.
    const bool json = common.json && !options.out.empty();
    if (const auto done = exporter.run(options.log); !done) return fail(done.error(), json);
    counts = exporter.counts();
  }
  if (const auto done = output.value().finish(); !done) return fail(done.error(), common.json);
  if (!options.out.empty()) print_summary(options.out, counts, common.json);
  return Exit::kOk;
}

}  // namespace leafgate::admin
