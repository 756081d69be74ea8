// SPDX-License-Identifier: Apache-2.0
// What Mirror makes of the records it has read: the part that changes the replica, and that asks
// the Fence before it lets a refusal go.
#include <algorithm>
#include <string>
#include <utility>

#include "registry/mirror.h"

namespace leafgate::registry {
namespace {

using policy::CertState;
using policy::Time;

Time wall_clock() {
  return std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

bool admits(const policy::CertRecord& record) {
  return record.state == CertState::kActive || record.state == CertState::kRetiring;
}

// Whether `now` lets certificates through that `held` blocks.
bool relaxes(const std::optional<policy::Block>& now, const policy::Block& held) {
  if (!now || !now->before) return !now;
  return !held.before || *now->before < *held.before;
}

std::string text_of(const std::optional<policy::Block>& block) {
  if (!block) return "none";
  if (!block->before) return "all";
  const auto seconds =
      std::chrono::duration_cast<std::chrono::seconds>(block->before->time_since_epoch());
  return "before " + std::to_string(seconds.count());
}

}  // namespace

Generation Mirror::stamp(const Request& request) const noexcept {
  return request.epoch == epoch_ ? generation_ : kUnstamped;
}

bool Mirror::by_audit(const Request& request) const noexcept {
  return request.named == 0 && request.epoch == epoch_ && scan_ &&
         scan_->purpose == Purpose::kAudit;
}

std::string Mirror::tail(const std::string& key) const {
  return key.substr(schema_.prefix().size());
}

void Mirror::store_cert(const Request& request, const std::optional<policy::CertRecord>& record,
                        bool ttl_known, Pipeline& pipeline) {
  if (!record) return absent(request);
  absences_.cancel(request.key);
  if (keep_refusal(request, *record)) return;
  const bool audit = by_audit(request);
  const std::optional<policy::CertRecord> held =
      audit ? replica_.find(request.fingerprint) : std::nullopt;
  if (!put_cert(request, *record, ttl_known)) return;

  changes_.certificate(request.fingerprint);
  const bool malformed = record->state == CertState::kMalformed;
  if (malformed) unusable("its state is not one of ours", schema_.cert(request.fingerprint));
  const bool ended = held && held->gone_at <= wall_clock();
  if (audit && !ended) suspect(schema_.cert(request.fingerprint), pipeline);
}

bool Mirror::put_cert(const Request& request, const policy::CertRecord& record, bool ttl_known) {
  if (ttl_known) return replica_.put(request.fingerprint, record, stamp(request));
  const Replica::Stored stored =
      replica_.put_without_ttl(request.fingerprint, record, stamp(request));
  if (scan_ && stored.kept_end) scan_->kept_end = true;
  return stored.changed;
}

void Mirror::store_block(const Request& request, const std::optional<policy::Block>& block,
                         Time gone_at, Pipeline& pipeline) {
  if (!block) return absent(request);
  absences_.cancel(request.key);
  block_ends_.watch(request.key, gone_at, wall_clock());
  const KeyName name = parse_key(schema_, request.key);
  if (keep_block(request, name, *block)) return;
  if (put_block(name, *block, stamp(request)) && by_audit(request)) suspect(request.key, pipeline);
}

bool Mirror::put_block(const KeyName& name, const policy::Block& block, Generation generation) {
  if (name.kind == KeyName::Kind::kDeviceBlock) {
    const bool changed = replica_.put_device_block(name.id, block, generation);
    if (changed) changes_.device(name.id);
    return changed;
  }
  const bool changed = replica_.put_issuer_block(name.id, block, generation);
  if (changed) changes_.issuer(name.id);
  return changed;
}

// ---- deny wins

// Somebody wrote this after the loss. In a HOLD it may be the loss that writes: a backup that is
// being restored knows less than we do.
bool Mirror::is_news(const Request& request) const noexcept {
  return request.named != 0 && !fence_.holding();
}

// In a reconcile that is in doubt a held refusal outlives a record that admits, and goes on doing
// so in later ones.
bool Mirror::keep_refusal(const Request& request, const policy::CertRecord& record) {
  if (!fence_.distrusts() && fence_.regressions() == 0) return false;
  const std::string key = tail(schema_.cert(request.fingerprint));
  if (is_news(request)) {
    fence_.written(key);
    return false;
  }
  if (!admits(record)) return false;
  const std::optional<policy::CertRecord> held = replica_.find(request.fingerprint);
  if (held && admits(*held)) return false;
  if (!fence_.regressed(key)) {
    const bool refuses = held && held->gone_at > wall_clock();
    if (!fence_.distrusts() || !refuses) return false;
    fence_.regress({key, std::string(policy::to_string(held->state)),
                    std::string(policy::to_string(record.state))});
  }
  if (held) replica_.put(request.fingerprint, *held, stamp(request));
  return true;
}

// The same for a block and one that covers less.
bool Mirror::keep_block(const Request& request, const KeyName& name,
                        const std::optional<policy::Block>& block) {
  if (!fence_.distrusts() && fence_.regressions() == 0) return false;
  const std::string key = tail(request.key);
  if (is_news(request)) {
    fence_.written(key);
    return false;
  }
  const std::optional<policy::Block> held = find_block(name);
  if (!held || !relaxes(block, *held)) return false;
  if (!fence_.regressed(key)) {
    if (!fence_.distrusts()) return false;
    fence_.regress({key, text_of(held), text_of(block)});
  }
  put_block(name, *held, stamp(request));
  return true;
}

std::optional<policy::Block> Mirror::find_block(const KeyName& name) const {
  return name.kind == KeyName::Kind::kDeviceBlock ? replica_.device_block(name.id)
                                                  : replica_.issuer_block(name.id);
}

// ---- absence

// What a scan does not find there it does not stamp: the sweep decides.
void Mirror::absent(const Request& request) {
  if (request.named == 0) return;
  if (is_news(request)) fence_.written(tail(request.key));
  switch (fence_.absence()) {
    case Fence::Absence::kBelieved:
      return erase(request.key);
    case Fence::Absence::kHeld:
      return;
    case Fence::Absence::kUnproven:
      if (holds(parse_key(schema_, request.key))) absences_.add(request.key, request.named);
  }
}

bool Mirror::holds(const KeyName& name) const {
  if (name.kind == KeyName::Kind::kCert) return replica_.find(name.fingerprint).has_value();
  return find_block(name).has_value();
}

// Whatever was read as absent before meta was, and is not there in our own data set, is gone.
void Mirror::meta_read() {
  const std::vector<std::string> keys = absences_.take();
  if (fence_.absence() == Fence::Absence::kHeld) return;
  for (const std::string& key : keys)
    erase(key);
}

void Mirror::erase(const std::string& key) {
  const KeyName name = parse_key(schema_, key);
  if (name.kind == KeyName::Kind::kCert) {
    if (replica_.erase(name.fingerprint)) changes_.certificate(name.fingerprint);
    return;
  }
  block_ends_.watch(key, policy::kNever, wall_clock());
  if (name.kind == KeyName::Kind::kDeviceBlock) {
    if (replica_.erase_device_block(name.id)) changes_.device(name.id);
  } else if (replica_.erase_issuer_block(name.id)) {
    changes_.issuer(name.id);
  }
}

std::uint64_t Mirror::applied() const noexcept {
  const std::optional<std::uint64_t> waiting = absences_.first();
  return waiting ? std::min(applied_, *waiting - 1) : applied_;
}

// REQUIRES: meta was read after the last page.
void Mirror::sweep(const Pipeline& pipeline) {
  if (fence_.absence() == Fence::Absence::kHeld) {
    absent_held_ = replica_.unstamped(generation_);
    return;
  }
  absent_held_ = 0;
  keep_blocks();
  const bool audit = scan_->purpose == Purpose::kAudit;
  const Time now = wall_clock();
  const auto gone = [&](const std::string& key) {
    block_ends_.watch(key, policy::kNever, now);
    if (audit) suspect(key, pipeline);
  };
  Replica::Swept swept;
  swept.certificate = [&](const policy::Fingerprint& fingerprint,
                          const policy::CertRecord& record) {
    changes_.certificate(fingerprint);
    // One that has ended may be gone without a message yet.
    if (audit && record.gone_at > now) suspect(schema_.cert(fingerprint), pipeline);
  };
  swept.device_block = [&](const std::string& id) {
    changes_.device(id);
    gone(schema_.block_device(id));
  };
  swept.issuer_block = [&](const std::string& id) {
    changes_.issuer(id);
    gone(schema_.block_issuer(id));
  };
  replica_.sweep(generation_, swept);
}

// Blocks that are absent in a reconcile in doubt, or were in an earlier one.
void Mirror::keep_blocks() {
  if (!fence_.distrusts() && fence_.regressions() == 0) return;
  replica_.stamp_blocks(generation_, [this](std::string_view kind, const std::string& id) {
    const std::string key = kind == "device" ? schema_.block_device(id) : schema_.block_issuer(id);
    if (fence_.regressed(tail(key))) return true;
    if (!fence_.distrusts()) return false;
    fence_.regress({tail(key), "blocked", "none"});
    return true;
  });
}

void Mirror::name_ended_blocks() {
  if (block_ends_.empty()) return;
  for (const std::string& key : block_ends_.take_due(wall_clock()))
    named_.add(key);
}

}  // namespace leafgate::registry
