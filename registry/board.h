// SPDX-License-Identifier: Apache-2.0
// What the sync thread lets other threads know. Written by the sync thread, read by any; no lock is
// held for longer than a copy.
#pragma once

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "registry/connection.h"
#include "registry/mirror.h"
#include "registry/sync.h"

namespace leafgate::registry {

class Board {
 public:
  Board(std::string instance, const SyncOptions& options)
      : instance_(std::move(instance)), remembered_(options.remembered) {
    if (!options.age_at_start) return;
    usable_ = true;
    advance_watermark(std::chrono::steady_clock::now() - *options.age_at_start);
  }

  void set_state(SyncState state) { state_.store(state, std::memory_order_relaxed); }
  void set_error(std::string text) {
    const std::lock_guard lock(mutex_);
    error_ = std::move(text);
  }
  void set_counters(const Mirror& mirror) {
    repairs_.store(mirror.repairs(), std::memory_order_relaxed);
    malformed_.store(mirror.malformed(), std::memory_order_relaxed);
  }
  void count_invalidation() { invalidations_.fetch_add(1, std::memory_order_relaxed); }
  void count_connect() { connects_.fetch_add(1, std::memory_order_relaxed); }
  void count_full_sync() { full_syncs_.fetch_add(1, std::memory_order_relaxed); }

  // Everything written before `time` is in the replica. Never moves back.
  void advance_watermark(SteadyTime time) {
    const std::int64_t ns = std::chrono::nanoseconds(time.time_since_epoch()).count();
    if (ns > watermark_.load(std::memory_order_relaxed)) {
      watermark_.store(ns, std::memory_order_release);
    }
  }
  void announce_sync() {
    const std::lock_guard lock(mutex_);
    synced_ = true;
    usable_ = true;
    changed_.notify_all();
  }

  bool wait_until_synced(std::chrono::milliseconds limit) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [this] { return usable_; });
  }
  Remembered remembered() const { return remembered_; }

  std::optional<std::chrono::milliseconds> age() const noexcept {
    const std::int64_t ns = watermark_.load(std::memory_order_acquire);
    if (ns == kNoWatermark) return std::nullopt;
    const std::chrono::nanoseconds age =
        std::chrono::steady_clock::now().time_since_epoch() - std::chrono::nanoseconds(ns);
    return std::chrono::duration_cast<std::chrono::milliseconds>(
        std::max(age, std::chrono::nanoseconds(0)));
  }

  SyncStatus status() const {
    SyncStatus status;
    status.state = state_.load(std::memory_order_relaxed);
    status.age = age();
    status.connects = connects_.load(std::memory_order_relaxed);
    status.full_syncs = full_syncs_.load(std::memory_order_relaxed);
    status.invalidations = invalidations_.load(std::memory_order_relaxed);
    status.repairs = repairs_.load(std::memory_order_relaxed);
    status.malformed = malformed_.load(std::memory_order_relaxed);
    status.instance = instance_;
    const std::lock_guard lock(mutex_);
    status.ever_synced = synced_;
    status.last_error = error_;
    return status;
  }

 private:
  static constexpr std::int64_t kNoWatermark = INT64_MIN;

  const std::string instance_;
  const Remembered remembered_;
  std::atomic<SyncState> state_{SyncState::kDown};
  std::atomic<std::int64_t> watermark_{kNoWatermark};  // ns of the steady clock
  std::atomic<std::uint64_t> connects_{0};
  std::atomic<std::uint64_t> full_syncs_{0};
  std::atomic<std::uint64_t> invalidations_{0};
  std::atomic<std::uint64_t> repairs_{0};
  std::atomic<std::uint64_t> malformed_{0};
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool synced_ = false;  // guarded by mutex_
  bool usable_ = false;  // synced_, or filled from a snapshot; guarded by mutex_
  std::string error_;    // guarded by mutex_
};

}  // namespace leafgate::registry
