// SPDX-License-Identifier: Apache-2.0
// When snapshots are written: a minute after the start and each minute from then on if there is
// news, with pauses of at least twenty times what a write takes, and once more at the end. Each
// write has a thread of its own, so that a slow disk slows nobody.
//
// One thread uses an object of this class. Its end waits for a write that is under way.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "base/log.h"
#include "registry/remembered.h"
#include "registry/replica.h"
#include "registry/snapshot.h"

namespace leafgate::registry {

struct SnapshotsOptions {
  std::string path;
  std::string prefix;
  // Age of the replica's watermark; nullopt: there is nothing worth a file. Any thread.
  std::function<std::optional<std::chrono::milliseconds>()> age;
  // What goes into the file beside the records. Any thread.
  std::function<Remembered()> remembered;

  // Changed by tests only.
  std::chrono::milliseconds interval{60'000};
};

struct SnapshotsStatus {
  std::optional<policy::Time> watermark;  // of the file; nullopt: none that we could use
  std::uint64_t bytes = 0;
  std::string error;  // of the last attempt; empty when it worked
};

class Snapshots {
 public:
  // `replica`, `log` and what the options' functions refer to outlive this object.
  Snapshots(SnapshotsOptions options, Replica& replica, log::Queue& log);
  ~Snapshots();
  Snapshots(const Snapshots&) = delete;
  Snapshots& operator=(const Snapshots&) = delete;

  // Fills the empty replica from the file, before anybody else uses it. See read_snapshot().
  Result<SnapshotRead> load();

  // Starts a write when one is due; never waits. `uptime`: a clock that does not go back.
  void tick(std::chrono::milliseconds uptime);
  bool writing() const { return writing_; }

  // Writes once more and waits for it; for when nothing changes the replica any more.
  void finish();

  SnapshotsStatus status() const;

 private:
  bool has_news() const;
  std::optional<policy::Time> watermark() const;
  void start();
  void note_failure(const std::exception& error) noexcept;
  void write();
  Result<SnapshotWritten> attempt(policy::Time watermark);
  void note(const Result<SnapshotWritten>& outcome, policy::Time watermark,
            std::chrono::milliseconds took);

  const SnapshotsOptions options_;
  Replica& replica_;
  log::Queue& log_;

  std::thread thread_;
  std::optional<std::chrono::milliseconds> due_;
  std::chrono::milliseconds began_{};

  // Of the thread that writes, while there is one.
  std::atomic<bool> writing_{false};
  std::chrono::milliseconds took_{};
  std::optional<std::string> told_;  // the failure that was logged; empty: a success

  mutable std::mutex mutex_;
  SnapshotsStatus status_;  // guarded by mutex_
};

}  // namespace leafgate::registry
