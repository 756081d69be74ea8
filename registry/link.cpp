// SPDX-License-Identifier: Apache-2.0
#include "registry/link.h"

#include <utility>

namespace leafgate::registry {
namespace {

constexpr std::string_view kChannel = "__redis__:invalidate";

}  // namespace

Result<void> must_be_master(const Reply& role) {
  const std::optional<std::string_view> name = role.text_at(0);
  if (!name) return unexpected("cannot ask redis for its role", role);
  if (*name == "master") return {};
  return Error{ErrorKind::kUnreachable,
               "this redis is a replica: registry.url must lead to the master"};
}

Link::Link(const Endpoint& endpoint, const Schema& schema, std::string pulse_key, SteadyTime now)
    : hearing_(endpoint),
      data_(endpoint),
      pipeline_(data_),
      prefixes_{schema.block_prefix(), schema.cert_prefix(), std::move(pulse_key)},
      moved_at_(now) {}

Result<void> Link::flush() {
  if (Result<void> done = hearing_.progress(); !done) return done;
  return data_.progress();
}

Result<void> Link::progress(SteadyTime now, std::chrono::milliseconds patience) {
  if (Result<void> done = flush(); !done) return done;
  while (!armed()) {
    const Result<bool> advanced = advance();
    if (!advanced) return advanced.error();
    if (!advanced.value()) break;
    if (Result<void> done = flush(); !done) return done;
  }
  if (const std::uint64_t moves = hearing_.moves() + data_.moves(); moves != moves_) {
    moves_ = moves;
    moved_at_ = now;
  }
  if (!armed() && now - moved_at_ > patience) {
    return Error{ErrorKind::kUnreachable,
                 "redis does not answer while connecting: check registry.url and the network"};
  }
  return {};
}

Result<bool> Link::advance() {
  switch (step_) {
    case Step::kDial: {
      if (!hearing_.ready() || !data_.ready()) return false;
      step_ = Step::kSubscribe;
      for (const Command& command :
           {Command{"CLIENT", "ID"}, Command{"SUBSCRIBE", std::string(kChannel)}}) {
        if (Result<void> sent = hearing_.send(command); !sent) return sent.error();
      }
      if (Result<void> sent = data_.send({"ROLE"}); !sent) return sent.error();
      return true;
    }
    case Step::kSubscribe: {
      // Both are read, whoever answers first: in TLS there may be something that is no answer, and
      // left unread it would wake our owner all the time.
      Result<bool> role = master_ ? Result<bool>(false) : take_role();
      if (!role) return role;
      Result<bool> heard = subscribed_ ? Result<bool>(false) : take_subscription();
      if (!heard) return heard;
      if (!master_ || !subscribed_) return role.value() || heard.value();
      step_ = Step::kTrack;
      return ask_tracking();
    }
    case Step::kTrack:
      return take_tracking();
    case Step::kArmed:
      return false;
  }
  return false;
}

Result<bool> Link::take_role() {
  const Result<std::optional<Reply>> reply = data_.receive();
  if (!reply) return reply.error();
  if (!reply.value()) return false;
  if (Result<void> checked = must_be_master(*reply.value()); !checked) return checked.error();
  master_ = true;
  return true;
}

Result<bool> Link::take_subscription() {
  return client_id_ ? take_acknowledgement() : take_client_id();
}

Result<bool> Link::take_client_id() {
  const Result<std::optional<Reply>> reply = hearing_.receive();
  if (!reply) return reply.error();
  if (!reply.value()) return false;
  client_id_ = reply.value()->integer();
  if (!client_id_) return unexpected("cannot ask redis for a client id", *reply.value());
  return true;
}

Result<bool> Link::take_acknowledgement() {
  const Result<std::optional<Reply>> reply = hearing_.receive();
  if (!reply) return reply.error();
  if (!reply.value()) return false;
  if (reply.value()->text_at(0) != "subscribe" || reply.value()->text_at(1) != kChannel) {
    return unexpected("cannot subscribe to invalidations", *reply.value());
  }
  subscribed_ = true;
  return true;
}

Result<bool> Link::ask_tracking() {
  Command track{"CLIENT", "TRACKING", "ON", "REDIRECT", std::to_string(*client_id_), "BCAST"};
  for (const std::string& prefix : prefixes_) {
    track.push_back("PREFIX");
    track.push_back(prefix);
  }
  if (Result<void> sent = data_.send(track); !sent) return sent.error();
  return true;
}

Result<bool> Link::take_tracking() {
  const Result<std::optional<Reply>> reply = data_.receive();
  if (!reply) return reply.error();
  if (!reply.value()) return false;
  if (reply.value()->is_error() || reply.value()->text() != "OK") {
    return unexpected("cannot switch client tracking on", *reply.value());
  }
  step_ = Step::kArmed;
  return true;
}

Result<std::optional<Notice>> Link::next_notice() {
  Result<std::optional<Reply>> received = hearing_.receive();
  if (!received) return received.error();
  if (!received.value()) return std::optional<Notice>();

  const Reply& reply = *received.value();
  Notice notice;
  // A Redis whose disk is full refuses even PING, and has answered all the same.
  const bool refused = reply.is_error() && reply.text()->starts_with("MISCONF");
  if (refused || reply.text_at(0) == "pong") {
    notice.kind = Notice::Kind::kPong;
  } else if (reply.text_at(0) == "message" && reply.size() == 3 && reply[2].is_array()) {
    notice.kind = Notice::Kind::kKeys;
    notice.keys = reply[2];
  }
  return std::optional(std::move(notice));
}

Result<void> Link::ask_hearing() {
  return hearing_.send({"PING"});
}

}  // namespace leafgate::registry
