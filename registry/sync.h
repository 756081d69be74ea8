// SPDX-License-Identifier: Apache-2.0
// Keeps the Replica equal to Redis: never blocks the broker, never misses a change.
//
// One thread of its own with two RESP2 connections. S subscribes to `__redis__:invalidate`; D has
// CLIENT TRACKING ON REDIRECT <S> BCAST on the prefixes block:, cert: and its own pulse:. Each key
// that S names is read again on D, and D's replies are applied in order. On connect, on a null
// invalidation and on any doubt, everything is scanned again with tracking already on, and what the
// scan did not see is swept; the old replica serves meanwhile. S and D live and die together. A
// pulse each second proves the chain from end to end: its return, with nothing left to read again,
// means that everything written before it was sent has been applied. That moment is the freshness
// watermark. Whose data these are, and what may be believed of them, is the Fence's (fence.h);
// while it holds, the watermark stands still.
//
// Who is not the master is left: ROLE is asked with each pulse, and where the endpoint has
// sentinels, their majority decides (sentinel.h). Without a majority nobody is dialled, but a link
// that works is kept.
//
//   DOWN ──dial, AUTH──▶ ARM ──subscribed, tracking──▶ SYNCING ──scanned, swept──▶ LIVE
//    ▲                                                                              │
//    └──── end of file, error, 2 s without an answer, no master: close both, back off ──┘
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/log.h"
#include "registry/changes.h"
#include "registry/endpoint.h"
#include "registry/outbox.h"
#include "registry/remembered.h"
#include "registry/replica.h"
#include "registry/schema.h"

namespace leafgate::registry {

enum class SyncState : std::uint8_t { kDown, kArm, kSyncing, kLive };
std::string_view to_string(SyncState state);

struct SyncOptions {
  Endpoint endpoint;
  std::string prefix = std::string(kDefaultPrefix);
  std::string broker;          // REQUIRES: is_broker_name()
  std::string version;         // of leafgate, for the broker's hash
  std::string device_id_rule;  // as text, e.g. `cn`; compared with meta's, a difference is logged
  Remembered remembered;       // of an earlier process; by default nothing
  // The age of what the replica holds at the start, when that is something: where the watermark
  // stands.
  std::optional<std::chrono::milliseconds> age_at_start;
  bool hold_on_data_loss = true;  // false: what another data set lacks refuses at once

  // Changed by tests only.
  std::chrono::milliseconds pulse_interval{1000};
  std::chrono::milliseconds answer_deadline{2000};
  std::chrono::milliseconds backoff_min{10};
  std::chrono::milliseconds backoff_max{500};
  std::chrono::seconds reconcile_interval{600};  // anti-entropy: a full scan this often
  std::uint64_t lease_free_keys = 50'000;        // a larger registry is read in turns (lease.h)
  std::chrono::seconds lease_patience{300};
};

// A snapshot of how the thread is doing. Counters never go down.
struct SyncStatus {
  SyncState state = SyncState::kDown;
  bool ever_synced = false;
  // Age of the freshness watermark; nullopt before the first full sync.
  std::optional<std::chrono::milliseconds> age;
  std::uint64_t connects = 0;  // times LIVE was reached after DOWN
  std::uint64_t full_syncs = 0;
  std::uint64_t invalidations = 0;  // keys named by S
  std::uint64_t repairs = 0;        // differences found by anti-entropy: an alarm, 0 by design
  std::uint64_t malformed = 0;      // records and keys that were not usable
  std::string held_id;              // the data set that is missed while absence is held; else empty
  std::uint64_t absent_held = 0;    // entries held so that the last scan did not find
  std::uint64_t regressions = 0;    // refusals kept against a registry that lost them; may go down
  std::string instance;             // random id of this process's sync
  // Empty while LIVE, unless Redis refuses the pulse or most sentinels are away.
  std::string last_error;
};

class Sync {
 public:
  // `wake` is called from the sync thread while changes wait, about each millisecond until they are
  // taken; it must not block. `replica`, `changes`, `outbox`, `log` outlive this object.
  Sync(SyncOptions options, Replica& replica, Changes& changes, Outbox& outbox, log::Queue& log,
       std::function<void()> wake);
  ~Sync();  // stops and joins; takes at most the time of one poll
  Sync(const Sync&) = delete;
  Sync& operator=(const Sync&) = delete;

  // Starts the thread, with all signals blocked in it. kInternal when the system refuses a thread.
  Result<void> start();

  // Ends the thread: the replica does not change any more. What it said last can still be asked.
  void stop();

  // Waits until the first full sync is done, not at all when SyncOptions::age_at_start is set;
  // false when `limit` passes first.
  bool wait_until_synced(std::chrono::milliseconds limit) const;

  // Any thread; never waits for Redis.
  SyncStatus status() const;
  // As status().age, without copying the rest: for each decision.
  std::optional<std::chrono::milliseconds> age() const noexcept;
  // What the next process should be started with.
  Remembered remembered() const;

 private:
  class Thread;
  std::unique_ptr<Thread> thread_;
};

}  // namespace leafgate::registry
