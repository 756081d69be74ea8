// SPDX-License-Identifier: Apache-2.0
#include "registry/fence.h"

#include <algorithm>
#include <utility>

namespace leafgate::registry {
namespace {

// Whether `now` lacks writes that a server at `seen` had made.
bool lacks(const Replication& now, const Replication& seen) {
  if (now.id == seen.id) return now.offset < seen.offset;
  return now.former_id == seen.id && now.former_offset >= 0 && now.former_offset <= seen.offset;
}

}  // namespace

Fence::Fence(Remembered remembered, bool hold_on_data_loss)
    : hold_on_data_loss_(hold_on_data_loss),
      id_(std::move(remembered.data_set)),
      seq_(remembered.seq),
      restored_(std::move(remembered.restored)),
      lost_(remembered.lost),
      regressions_(remembered.regressions.begin(), remembered.regressions.end()) {
  if (!id_.empty()) confirmed_ = std::move(remembered.confirmed);
}

bool Fence::take(const Meta& meta) {
  if (meta.id == id_ && holding_) {
    if (!returned_) ++returns_;
    returned_ = meta;
    return false;
  }
  returned_.reset();
  if (meta.id == id_) return take_same(meta);
  const bool accepted = !meta.id.empty() && meta.replaces == id_;
  if (hold_on_data_loss_ && !id_.empty() && !accepted) return take_other(meta);
  return adopt(meta);
}

bool Fence::returned(std::uint64_t number) {
  if (number == 0 || number != returning()) return false;
  holding_ = false;
  found_id_.clear();
  for (const std::string& key : of_hold_)
    regressions_.erase(key);
  of_hold_.clear();
  unremembered_ = false;
  take_same(*std::exchange(returned_, std::nullopt));
  ++version_;
  return true;
}

bool Fence::take_same(const Meta& meta) {
  // Without an id a flush is nothing unusual, and takes `seq` with it.
  const bool lower = !id_.empty() && meta.seq < seq_;
  const bool restored = !id_.empty() && meta.restored != restored_;
  // A loss may take a confirmation back as well: that is none.
  const bool differs = confirmed_ != meta.confirmed;
  const bool confirmed = confirmed_ && differs && !meta.confirmed.empty() && (lost_ || !lower);
  confirmed_ = meta.confirmed;
  restored_ = meta.restored;
  seq_read_ = meta.seq;
  bool again = confirmed && end_regressions();
  if ((lower || restored) && !lost_ && !confirmed) lost_ = again = true;
  const std::uint64_t seq = lost_ ? seq_ : meta.seq;
  if (again || differs || restored || seq != seq_) ++version_;
  seq_ = seq;
  return again;
}

bool Fence::take_other(const Meta& meta) {
  if (holding_ && found_id_ == meta.id) return false;
  holding_ = true;
  found_id_ = meta.id;
  ++version_;
  return true;
}

bool Fence::adopt(const Meta& meta) {
  const bool confirmed = confirmed_ && *confirmed_ != meta.confirmed;
  // Another data set was accepted for ours; a first id says nothing about what was before it.
  if (!id_.empty() || confirmed) end_regressions();
  holding_ = false;
  found_id_.clear();
  if (!id_.empty()) replication_.reset();
  id_ = meta.id;
  seq_ = seq_read_ = meta.seq;
  confirmed_ = meta.confirmed;
  restored_ = meta.restored;
  ++version_;
  return true;
}

bool Fence::take(const Replication& replication) {
  if (holding_ || replication.id.empty()) return false;
  const bool compare = std::exchange(new_link_, false) && replication_;
  const bool lost = compare && !lost_ && lacks(replication, *replication_);
  replication_ = replication;
  if (!lost) return false;
  lost_ = true;
  ++version_;
  return true;
}

void Fence::reconciled() {
  if (holding_ || !lost_) return;
  lost_ = std::exchange(unremembered_, false);
  if (lost_) return;
  seq_ = seq_read_;
  ++version_;
}

Fence::Absence Fence::absence() const noexcept {
  if (holding_) return Absence::kHeld;
  return id_.empty() || !hold_on_data_loss_ ? Absence::kBelieved : Absence::kUnproven;
}

void Fence::regress(Regression regression) {
  if (regressions_.size() >= kRegressionsMax) {
    unremembered_ = true;
    return;
  }
  regressions_.insert(regression.key);
  if (holding_) of_hold_.insert(regression.key);
  ++version_;
  new_.push_back(std::move(regression));
}

void Fence::written(const std::string& key) {
  if (regressions_.empty() || regressions_.erase(key) == 0) return;
  of_hold_.erase(key);
  ++version_;
}

// True when there was anything to end: a loss, or what one brought.
bool Fence::end_regressions() {
  const bool any = lost_ || !regressions_.empty();
  lost_ = unremembered_ = false;
  regressions_.clear();
  of_hold_.clear();
  return any;
}

Remembered Fence::remembered() const {
  return {id_,   seq_,     {regressions_.begin(), regressions_.end()}, confirmed_.value_or(""),
          lost_, restored_};
}

}  // namespace leafgate::registry
