// SPDX-License-Identifier: Apache-2.0
#include "registry/snapshots.h"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <thread>

#include "tests/catch.h"
#include "tests/registry/sync_fixture.h"
#include "tests/support/process.h"

using namespace leafgate;
using namespace leafgate::registry;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::TempDir;

namespace fs = std::filesystem;

namespace {

// Snapshots with a clock that the case turns, of a registry that is as old as it says.
struct Schedule {
  explicit Schedule(std::string file, milliseconds every = seconds(60))
      : path(std::move(file)), interval(every) {
    replica.put(test::fingerprint(1), {policy::CertState::kActive}, 1);
  }

  // Turns the clock and waits until nothing is being written.
  void pass(milliseconds time) {
    now += time;
    snapshots.tick(now);
    while (snapshots.writing())
      std::this_thread::sleep_for(milliseconds(1));
    snapshots.tick(now);  // takes note of it
  }
  int writes() const { return asked; }
  void news() { age = milliseconds(0), changed = std::chrono::steady_clock::now(); }
  std::string log() {
    queue.drain([this](log::Level, const std::string& line) { text += line + "\n"; });
    return text;
  }
  std::size_t count(const std::string& event) {
    const std::string all = log();
    std::size_t found = 0;
    for (std::size_t at = all.find(event); at != std::string::npos; at = all.find(event, at + 1))
      ++found;
    return found;
  }

  const std::string path;
  const milliseconds interval;
  Replica replica;
  log::Queue queue;
  std::string text;
  milliseconds now{1'000'000};
  std::optional<milliseconds> age;
  std::chrono::steady_clock::time_point changed;
  std::atomic<int> asked{0};
  milliseconds slow{0};
  Snapshots snapshots{{path, "leafgate:",
                       [this]() -> std::optional<milliseconds> {
                         if (!age) return age;
                         return *age + std::chrono::duration_cast<milliseconds>(
                                           std::chrono::steady_clock::now() - changed);
                       },
                       [this] {
                         ++asked;
                         std::this_thread::sleep_for(slow);
                         return Remembered{};
                       },
                       interval},
                      replica,
                      queue};
};

}  // namespace

TEST_CASE("the first snapshot comes a minute after the start, and further ones with news",
          "[snapshots]") {
  const TempDir dir;
  Schedule schedule(dir / "snapshot");
  schedule.news();
  schedule.pass(seconds(0));
  schedule.pass(seconds(59));
  CHECK(schedule.writes() == 0);
  CHECK_FALSE(schedule.snapshots.status().watermark.has_value());
  schedule.pass(seconds(1));
  CHECK(schedule.writes() == 1);
  CHECK(schedule.snapshots.status().bytes == fs::file_size(schedule.path));
  CHECK(schedule.count("snapshot_written") == 1);
  CHECK(schedule.count("certificates=1") == 1);

  // Redis is away: the watermark stays.
  schedule.pass(seconds(600));
  CHECK(schedule.writes() == 1);
  std::this_thread::sleep_for(milliseconds(600));
  schedule.news();
  schedule.pass(seconds(1));
  CHECK(schedule.writes() == 2);
  std::this_thread::sleep_for(milliseconds(600));
  schedule.news();
  schedule.pass(seconds(59));
  CHECK(schedule.writes() == 2);
  schedule.pass(seconds(1));
  CHECK(schedule.writes() == 3);
  CHECK(schedule.count("snapshot_written") == 1);  // routine is not told
}

TEST_CASE("after a slow write there is a long pause", "[snapshots]") {
  const TempDir dir;
  Schedule schedule(dir / "snapshot", seconds(1));
  schedule.slow = milliseconds(600);
  schedule.news();
  schedule.pass(seconds(0));
  schedule.pass(seconds(1));
  CHECK(schedule.writes() == 1);
  schedule.news();
  schedule.pass(seconds(11));
  CHECK(schedule.writes() == 1);
  schedule.pass(seconds(600));
  CHECK(schedule.writes() == 2);
}

TEST_CASE("without a sync and without a snapshot nothing is written, not even at the end",
          "[snapshots]") {
  const TempDir dir;
  Schedule schedule(dir / "snapshot");
  const auto loaded = schedule.snapshots.load();
  REQUIRE_FALSE(loaded);
  CHECK(loaded.error().kind == ErrorKind::kNotFound);
  CHECK(schedule.snapshots.status().error.empty());
  for (int i = 0; i < 5; ++i)
    schedule.pass(seconds(60));
  schedule.snapshots.finish();
  CHECK_FALSE(fs::exists(schedule.path));
}

TEST_CASE("the last snapshot is written whatever the schedule says, and can be loaded",
          "[snapshots]") {
  const TempDir dir;
  Schedule before(dir / "snapshot");
  before.news();
  before.age = seconds(100);
  before.snapshots.finish();

  Schedule after(dir / "snapshot");
  after.replica.clear();
  const auto loaded = after.snapshots.load();
  REQUIRE(loaded);
  CHECK(after.replica.size() == 1);
  const auto age = std::chrono::system_clock::now() - loaded.value().watermark;
  CHECK(age >= seconds(99));
  CHECK(age < seconds(110));
  // What was loaded is not written again.
  after.age = std::chrono::duration_cast<milliseconds>(age);
  after.changed = std::chrono::steady_clock::now();
  after.pass(seconds(0));
  after.pass(seconds(60));
  CHECK(after.writes() == 0);
}

TEST_CASE("a write that fails is told once, and so is the first that works again", "[snapshots]") {
  const TempDir dir;
  Schedule schedule(dir / "snapshot");
  fs::create_directory(dir / "snapshot.new");
  schedule.news();
  schedule.pass(seconds(0));
  for (int i = 0; i < 3; ++i)
    schedule.pass(seconds(60));
  CHECK(schedule.count("snapshot_failed") == 1);
  CHECK_THAT(schedule.log(), ContainsSubstring("cannot create"));
  CHECK_THAT(schedule.snapshots.status().error, ContainsSubstring("cannot create"));

  fs::remove(dir / "snapshot.new");
  schedule.pass(seconds(60));
  CHECK(schedule.count("snapshot_written") == 1);
  CHECK(schedule.snapshots.status().error.empty());
  CHECK(fs::exists(schedule.path));
}

TEST_CASE("a limit on files is a failed write and no signal", "[snapshots]") {
  const TempDir dir;
  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    Schedule schedule(dir / "snapshot");
    for (std::uint64_t i = 0; i < 1000; ++i)
      schedule.replica.put(test::fingerprint(i), {policy::CertState::kActive}, 1);
    const rlimit limit{10'000, 10'000};  // bytes; SIGXFSZ would end the process
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
    schedule.news();
    schedule.snapshots.finish();
    ::_exit(schedule.snapshots.status().error.find("cannot write") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(fs::is_empty(dir.path()));
}
