// SPDX-License-Identifier: Apache-2.0
// Which Redis is the master, by Redis Sentinel: every sentinel is asked once a second, and all of
// them at once when one announces a change. Never waits. One thread.
//
// More than half of the sentinels *configured* must name the same server: when a network falls
// apart, only one of its parts can have so many. An answer counts until the next one, or until the
// sentinel fails.
#pragma once

#include <poll.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "registry/connection.h"
#include "registry/endpoint.h"

namespace leafgate::registry {

class SentinelWatch {
 public:
  // REQUIRES: endpoint.sentinels
  explicit SentinelWatch(const Endpoint& endpoint);

  // Moves everything forward. A sentinel that takes longer than `patience` has failed until it
  // answers. Call it when a descriptor of add_to() is ready, and each 100 ms at least.
  void progress(SteadyTime now, std::chrono::milliseconds patience);
  void add_to(std::vector<pollfd>& items) const;

  // The master, as an endpoint without sentinels; nullopt: some have not answered or failed yet.
  // kUnreachable, with what each says, when all have and no majority names the same.
  Result<std::optional<Endpoint>> master() const;

 private:
  // Two connections, since in RESP2 one that has subscribed takes no questions. They live and die
  // together, and are dialled anew with the next question.
  struct Peer {
    Endpoint endpoint;
    std::optional<Connection> asking;
    std::optional<Connection> hearing;
    std::optional<SteadyTime> asked;  // a question is not answered yet
    std::uint64_t moves = 0;          // of both, as last seen
    std::optional<HostPort> answer;
    std::string error;  // why there is no answer; empty: there was no time for one yet
  };

  void ask(Peer& peer, SteadyTime now) const;
  void serve(Peer& peer, SteadyTime now, std::chrono::milliseconds patience);
  Result<void> exchange(Peer& peer);
  Result<void> hear(Peer& peer);
  Result<void> take_answer(Peer& peer) const;

  const Endpoint endpoint_;
  std::vector<Peer> peers_;
  SteadyTime next_round_{};
};

}  // namespace leafgate::registry
