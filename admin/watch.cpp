// SPDX-License-Identifier: Apache-2.0
// `leafgate watch`: changes and events as they happen.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "admin/access.h"
#include "admin/inspect.h"
#include "admin/interrupt.h"
#include "admin/output.h"
#include "admin/stream.h"
#include "admin/text.h"
#include "config/duration.h"

namespace leafgate::admin {
namespace {

using std::chrono::milliseconds;

// How long one XREAD waits, and so how late an interrupt is noticed at most.
constexpr milliseconds kBlock(500);
constexpr std::string_view kBatch = "500";

struct Followed {
  std::string name;  // `log` or `events`
  std::string key;
  std::string after;  // the id of the last entry seen
};

struct Seen {
  std::string_view stream;
  StreamEntry entry;
};

// The id after which to read: entries since `since`, or from now on.
Result<std::string> start_of(Access& access, const std::string& key, const std::string& since) {
  if (!since.empty()) {
    const policy::Time now = system_now();
    const auto ago = config::parse_duration(since);
    const Result<policy::Time> start = ago ? now - *ago : parse_time(since, now);
    if (!start) return with_context("--since", start.error());
    return std::to_string(std::max<std::int64_t>(0, start.value().time_since_epoch().count() - 1)) +
           "-0";
  }
  std::string last = "0-0";
  const Result<void> read = for_each_newest(access, key, 1, [&last](const StreamEntry& entry) {
    last = entry.id;
    return false;
  });
  if (!read) return read.error();
  return last;
}

Result<std::vector<Followed>> followed(Access& access, const WatchOptions& options) {
  std::vector<Followed> streams;
  if (options.only != "events") streams.push_back({"log", access.schema().log(), {}});
  if (options.only != "log") streams.push_back({"events", access.schema().events(), {}});
  for (Followed& stream : streams) {
    Result<std::string> start = start_of(access, stream.key, options.since);
    if (!start) return start.error();
    stream.after = std::move(start).value();
  }
  return streams;
}

registry::Command read_command(const std::vector<Followed>& streams) {
  registry::Command command = {
      "XREAD", "BLOCK", std::to_string(kBlock.count()), "COUNT", std::string(kBatch), "STREAMS"};
  for (const Followed& stream : streams)
    command.push_back(stream.key);
  for (const Followed& stream : streams)
    command.push_back(stream.after);
  return command;
}

// The entries of one XREAD, oldest first, whichever stream they are of.
std::vector<Seen> take(const registry::Reply& reply, std::vector<Followed>& streams) {
  std::vector<Seen> out;
  for (std::size_t i = 0; i < reply.size(); ++i) {
    const registry::Reply named = reply[i];
    const auto stream =
        std::find_if(streams.begin(), streams.end(), [&named](const Followed& candidate) {
          return named.size() == 2 && named.text_at(0) == candidate.key;
        });
    if (stream == streams.end()) continue;
    const registry::Reply entries = named[1];
    for (std::size_t j = 0; j < entries.size(); ++j) {
      std::optional<StreamEntry> entry = parse_entry(entries[j]);
      if (!entry) continue;
      stream->after = entry->id;
      out.push_back({stream->name, std::move(*entry)});
    }
  }
  std::stable_sort(out.begin(), out.end(),
                   [](const Seen& a, const Seen& b) { return a.entry.time() < b.entry.time(); });
  return out;
}

void print(const Seen& seen, bool json) {
  if (json) {
    std::cout << to_line(to_json(seen.stream, seen.entry)) << '\n';
    return;
  }
  std::cout << format_time(seen.entry.time()) << "  " << seen.stream
            << (seen.stream == "log" ? "     " : "  ") << to_words(seen.entry) << '\n';
}

}  // namespace

Exit watch(const CommonOptions& common, const WatchOptions& options) {
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  Result<std::vector<Followed>> streams = followed(access.value(), options);
  if (!streams) return fail(streams.error(), common.json);

  catch_interrupts();
  while (!interrupted()) {
    const Result<registry::Reply> reply =
        access.value().client().call_blocking(read_command(streams.value()), kBlock);
    if (!reply) return fail(reply.error(), common.json);
    if (reply.value().is_error()) return fail(registry::to_error(reply.value()), common.json);
    for (const Seen& seen : take(reply.value(), streams.value()))
      print(seen, common.json);
    std::cout << std::flush;
  }
  return Exit::kOk;
}

}  // namespace leafgate::admin
