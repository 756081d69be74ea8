// SPDX-License-Identifier: Apache-2.0
#include "registry/pipeline.h"

#include <algorithm>
#include <array>
#include <utility>

namespace leafgate::registry {
namespace {

bool begins_with(std::string_view text, std::string_view word) {
  return text.size() >= word.size() && text.substr(0, word.size()) == word;
}

std::string_view advice(std::string_view text) {
  struct Case {
    std::string_view word;
    std::string_view what_to_do;
  };
  constexpr std::array kCases = {
      Case{"NOPERM", "give the broker's redis user the rights in deploy/redis-acl"},
      Case{"NOAUTH", "set registry.password_file"},
      Case{"READONLY", "registry.url must lead to the master"},
      Case{"MOVED", "redis cluster is not supported"},
      Case{"ASK", "redis cluster is not supported"},
      Case{"CLUSTERDOWN", "redis cluster is not supported"},
      Case{"ERR unknown command", "redis 7.0 or later is needed"},
  };
  const auto* const found = std::find_if(
      kCases.begin(), kCases.end(), [text](const Case& c) { return begins_with(text, c.word); });
  return found == kCases.end() ? std::string_view() : found->what_to_do;
}

}  // namespace

Result<void> Pipeline::send(Request request, const Command& command) {
  std::string bytes;
  encode(command, bytes);
  return send_encoded(std::move(request), bytes);
}

Result<void> Pipeline::send_encoded(Request request, std::string_view bytes) {
  waiting_.push_back(std::move(request));
  return data_.send_encoded(bytes);
}

Result<std::optional<Pipeline::Answer>> Pipeline::receive(SteadyTime now) {
  Result<std::optional<Reply>> reply = data_.receive();
  if (!reply) return reply.error();
  if (!reply.value()) {
    if (waiting_.empty()) waiting_since_.reset();
    if (!waiting_.empty() && !waiting_since_) waiting_since_ = now;
    return std::optional<Answer>();
  }
  if (waiting_.empty()) return unexpected("redis answered without a question", *reply.value());
  waiting_since_ = now;
  Answer answer{std::move(waiting_.front()), std::move(*reply.value())};
  waiting_.pop_front();
  return std::optional(std::move(answer));
}

bool Pipeline::silent(SteadyTime now, std::chrono::milliseconds limit) const {
  return !waiting_.empty() && waiting_since_ && now - *waiting_since_ > limit;
}

bool Pipeline::asking(Request::Kind kind) const {
  return std::any_of(waiting_.begin(), waiting_.end(),
                     [kind](const Request& request) { return request.kind == kind; });
}

bool Pipeline::reading(std::string_view key) const {
  return std::any_of(waiting_.begin(), waiting_.end(), [key](const Request& request) {
    return request.named != 0 && request.key == key;
  });
}

Refusal classify(const Reply& reply) {
  const std::string_view text = reply.text().value_or("");
  if (begins_with(text, "WRONGTYPE")) return Refusal::kWrongType;
  for (const std::string_view word : {"OOM", "NOREPLICAS", "MISCONF"}) {
    if (begins_with(text, word)) return Refusal::kWrite;
  }
  return Refusal::kLink;
}

Error unexpected(std::string_view doing, const Reply& reply) {
  std::string message(doing);
  if (!reply.is_error()) return {ErrorKind::kUnreachable, message + ": unexpected reply"};
  constexpr std::size_t kTextMax = 200;
  const std::string_view text = reply.text().value_or("");
  message += ": ";
  message += text.substr(0, kTextMax);
  if (const std::string_view what_to_do = advice(text); !what_to_do.empty()) {
    message += ": ";
    message += what_to_do;
  }
  return {ErrorKind::kUnreachable, std::move(message)};
}

}  // namespace leafgate::registry
