// SPDX-License-Identifier: Apache-2.0
// Gets the broker's thread out of epoll_wait, so that TICK comes now and not up to 100 ms later (5
// s in a 2.1 without websockets). The plugin API has no file descriptors to watch; a real-time
// signal to the thread is what its loop takes for "go round once more".
//
// A signal that lands just before epoll_wait is lost, so every wake-up repeats each millisecond
// until it is answered: ring() by its caller, the timer of at() by itself.
#pragma once

#include <pthread.h>

#include <ctime>
#include <memory>

#include "base/result.h"
#include "policy/vocabulary.h"

namespace leafgate::plugin {

class Wake {
 public:
  // For the calling thread. Takes a real-time signal nobody handles. kInternal when there is none,
  // or no timer. One object at a time in a process.
  static Result<std::unique_ptr<Wake>> install();

  // Late signals must find the process alive and our code unloaded: the signal is ignored from here
  // on.
  ~Wake();
  Wake(const Wake&) = delete;
  Wake& operator=(const Wake&) = delete;

  // Any thread, and only while this object lives.
  void ring() const noexcept;

  // Rings at `when`, then each millisecond until the next call; kNever: not at all. Follows steps
  // of the system's clock. The owning thread only; cheap when `when` is what it was.
  void at(policy::Time when) noexcept;

 private:
  Wake(pthread_t thread, int signal, timer_t timer)
      : thread_(thread), signal_(signal), timer_(timer) {}

  const pthread_t thread_;
  const int signal_;
  const timer_t timer_;
  policy::Time armed_ = policy::kNever;
};

}  // namespace leafgate::plugin
