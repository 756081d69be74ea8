// SPDX-License-Identifier: Apache-2.0
#include "plugin/wake.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <optional>

namespace leafgate::plugin {
namespace {

using std::chrono::milliseconds;

// SIGRTMIN is Mosquitto 2.1's own (log rotation); libraries take the next ones.
constexpr int kFirstOffset = 3;
constexpr long kRepeatNs = 1'000'000;

void do_nothing(int) {}

std::optional<int> free_signal() {
  for (int number = SIGRTMIN + kFirstOffset; number <= SIGRTMAX; ++number) {
    struct sigaction current {};
    if (sigaction(number, nullptr, &current) != 0) continue;
    // SIG_IGN: an earlier load of this plugin in the same process left it so.
    const bool is_free = (current.sa_flags & SA_SIGINFO) == 0 &&
                         (current.sa_handler == SIG_DFL || current.sa_handler == SIG_IGN);
    if (is_free) return number;
  }
  return std::nullopt;
}

bool set_handler(int number, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigemptyset(&action.sa_mask);
  return sigaction(number, &action, nullptr) == 0;
}

// Whoever started the broker may have blocked signals in it.
void unblock(int number) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

// A timer that signals this thread and no other.
std::optional<timer_t> make_timer(int number) {
  struct sigevent event {};
  event.sigev_notify = SIGEV_THREAD_ID;
  event.sigev_signo = number;
#ifdef sigev_notify_thread_id
  event.sigev_notify_thread_id = static_cast<pid_t>(syscall(SYS_gettid));
#else
  event._sigev_un._tid = static_cast<pid_t>(syscall(SYS_gettid));
#endif
  timer_t timer{};
  if (timer_create(CLOCK_REALTIME, &event, &timer) != 0) return std::nullopt;
  return timer;
}

Error failed(const char* what) {
  return Error{ErrorKind::kInternal, std::string(what) + ": " + std::strerror(errno)};
}

}  // namespace

Result<std::unique_ptr<Wake>> Wake::install() {
  const std::optional<int> number = free_signal();
  if (!number) return Error{ErrorKind::kInternal, "no real-time signal is free"};
  if (!set_handler(*number, do_nothing)) return failed("cannot handle a real-time signal");
  const std::optional<timer_t> timer = make_timer(*number);
  if (!timer) {
    const Error error = failed("cannot make a timer");
    set_handler(*number, SIG_IGN);
    return error;
  }
  unblock(*number);
  return std::unique_ptr<Wake>(new Wake(pthread_self(), *number, *timer));
}

Wake::~Wake() {
  timer_delete(timer_);
  set_handler(signal_, SIG_IGN);
}

void Wake::ring() const noexcept {
  pthread_kill(thread_, signal_);
}

void Wake::at(policy::Time when) noexcept {
  if (when == armed_) return;
  armed_ = when;

  struct itimerspec spec {};
  if (when != policy::kNever) {
    // Zero would disarm: a moment long past is as good.
    const auto since_epoch = std::max(when.time_since_epoch(), milliseconds(1));
    const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(since_epoch);
    spec.it_value.tv_sec = static_cast<time_t>(seconds.count());
    spec.it_value.tv_nsec = static_cast<long>((since_epoch - seconds).count()) * 1'000'000;
    spec.it_interval.tv_nsec = kRepeatNs;
  }
  timer_settime(timer_, TIMER_ABSTIME, &spec, nullptr);
}

}  // namespace leafgate::plugin
