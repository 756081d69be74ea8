// SPDX-License-Identifier: Apache-2.0
#include "plugin/wake.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <thread>

#include "tests/catch.h"

using leafgate::plugin::Wake;
using leafgate::policy::kNever;
using leafgate::policy::Time;
using namespace std::chrono_literals;

namespace {

// As the broker's loop: true when something interrupted the wait.
bool interrupted_within(std::chrono::milliseconds limit) {
  const int ready = poll(nullptr, 0, static_cast<int>(limit.count()));
  return ready == -1 && errno == EINTR;
}

Time wall_clock() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

}  // namespace

TEST_CASE("another thread's ring ends the broker thread's wait", "[plugin][wake]") {
  auto wake = Wake::install();
  REQUIRE(wake.ok());
  std::thread other([&] {
    std::this_thread::sleep_for(50ms);
    wake.value()->ring();
  });

  CHECK(interrupted_within(10s));
  other.join();
}

TEST_CASE("the timer ends the wait at its moment and again until it is set anew",
          "[plugin][wake]") {
  auto wake = Wake::install();
  REQUIRE(wake.ok());

  const Time at = wall_clock() + 50ms;
  wake.value()->at(at);
  CHECK(interrupted_within(10s));
  CHECK(wall_clock() >= at);
  CHECK(interrupted_within(10s));

  wake.value()->at(kNever);
  CHECK_FALSE(interrupted_within(50ms));
}

TEST_CASE("a moment long past rings at once", "[plugin][wake]") {
  auto wake = Wake::install();
  REQUIRE(wake.ok());

  wake.value()->at(Time{});

  CHECK(interrupted_within(10s));
}

TEST_CASE("a signal that comes after the end of the wake-up does no harm", "[plugin][wake]") {
  struct sigaction before[65] = {};
  for (int i = SIGRTMIN; i <= SIGRTMAX; ++i)
    sigaction(i, nullptr, &before[i]);
  { REQUIRE(Wake::install().ok()); }

  for (int i = SIGRTMIN; i <= SIGRTMAX; ++i) {
    struct sigaction now = {};
    sigaction(i, nullptr, &now);
    CHECK((now.sa_handler == before[i].sa_handler || now.sa_handler == SIG_IGN));
    if (now.sa_handler == SIG_IGN) pthread_kill(pthread_self(), i);
  }
}

TEST_CASE("a real-time signal that somebody handles is left to them", "[plugin][wake]") {
  const int taken = SIGRTMIN + 3;
  struct sigaction theirs = {};
  theirs.sa_handler = [](int) {};
  struct sigaction before = {};
  sigaction(taken, &theirs, &before);

  auto wake = Wake::install();
  REQUIRE(wake.ok());

  struct sigaction now = {};
  sigaction(taken, nullptr, &now);
  CHECK(now.sa_handler == theirs.sa_handler);
  sigaction(taken, &before, nullptr);
}
