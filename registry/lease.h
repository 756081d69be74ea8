// SPDX-License-Identifier: Apache-2.0
// Whose turn it is to read everything: of all brokers on one Redis two at a time rebuild, and one
// compares. A hundred brokers that lost the same Redis would otherwise all read it at once, and be
// done only when the last is.
//
// A turn is a key with a TTL that its holder keeps alive. It is manners, not safety: who may not
// write it goes without, and who lost it reads on to the end. One thread; never waits.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "registry/pipeline.h"
#include "registry/schema.h"

namespace leafgate::registry {

class Lease {
 public:
  enum class Purpose : std::uint8_t {
    kRebuild,  // nothing is certain: as fast as Redis can
    kAudit,    // everything should be equal: slowly
  };

  struct Limits {
    std::uint64_t free_keys;        // whoever has no more to read needs no turn
    std::chrono::seconds patience;  // so long a rebuild waits, then it goes without
  };

  // `instance`: as in the pulse's key. `log` outlives this object.
  Lease(const Schema& schema, std::string instance, Limits limits, log::Queue& log);

  bool needed(std::uint64_t keys) const noexcept { return keys > limits_.free_keys; }
  bool held(Purpose purpose) const noexcept;

  struct Wish {
    Purpose purpose;
    bool urgent;  // asks more often
    SteadyTime since;
  };
  // Asks for a turn, or keeps the one held alive, when that is due; one held for another purpose is
  // given back. Call it each 100 ms at least while a turn is wanted or used.
  Result<void> ask(const Wish& wish, Pipeline& pipeline, SteadyTime now);
  // The answer to a request of kind kLease.
  Result<void> apply(const Reply& reply, Pipeline& pipeline, SteadyTime now);
  Result<void> give_back(Pipeline& pipeline);
  // The link is gone. The turn is ours until its TTL ends: whoever is back by then has it still.
  void disconnect() noexcept;

  // Every key that a turn can have.
  const std::vector<std::string>& keys() const noexcept { return keys_; }

 private:
  enum class State : std::uint8_t {
    kNone,
    kAsked,
    kHeld,
    kWithout,  // Redis does not let us have turns, or it took too long: nobody is asked
  };

  Result<void> ask_for_slot(Pipeline& pipeline);
  Result<void> keep_for(std::string_view milliseconds, Pipeline& pipeline);
  bool out_of_patience(const Wish& wish, SteadyTime now) const;
  void go_without(const std::string& why);
  SteadyTime later(SteadyTime now);

  const std::vector<std::string> keys_;
  const std::string instance_;
  const Limits limits_;
  log::Queue& log_;
  std::minstd_rand random_;

  State state_ = State::kNone;
  Purpose purpose_ = Purpose::kRebuild;  // of what was asked for last
  bool urgent_ = false;
  std::size_t slot_ = 0;   // of keys_: the one asked for or held last
  std::size_t asked_ = 0;  // so many slots have been asked for in a row
  SteadyTime next_{};      // when to ask again, or to keep alive
  std::string logged_refusal_;
};

}  // namespace leafgate::registry
