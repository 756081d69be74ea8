// SPDX-License-Identifier: Apache-2.0
// The keys that S named and that wait to be read, each once, in the order of their first naming.
// One thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>

namespace leafgate::registry {

class NamedKeys {
 public:
  // A key that waits already keeps its place.
  void add(std::string_view key) {
    const auto [at, fresh] = keys_.emplace(key);
    if (!fresh) return;
    order_.push_back(&*at);
    ++added_;
  }

  struct Taken {
    std::string key;
    std::uint64_t place;  // counted from 1 since the start
  };
  // The oldest; nullopt when none waits.
  std::optional<Taken> take() {
    if (order_.empty()) return std::nullopt;
    Taken taken{*order_.front(), added_ - order_.size() + 1};
    order_.pop_front();
    keys_.erase(taken.key);
    return taken;
  }

  void clear() {
    order_.clear();
    keys_.clear();
  }

  bool contains(const std::string& key) const { return keys_.contains(key); }
  std::size_t size() const { return order_.size(); }
  std::uint64_t added() const { return added_; }  // since the start

 private:
  std::unordered_set<std::string> keys_;
  std::deque<const std::string*> order_;  // into keys_, whose elements do not move
  std::uint64_t added_ = 0;
};

}  // namespace leafgate::registry
