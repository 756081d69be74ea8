// SPDX-License-Identifier: Apache-2.0
// When blocks with a TTL end. Redis may delete such a key long after its end, and says so only
// then: we ask at its end. One thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "policy/vocabulary.h"

namespace leafgate::registry {

class BlockEnds {
 public:
  // kNever: no longer.
  void watch(const std::string& key, policy::Time gone_at, policy::Time now) {
    const auto at = ends_.find(key);
    if (at != ends_.end()) {
      by_time_.erase({at->second, key});
      ends_.erase(at);
    }
    if (gone_at > policy::kNever - kGrace || ends_.size() >= kMax) return;
    const policy::Time due = std::max(gone_at, now) + kGrace;
    ends_.emplace(key, due);
    by_time_.emplace(due, key);
  }

  bool empty() const noexcept { return by_time_.empty(); }

  // Those whose end has come; they are not watched any more.
  std::vector<std::string> take_due(policy::Time now) {
    std::vector<std::string> due;
    while (!by_time_.empty() && by_time_.begin()->first <= now) {
      due.push_back(by_time_.begin()->second);
      watch(due.back(), policy::kNever, now);
    }
    return due;
  }

 private:
  static constexpr std::size_t kMax = 65536;
  static constexpr std::chrono::milliseconds kGrace{50};  // our clock may be a little ahead

  std::map<std::string, policy::Time> ends_;
  std::set<std::pair<policy::Time, std::string>> by_time_;  // the same
};

}  // namespace leafgate::registry
