// SPDX-License-Identifier: Apache-2.0
// Held keys that Redis answered are not there, until the data set they are missing from is known to
// be ours. One thread.
#pragma once

#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace leafgate::registry {

class Absences {
 public:
  // `place`: of the key among those that S named; grows from call to call.
  void add(const std::string& key, std::uint64_t place) {
    if (keys_.empty()) first_ = place;
    keys_.insert(key);
  }
  // It was read again and is there.
  void cancel(const std::string& key) {
    if (!keys_.empty()) keys_.erase(key);
  }
  void clear() { keys_.clear(); }

  bool contains(const std::string& key) const { return keys_.contains(key); }
  bool empty() const noexcept { return keys_.empty(); }
  // No place before this one waits for its proof; nullopt: nor does any other.
  std::optional<std::uint64_t> first() const {
    return keys_.empty() ? std::nullopt : std::optional(first_);
  }
  // All of them, each once.
  std::vector<std::string> take() {
    std::vector<std::string> keys(keys_.begin(), keys_.end());
    keys_.clear();
    return keys;
  }

 private:
  std::set<std::string> keys_;
  std::uint64_t first_ = 0;
};

}  // namespace leafgate::registry
