// SPDX-License-Identifier: Apache-2.0
#include "registry/sentinel.h"

#include <algorithm>
#include <string_view>
#include <utility>

namespace leafgate::registry {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kRoundInterval{1000};
constexpr std::string_view kChannel = "+switch-master";

Endpoint endpoint_of(const Endpoint& endpoint, const HostPort& sentinel) {
  Endpoint one;
  one.host = sentinel.host;
  one.port = sentinel.port;
  one.username = endpoint.sentinels->username;
  one.password_file = endpoint.sentinels->password_file;
  one.tls = endpoint.tls;
  return one;
}

Error refusal(const Endpoint& sentinel, const Reply& reply) {
  constexpr std::size_t kTextMax = 200;
  const std::string_view text = reply.text().value_or("a reply nobody knows").substr(0, kTextMax);
  return {ErrorKind::kUnreachable, sentinel.text() + ": the sentinel says no: " +
                                       std::string(text) + ": check registry.sentinel and its ACL"};
}

}  // namespace

SentinelWatch::SentinelWatch(const Endpoint& endpoint) : endpoint_(endpoint) {
  for (const HostPort& sentinel : endpoint.sentinels->servers) {
    peers_.emplace_back().endpoint = endpoint_of(endpoint, sentinel);
  }
}

void SentinelWatch::progress(SteadyTime now, milliseconds patience) {
  for (Peer& peer : peers_)
    serve(peer, now, patience);
  if (now < next_round_) return;
  next_round_ = now + kRoundInterval;
  for (Peer& peer : peers_) {
    ask(peer, now);
    serve(peer, now, patience);
  }
}

void SentinelWatch::ask(Peer& peer, SteadyTime now) const {
  if (peer.asked) return;
  if (!peer.asking) {
    peer.asking.emplace(peer.endpoint);
    peer.hearing.emplace(peer.endpoint);
    static_cast<void>(peer.hearing->send({"SUBSCRIBE", std::string(kChannel)}));
  }
  // A connection that is dead says why when it is served.
  static_cast<void>(
      peer.asking->send({"SENTINEL", "GET-MASTER-ADDR-BY-NAME", endpoint_.sentinels->service}));
  peer.asked = now;
}

void SentinelWatch::serve(Peer& peer, SteadyTime now, milliseconds patience) {
  if (!peer.asking) return;
  Result<void> done = exchange(peer);
  const std::uint64_t moves = peer.asking->moves() + peer.hearing->moves();
  const bool connects = !peer.asking->ready() || !peer.hearing->ready();
  if (connects && peer.asked && moves != std::exchange(peer.moves, moves)) peer.asked = now;
  if (done && peer.asked && now - *peer.asked > patience) {
    done = Error{ErrorKind::kUnreachable, peer.endpoint.text() + ": the sentinel does not answer"};
  }
  if (done) return;
  peer.asking.reset();
  peer.hearing.reset();
  peer.asked.reset();
  peer.answer.reset();
  peer.error = done.error().message;
}

Result<void> SentinelWatch::exchange(Peer& peer) {
  if (Result<void> done = peer.asking->progress(); !done) return done;
  if (Result<void> done = peer.hearing->progress(); !done) return done;
  if (Result<void> done = hear(peer); !done) return done;
  return take_answer(peer);
}

Result<void> SentinelWatch::hear(Peer& peer) {
  while (true) {
    const Result<std::optional<Reply>> reply = peer.hearing->receive();
    if (!reply) return reply.error();
    if (!reply.value()) return {};
    if (reply.value()->is_error()) return refusal(peer.endpoint, *reply.value());
    if (reply.value()->text_at(0) == "message") next_round_ = SteadyTime{};
  }
}

Result<void> SentinelWatch::take_answer(Peer& peer) const {
  const Result<std::optional<Reply>> reply = peer.asking->receive();
  if (!reply) return reply.error();
  if (!reply.value()) return {};
  if (reply.value()->is_null()) {
    return Error{ErrorKind::kUnreachable, peer.endpoint.text() + ": the sentinel knows no `" +
                                              endpoint_.sentinels->service + "`"};
  }
  Result<HostPort> answer = make_host_port(reply.value()->text_at(0).value_or(""),
                                           reply.value()->text_at(1).value_or(""));
  if (!answer) return refusal(peer.endpoint, *reply.value());
  peer.answer = std::move(answer).value();
  peer.asked.reset();
  peer.error.clear();
  return {};
}

void SentinelWatch::add_to(std::vector<pollfd>& items) const {
  for (const Peer& peer : peers_) {
    if (!peer.asking) continue;
    items.push_back({peer.asking->fd(), peer.asking->events(), 0});
    items.push_back({peer.hearing->fd(), peer.hearing->events(), 0});
  }
}

Result<std::optional<Endpoint>> SentinelWatch::master() const {
  std::string said;
  for (const Peer& peer : peers_) {
    const auto agree = std::count_if(peers_.begin(), peers_.end(), [&peer](const Peer& other) {
      return peer.answer && other.answer == peer.answer;
    });
    if (2 * static_cast<std::size_t>(agree) > peers_.size()) {
      Endpoint master = endpoint_;
      master.sentinels.reset();
      master.host = peer.answer->host;
      master.port = peer.answer->port;
      return std::optional(std::move(master));
    }
    const std::string& error = peer.error;
    said += "; " + (peer.answer ? peer.endpoint.text() + " names " + peer.answer->text() : error);
  }
  const bool all = std::all_of(peers_.begin(), peers_.end(),
                               [](const Peer& peer) { return peer.answer || !peer.error.empty(); });
  if (!all) return std::optional<Endpoint>();
  return Error{ErrorKind::kUnreachable,
               "no majority of the sentinels names one master: " + said.substr(2)};
}

}  // namespace leafgate::registry
