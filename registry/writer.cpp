// SPDX-License-Identifier: Apache-2.0
#include "registry/writer.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <iterator>
#include <system_error>
#include <utility>

#include "registry/transition.h"

namespace leafgate::registry {
namespace {

constexpr std::string_view kInit = "init";
constexpr std::string_view kConfirm = "confirm";

// 128 random bits in hex: two data sets never have the same id.
Result<std::string> random_id() {
  std::array<std::uint8_t, 16> bytes{};
  const ssize_t got = ::getrandom(bytes.data(), bytes.size(), 0);
  if (got != static_cast<ssize_t>(bytes.size())) {
    return Error{ErrorKind::kInternal,
                 "cannot get random bytes: " + std::generic_category().message(errno)};
  }
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string id;
  for (const std::uint8_t byte : bytes) {
    id += kDigits[byte >> 4U];
    id += kDigits[byte & 0xFU];
  }
  return id;
}

std::optional<Outcome::Kind> parse_kind(std::string_view status) {
  constexpr std::array<std::pair<std::string_view, Outcome::Kind>, 5> kStatuses{{
      {"OK", Outcome::Kind::kApplied},
      {"SAME", Outcome::Kind::kUnchanged},
      {"REFUSED", Outcome::Kind::kRefused},
      {"CONFLICT", Outcome::Kind::kConflict},
      {"MISSING", Outcome::Kind::kNotFound},
  }};
  const auto* found = std::find_if(kStatuses.begin(), kStatuses.end(),
                                   [&](const auto& entry) { return entry.first == status; });
  if (found == kStatuses.end()) return std::nullopt;
  return found->second;
}

Result<Outcome> parse_outcome(const Reply& reply) {
  if (reply.is_error()) return to_error(reply);
  const auto kind = parse_kind(reply.text_at(0).value_or(""));
  const auto seq = reply.size() == 5 ? reply[1].integer() : std::nullopt;
  if (!kind || !seq) {
    return Error{ErrorKind::kInternal, "redis gave an answer that is not one of transition.lua"};
  }
  Outcome outcome;
  outcome.kind = *kind;
  outcome.seq = static_cast<std::uint64_t>(*seq);
  outcome.from = std::string(reply.text_at(2).value_or(""));
  outcome.to = std::string(reply.text_at(3).value_or(""));
  outcome.message = std::string(reply.text_at(4).value_or(""));
  return outcome;
}

bool is_noscript(const Reply& reply) {
  return reply.is_error() && reply.text().value_or("").starts_with("NOSCRIPT");
}

}  // namespace

std::string_view to_string(Op op) {
  switch (op) {
    case Op::kImport:
      return "import";
    case Op::kActivate:
      return "activate";
    case Op::kDeactivate:
      return "deactivate";
    case Op::kRetire:
      return "retire";
    case Op::kRevoke:
      return "revoke";
    case Op::kDelete:
      return "delete";
    case Op::kBlock:
      return "block";
    case Op::kUnblock:
      return "unblock";
    case Op::kRestore:
      return "restore";
  }
  return "";  // not reached
}

Writer::Writer(Client& client, Schema schema, bool dry_run)
    : client_(client), schema_(std::move(schema)), dry_run_(dry_run) {}

Result<Outcome> Writer::apply(const Change& change) {
  Result<std::vector<Outcome>> outcomes = run({call(change)});
  if (!outcomes) return outcomes.error();
  return std::move(outcomes.value().front());
}

Result<std::vector<Outcome>> Writer::apply_all(std::span<const Change> changes) {
  std::vector<Outcome> outcomes;
  outcomes.reserve(changes.size());
  while (!changes.empty()) {
    const auto batch = changes.first(std::min(changes.size(), kPipelined));
    changes = changes.subspan(batch.size());
    std::vector<Call> calls;
    calls.reserve(batch.size());
    for (const Change& change : batch)
      calls.push_back(call(change));
    Result<std::vector<Outcome>> some = run(calls);
    if (!some) return some.error();
    std::move(some.value().begin(), some.value().end(), std::back_inserter(outcomes));
  }
  return outcomes;
}

Result<std::string> Writer::init(std::string_view device_id_rule, bool change_rule,
                                 std::string_view by) {
  Result<std::string> id = random_id();
  if (!id) return id.error();
  Change change;
  change.key = schema_.meta();
  change.by = std::string(by);
  change.fields = {{"id", id.value()}, {"device_id", std::string(device_id_rule)}};
  if (change_rule) change.fields.emplace_back("change_rule", "yes");
  Result<std::vector<Outcome>> outcomes = run({call(kInit, change)});
  if (!outcomes) return outcomes.error();
  Outcome& outcome = outcomes.value().front();
  if (outcome.kind == Outcome::Kind::kRefused) {
    return Error{ErrorKind::kRefused, "cannot initialise the registry: " + outcome.message};
  }
  return std::move(outcome.to);
}

Result<Outcome> Writer::confirm(std::string_view replaces, std::string_view by,
                                std::string_view note) {
  Result<std::string> id = random_id();
  if (!id) return id.error();
  Change change;
  change.key = schema_.meta();
  change.by = std::string(by);
  change.note = std::string(note);
  change.fields = {{"id", id.value()}};
  if (!replaces.empty()) change.fields.emplace_back("replaces", replaces);
  Result<std::vector<Outcome>> outcomes = run({call(kConfirm, change)});
  if (!outcomes) return outcomes.error();
  Outcome& outcome = outcomes.value().front();
  if (outcome.kind != Outcome::Kind::kApplied) {
    return Error{ErrorKind::kRefused, "cannot confirm the data set: " + outcome.message};
  }
  return std::move(outcome);
}

Writer::Call Writer::call(const Change& change) const {
  return call(to_string(change.op), change);
}

Writer::Call Writer::call(std::string_view op, const Change& change) const {
  Call call{"3", change.key, schema_.meta(), schema_.log(),
            std::string(op) + (dry_run_ ? "?" : "")};
  const auto& number = change.op == Op::kRestore ? change.ends_at_ms : change.expected_version;
  call.push_back(number ? std::to_string(*number) : "");
  call.push_back(change.by);
  call.push_back(change.note);
  for (const auto& [name, value] : change.fields) {
    call.push_back(name);
    call.push_back(value);
  }
  return call;
}

Result<void> Writer::load() {
  if (!sha_.empty()) return {};
  Result<Reply> reply = client_.call({"SCRIPT", "LOAD", std::string(kTransitionLua)});
  if (!reply) return reply.error();
  if (reply.value().is_error()) return to_error(reply.value());
  sha_ = std::string(reply.value().text().value_or(""));
  return {};
}

Result<std::vector<Reply>> Writer::send(const std::vector<Call>& calls, std::size_t first) {
  Result<void> loaded = load();
  if (!loaded) return loaded.error();
  std::vector<Command> commands;
  commands.reserve(calls.size() - first);
  for (std::size_t i = first; i < calls.size(); ++i) {
    Command command{"EVALSHA", sha_};
    command.insert(command.end(), calls[i].begin(), calls[i].end());
    commands.push_back(std::move(command));
  }
  return client_.pipeline(commands);
}

Result<std::vector<Outcome>> Writer::run(const std::vector<Call>& calls) {
  std::vector<Outcome> outcomes;
  outcomes.reserve(calls.size());
  // Redis forgets scripts when it restarts or is told to: then the rest is sent once more. Should
  // another client have loaded the script in between, what ran already answers by its own result.
  for (int attempt = 0; attempt < 2 && outcomes.size() < calls.size(); ++attempt) {
    Result<std::vector<Reply>> replies = send(calls, outcomes.size());
    if (!replies) return replies.error();
    for (const Reply& reply : replies.value()) {
      if (is_noscript(reply)) {
        sha_.clear();
        break;
      }
      Result<Outcome> outcome = parse_outcome(reply);
      if (!outcome) return with_context("`" + calls[outcomes.size()][1] + "`", outcome.error());
      outcomes.push_back(std::move(outcome).value());
    }
  }
  if (outcomes.size() == calls.size()) return outcomes;
  return Error{ErrorKind::kUnreachable, "redis forgets the transition script at once: try again"};
}

}  // namespace leafgate::registry
