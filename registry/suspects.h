// SPDX-License-Identifier: Apache-2.0
// Tells changes that the invalidations missed from changes whose invalidation is still on its way.
// One thread.
//
// An audit that finds a difference cannot know which it is: the answer of D may overtake the
// message on S. A pulse that is sent afterwards and has come back proves that every earlier message
// has arrived; whoever was not named by then was missed.
#pragma once

#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace leafgate::registry {

class Suspects {
 public:
  void add(std::string key) {
    if (fresh_.size() < kMax) fresh_.insert(std::move(key));
  }

  void named(std::string_view key) {
    if (fresh_.empty() && waiting_.empty()) return;
    fresh_.erase(std::string(key));
    waiting_.erase(std::string(key));
  }

  void pulse_sent() {
    waiting_.merge(fresh_);
    fresh_.clear();
  }

  // Those that were missed.
  std::vector<std::string> pulse_returned() {
    std::vector<std::string> missed(waiting_.begin(), waiting_.end());
    waiting_.clear();
    return missed;
  }

  void clear() {
    fresh_.clear();
    waiting_.clear();
  }

 private:
  static constexpr std::size_t kMax = 65536;  // the alarm is the same for more

  std::set<std::string> fresh_;    // found since the last pulse was sent
  std::set<std::string> waiting_;  // found before it
};

}  // namespace leafgate::registry
