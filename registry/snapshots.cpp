// SPDX-License-Identifier: Apache-2.0
#include "registry/snapshots.h"

#include <pthread.h>

#include <algorithm>
#include <csignal>
#include <new>
#include <utility>

namespace leafgate::registry {
namespace {

using policy::Time;
using std::chrono::milliseconds;
using std::chrono::steady_clock;

constexpr int kPauseFactor = 20;
// Two looks at one watermark differ by roundings and by the clock being disciplined; a new one is a
// pulse's interval, a second, later.
constexpr milliseconds kSameWatermark{500};

Time wall_clock() {
  return std::chrono::time_point_cast<milliseconds>(std::chrono::system_clock::now());
}

}  // namespace

Snapshots::Snapshots(SnapshotsOptions options, Replica& replica, log::Queue& log)
    : options_(std::move(options)), replica_(replica), log_(log) {}

Snapshots::~Snapshots() {
  if (thread_.joinable()) thread_.join();
}

Result<SnapshotRead> Snapshots::load() {
  Result<SnapshotRead> read = read_snapshot(options_.path, replica_, options_.prefix, wall_clock());
  const std::lock_guard lock(mutex_);
  if (read) {
    status_.watermark = read.value().watermark;
    status_.bytes = read.value().bytes;
  } else if (read.error().kind != ErrorKind::kNotFound) {
    status_.error = read.error().message;
  }
  return read;
}

void Snapshots::tick(milliseconds uptime) {
  if (writing_) return;
  if (thread_.joinable()) {
    thread_.join();
    due_ = std::max(began_ + options_.interval, uptime + kPauseFactor * took_);
  }
  if (!due_) due_ = uptime + options_.interval;
  if (uptime < *due_ || !has_news()) return;
  began_ = uptime;
  start();
}

void Snapshots::finish() {
  if (thread_.joinable()) thread_.join();
  if (!watermark()) return;
  start();
  if (thread_.joinable()) thread_.join();
}

SnapshotsStatus Snapshots::status() const {
  const std::lock_guard lock(mutex_);
  return status_;
}

bool Snapshots::has_news() const {
  const std::optional<Time> now = watermark();
  const std::optional<Time> in_file = status().watermark;
  return now && (!in_file || std::chrono::abs(*now - *in_file) > kSameWatermark);
}

std::optional<Time> Snapshots::watermark() const {
  const std::optional<milliseconds> age = options_.age();
  if (!age) return std::nullopt;
  return wall_clock() - *age;
}

void Snapshots::start() {
  // A thread inherits the mask. None of the broker's signals may land there, and SIGXFSZ must not
  // end the broker: a file that may not grow is a failed write.
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  writing_ = true;
  try {
    thread_ = std::thread([this] { write(); });
    pthread_setname_np(thread_.native_handle(), "leafgate-snap");
  } catch (const std::exception& error) {  // no thread, or no memory for one
    writing_ = false;
    due_ = began_ + options_.interval;
    note_failure(error);
  }
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

void Snapshots::note_failure(const std::exception& error) noexcept {
  try {
    note(Error{ErrorKind::kInternal, std::string("cannot start a thread: ") + error.what()}, {},
         {});
  } catch (const std::bad_alloc&) {  // not even memory to say so
  }
}

// ---- the thread

void Snapshots::write() {
  const auto began = steady_clock::now();
  try {
    const Time watermark = this->watermark().value_or(Time());
    const Result<SnapshotWritten> outcome = attempt(watermark);
    took_ = std::chrono::ceil<milliseconds>(steady_clock::now() - began);
    note(outcome, watermark, took_);
  } catch (const std::bad_alloc&) {  // not even memory to say so
  }
  writing_ = false;
}

Result<SnapshotWritten> Snapshots::attempt(Time watermark) {
  try {
    return write_snapshot(options_.path, replica_, options_.prefix, watermark, options_.remembered);
  } catch (const std::bad_alloc&) {
    return Error{ErrorKind::kUnreachable, options_.path + ": not enough memory to write it"};
  }
}

void Snapshots::note(const Result<SnapshotWritten>& outcome, Time watermark, milliseconds took) {
  const std::string error = outcome ? "" : outcome.error().message;
  {
    const std::lock_guard lock(mutex_);
    status_.error = error;
    if (outcome) {
      status_.watermark = watermark;
      status_.bytes = outcome.value().bytes;
    }
  }
  if (told_ == error) return;
  told_ = error;
  if (outcome) {
    log_.push(log::Line(log::Level::kInfo, "snapshot_written")
                  .add("file", options_.path)
                  .add("certificates", static_cast<std::int64_t>(outcome.value().certificates))
                  .add("bytes", static_cast<std::int64_t>(outcome.value().bytes))
                  .add("ms", static_cast<std::int64_t>(took.count())));
  } else {
    log_.push(log::Line(log::Level::kWarning, "snapshot_failed")
                  .add("error", error)
                  .add("so", "the file of before stays; tried again each minute"));
  }
}

}  // namespace leafgate::registry
