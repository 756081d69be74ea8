// SPDX-License-Identifier: Apache-2.0
// What the sync thread lets other threads know. Written by the sync thread, read by any; no lock is
// held for longer than a copy.
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "registry/connection.h"
#include "registry/fence.h"
#include "registry/mirror.h"
#include "registry/remembered.h"
#include "registry/sync.h"
#include "registry/watermark.h"

namespace leafgate::registry {

class Board {
 public:
  // `age_at_start` and `remembered`: as in SyncOptions.
  Board(std::string instance, std::optional<std::chrono::milliseconds> age_at_start,
        Remembered remembered)
      : instance_(std::move(instance)),
        has_content_(age_at_start.has_value()),
        remembered_(std::move(remembered)) {
    if (age_at_start) watermark_.start(*age_at_start, Watermark::now());
  }

  void set_state(SyncState state) { state_.store(state, std::memory_order_relaxed); }
  void set_error(std::string text) {
    const std::lock_guard lock(mutex_);
    error_ = std::move(text);
  }
  void set_counters(const Mirror& mirror) {
    repairs_.store(mirror.repairs(), std::memory_order_relaxed);
    malformed_.store(mirror.malformed(), std::memory_order_relaxed);
    absent_held_.store(mirror.absent_held(), std::memory_order_relaxed);
  }
  void set_fence(const Fence& fence) {
    Remembered remembered = fence.remembered();
    const std::lock_guard lock(mutex_);
    std::swap(remembered_, remembered);
    holding_ = fence.holding();
  }
  void count_invalidation() { invalidations_.fetch_add(1, std::memory_order_relaxed); }
  void count_connect() { connects_.fetch_add(1, std::memory_order_relaxed); }
  void count_full_sync() { full_syncs_.fetch_add(1, std::memory_order_relaxed); }

  // Everything written before `time` is in the replica. Never moves back.
  void advance_watermark(SteadyTime time) {
    // This clock first: a thread that is interrupted in between makes the age greater.
    const Watermark::Clocks now = Watermark::now();
    watermark_.advance(std::chrono::steady_clock::now() - time, now);
  }
  void announce_sync() {
    const std::lock_guard lock(mutex_);
    synced_ = true;
    changed_.notify_all();
  }

  bool wait_until_synced(std::chrono::milliseconds limit) const {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, limit, [this] { return synced_ || has_content_; });
  }

  std::optional<std::chrono::milliseconds> age() const noexcept {
    return watermark_.age(Watermark::now());
  }

  Remembered remembered() const {
    const std::lock_guard lock(mutex_);
    return remembered_;
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
    status.absent_held = absent_held_.load(std::memory_order_relaxed);
    status.instance = instance_;
    const std::lock_guard lock(mutex_);
    status.ever_synced = synced_;
    status.last_error = error_;
    if (holding_) status.held_id = remembered_.data_set;
    status.regressions = remembered_.regressions.size();
    return status;
  }

 private:
  const std::string instance_;
  const bool has_content_;  // before the first sync
  std::atomic<SyncState> state_{SyncState::kDown};
  Watermark watermark_;
  std::atomic<std::uint64_t> connects_{0};
  std::atomic<std::uint64_t> full_syncs_{0};
  std::atomic<std::uint64_t> invalidations_{0};
  std::atomic<std::uint64_t> repairs_{0};
  std::atomic<std::uint64_t> malformed_{0};
  std::atomic<std::uint64_t> absent_held_{0};
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool synced_ = false;    // guarded by mutex_
  std::string error_;      // guarded by mutex_
  Remembered remembered_;  // guarded by mutex_
  bool holding_ = false;   // guarded by mutex_
};

}  // namespace leafgate::registry
