// SPDX-License-Identifier: Apache-2.0
// Knows what each device's record said when, and judges what the broker did with the device: was it
// served although its record had said no for longer than the bound, or not served although it had
// said yes? What nobody can know (a change under way, or made too short a time ago) is not judged.
// Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

namespace leafgate::test {

class Oracle {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // A change must be in force `bound` after it was made, when nothing stood between the broker and
  // Redis meanwhile; otherwise so long after that was over. All records refuse at the start.
  Oracle(std::size_t devices, std::chrono::milliseconds bound);

  // Around the making of a change: at some moment in between it happens. One that leaves the answer
  // as it was, and settled, excuses nothing.
  void change_begins(std::size_t device, bool admits, Time at);
  void change_ended(std::size_t device, Time at);
  // Around whatever may keep changes from the broker. One at a time.
  void trouble_begins(Time at);
  void trouble_ended(Time at);

  // The broker served the device at some moment between `from` and `to`.
  void served(std::size_t device, Time from, Time to) { judge(device, true, from, to); }
  // At some moment in between it refused it, or ended its session.
  void not_served(std::size_t device, Time from, Time to) { judge(device, false, from, to); }

  struct Verdict {
    std::uint64_t rightly_served = 0;
    std::uint64_t rightly_refused = 0;
    std::uint64_t not_judged = 0;
    std::uint64_t served_though_no = 0;
    std::uint64_t refused_though_yes = 0;
  };
  Verdict verdict() const;

 private:
  struct Change {
    bool admits;
    Time begin;
    Time end;
  };
  struct Span {
    Time begin;
    Time end;
  };

  void judge(std::size_t device, bool served, Time from, Time to);
  Time in_force(Time made) const;

  const std::chrono::milliseconds bound_;
  mutable std::mutex mutex_;
  std::vector<std::vector<Change>> changes_;  // by device, in their order
  std::vector<Span> troubles_;                // in their order
  Verdict verdict_;
};

std::string text(const Oracle::Verdict& verdict);

}  // namespace leafgate::test
