// SPDX-License-Identifier: Apache-2.0
// What to believe of what Redis says, by what is known of the data set it belongs to. Pure: no
// clock, no socket, no log. One thread.
//
// Two doubts, and what each one keeps:
// - HOLD: meta's `id` is not the one remembered, so this may be another data set, or none: a Redis
//   that restarted empty, a flush, a backup being restored, the wrong server. What is there counts,
//   a denial always; absence does not, and neither does what admits where we hold a refusal,
//   whoever wrote it. It ends when the id comes back, and all that was written before it has been
//   applied, or when meta's `replaces` names ours.
// - Lost writes: the same id, but `seq` or the replication offset is behind what was seen, or
//   `restored` says that a backup was put back. In the reconcile of that moment deny wins: where we
//   hold a refusal and Redis something that admits, ours stays. Such a key is a regression until
//   somebody writes it or confirms.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "registry/remembered.h"

namespace leafgate::registry {

// The data set's facts, as read from the hash `meta`.
struct Meta {
  std::string id;  // empty: none
  std::uint64_t seq = 0;
  std::string confirmed;  // any text; what counts is that it changes
  std::string replaces;   // the id whose loss is accepted
  std::string restored;   // any text; when it changes, the data are those of a backup
};

// How far a server's history goes, from INFO replication.
struct Replication {
  std::string id;  // empty: not said
  std::int64_t offset = 0;
  std::string former_id;            // the history this one continues
  std::int64_t former_offset = -1;  // from here on it is another
};

class Fence {
 public:
  static constexpr std::size_t kRegressionsMax = 10'000;

  Fence(Remembered remembered, bool hold_on_data_loss);

  // What was read of the data set. True when all records have to be read again.
  bool take(const Meta& meta);
  bool take(const Replication& replication);
  // In a HOLD: which return of our id this is; 0: it is not there.
  std::uint64_t returning() const noexcept { return returned_ ? returns_ : 0; }
  // All that was written before that return has been applied: the HOLD is over. True: as above.
  bool returned(std::uint64_t number);
  // The link is gone: the next may lead to another server.
  void disconnect() noexcept { new_link_ = true; }
  // A full reconcile has come to its end.
  void reconciled();

  enum class Absence : std::uint8_t {
    kBelieved,  // it refuses at once
    kUnproven,  // it refuses when meta, read after it, is still ours
    kHeld,      // what is held stays
  };
  Absence absence() const noexcept;

  const std::string& id() const noexcept { return id_; }  // remembered
  bool holding() const noexcept { return holding_; }
  const std::string& found_id() const noexcept { return found_id_; }  // while holding

  // Whether deny wins in what a reconcile reads now.
  bool distrusts() const noexcept { return holding_ || lost_; }

  // Keys are those of Remembered, without the prefix.
  struct Regression {
    std::string key;
    std::string held;
    std::string registry;
  };
  // More than kRegressionsMax cannot be remembered one by one: then the next reconcile is in doubt
  // as well, and finds them again.
  void regress(Regression regression);
  // Somebody wrote this key, whatever it says now.
  void written(const std::string& key);
  bool regressed(const std::string& key) const { return regressions_.contains(key); }
  std::size_t regressions() const noexcept { return regressions_.size(); }
  // Those since the last call.
  std::vector<Regression> take_new() { return std::exchange(new_, {}); }

  Remembered remembered() const;
  // Grows with each change of remembered() or holding().
  std::uint64_t version() const noexcept { return version_; }

 private:
  bool take_same(const Meta& meta);
  bool take_other(const Meta& meta);
  bool adopt(const Meta& meta);
  bool end_regressions();

  const bool hold_on_data_loss_;
  std::string id_;         // empty: none known
  std::uint64_t seq_ = 0;  // the highest seen, or where a loss was accepted
  std::uint64_t seq_read_ = 0;
  std::optional<std::string> confirmed_;  // as last read
  std::string restored_;                  // as last read
  std::optional<Replication> replication_;
  bool new_link_ = true;

  bool holding_ = false;
  std::string found_id_;
  std::optional<Meta> returned_;  // while holding: ours, as last read
  std::uint64_t returns_ = 0;
  bool lost_;                  // until a reconcile has been through
  bool unremembered_ = false;  // a regression was, since the last reconcile
  std::set<std::string> regressions_;
  std::set<std::string> of_hold_;  // those of them that a HOLD brought, and that go with it
  std::vector<Regression> new_;
  std::uint64_t version_ = 0;
};

}  // namespace leafgate::registry
