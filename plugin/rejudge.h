// SPDX-License-Identifier: Apache-2.0
// The one mechanism that ends sessions. Whatever happened (a record or a block changed, a deadline
// passed, the rules were reloaded), the sessions concerned are judged again; those refused are
// condemned at once, so that they can do nothing any more, and ended a few at a time, so that
// nobody else waits.
//
// The broker's thread, from TICK only.
#pragma once

#include <chrono>
#include <deque>
#include <functional>
#include <utility>
#include <vector>

#include "plugin/gate.h"
#include "plugin/notices.h"
#include "plugin/sessions.h"
#include "registry/changes.h"

namespace leafgate::plugin {

// What one TICK may take. Bounds of time, since what it costs to end a session depends on the
// broker: its log, the session's subscriptions, its will. Judging goes first, so that nobody who is
// refused can do anything, and leaves some of the time to the ending. Then the broker has its loop
// to itself: a client that waits for one message before it sends the next moves on once a turn, and
// would fall behind by one turn after the other.
inline constexpr std::chrono::microseconds kTurnMax{2000};
inline constexpr std::chrono::microseconds kJudgingMax{1000};
inline constexpr std::chrono::microseconds kRest{1000};

class Rejudge {
 public:
  // Time since some fixed moment; never goes back.
  using Uptime = std::function<std::chrono::microseconds()>;

  Rejudge(Gate& gate, Sessions& sessions, Notices& notices, Uptime uptime)
      : gate_(gate), sessions_(sessions), notices_(notices), uptime_(std::move(uptime)) {}

  // Every session, over the next calls of run(). Also makes good whatever an exception cut short.
  void everything();
  // The sessions that `batch` concerns.
  void changed(const registry::ChangeBatch& batch);

  // One turn's share of the work; none while it rests. Re-enters our callbacks.
  void run(policy::Time now);

  // True while run() has something left to do.
  bool busy() const { return !to_judge_.empty() || !to_end_.empty() || sessions_.any_condemned(); }

  // Those that could not be ended yet, because their client id does not lead to them now, are tried
  // again. Call every now and then.
  void retry();

 private:
  void judge_again(const mosquitto* client);
  void judge_some(policy::Time now, std::chrono::microseconds until);
  void end_some(std::chrono::microseconds until);
  bool leads_to(const Session& session) const;
  void end(Session& session);

  Gate& gate_;
  Sessions& sessions_;
  Notices& notices_;
  const Uptime uptime_;
  // Pointers are looked up again when their turn comes: the session may be gone by then.
  std::vector<const mosquitto*> to_judge_;
  std::deque<const mosquitto*> to_end_;
  std::vector<const mosquitto*> later_;
  std::chrono::microseconds rests_until_{};
};

}  // namespace leafgate::plugin
