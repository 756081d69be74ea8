// SPDX-License-Identifier: Apache-2.0
#include "policy/decision.h"

#include <algorithm>
#include <chrono>

namespace leafgate::policy {
namespace {

using std::chrono::seconds;

constexpr std::array<std::string_view, kReasonCount> kReasonNames = {
    "no_certificate",
    "certificate_unreadable",
    "certificate_not_yet_valid",
    "certificate_expired",
    "weak_key",
    "wrong_usage",
    "identity_missing",
    "registry_stale",
    "issuer_blocked",
    "device_blocked",
    "unknown_certificate",
    "pending",
    "inactive",
    "retired",
    "revoked",
    "client_id_mismatch",
    "certificate_in_use",
    "topic_not_allowed",
    "internal_error",
    "granted",
};

Decision refuse(Reason reason) {
  return {.allow = false, .reason = reason, .rule = -1};
}

bool is_weak(const CertFacts& facts, const Rules& rules) {
  if (facts.weak_signature || facts.key == KeyKind::kOther) return true;
  return facts.key == KeyKind::kRsa && facts.key_bits < rules.spec().min_rsa_bits;
}

bool refuses(const std::optional<Block>& block, const CertFacts& facts) {
  return block && (!block->before || facts.not_before < *block->before);
}

bool is_known(const std::optional<CertRecord>& record, Time now) {
  return record && record->state != CertState::kMalformed && now < record->gone_at;
}

// kGranted for a record that admits at `now`.
Reason judge(const CertRecord& record, Time now) {
  switch (record.state) {
    case CertState::kPending:
      return Reason::kPending;
    case CertState::kActive:
      return Reason::kGranted;
    case CertState::kInactive:
      return Reason::kInactive;
    case CertState::kRetiring:
      return now < record.retire_at ? Reason::kGranted : Reason::kRetired;
    case CertState::kRetired:
      return Reason::kRetired;
    case CertState::kRevoked:
      return Reason::kRevoked;
    case CertState::kMalformed:
      return Reason::kUnknownCertificate;
  }
  return Reason::kInternalError;  // a value that is none of ours never admits
}

bool client_id_fits(const Session& session, ClientIdRule rule) {
  if (session.client_id_of_other_device) return false;
  const auto id = session.client_id;
  const auto device = session.device;
  switch (rule) {
    case ClientIdRule::kMustEqualDevice:
      return id == device;
    case ClientIdRule::kDeviceOrSuffix:
      return id == device ||
             (id.size() > device.size() + 1 && id.starts_with(device) && id[device.size()] == '/');
    case ClientIdRule::kAny:
      return true;
  }
  return false;
}

Decision judge_topic(const TopicRequest& request, const Rules& rules, const BoundTopics* topics) {
  constexpr Decision kYes{.allow = true, .reason = Reason::kGranted, .rule = -1};
  switch (rules.spec().topics) {
    case TopicMode::kAny:
    case TopicMode::kDefer:  // ours is a yes; the next plugin or acl_file decides
      return kYes;
    case TopicMode::kList: {
      const auto rule = topics == nullptr ? std::nullopt : topics->allowing_rule(request);
      if (!rule) return refuse(Reason::kTopicNotAllowed);
      return {.allow = true, .reason = Reason::kGranted, .rule = *rule};
    }
  }
  return refuse(Reason::kInternalError);
}

}  // namespace

std::string_view to_string(Reason reason) {
  const auto index = static_cast<std::size_t>(reason);
  return index < kReasonNames.size() ? kReasonNames[index] : "internal_error";
}

std::optional<Reason> parse_reason(std::string_view text) {
  const auto* found = std::find(kReasonNames.begin(), kReasonNames.end(), text);
  if (found == kReasonNames.end()) return std::nullopt;
  return static_cast<Reason>(found - kReasonNames.begin());
}

Decision decide(const CertFacts* facts, const RegistryView& view, const Session& session,
                const Rules& rules, Time now, const BoundTopics* topics) noexcept {
  if (facts == nullptr) return refuse(Reason::kNoCertificate);
  if (!facts->readable) return refuse(Reason::kCertificateUnreadable);
  if (now < facts->not_before) return refuse(Reason::kCertificateNotYetValid);
  if (std::chrono::floor<seconds>(now) > facts->not_after)
    return refuse(Reason::kCertificateExpired);
  if (is_weak(*facts, rules)) return refuse(Reason::kWeakKey);
  if (!facts->client_auth) return refuse(Reason::kWrongUsage);
  if (session.device.empty()) return refuse(Reason::kIdentityMissing);
  if (view.stale) return refuse(Reason::kRegistryStale);
  if (refuses(view.issuer_block, *facts)) return refuse(Reason::kIssuerBlocked);
  if (refuses(view.device_block, *facts)) return refuse(Reason::kDeviceBlocked);
  if (!is_known(view.record, now)) return refuse(Reason::kUnknownCertificate);
  const Reason state = judge(*view.record, now);
  if (state != Reason::kGranted) return refuse(state);
  if (!client_id_fits(session, rules.spec().client_id)) return refuse(Reason::kClientIdMismatch);
  if (session.certificate_live_elsewhere &&
      rules.spec().certificate_in_use == CertificateInUse::kRefuse) {
    return refuse(Reason::kCertificateInUse);
  }
  if (session.topic) return judge_topic(*session.topic, rules, topics);
  return {.allow = true, .reason = Reason::kGranted, .rule = -1};
}

Time next_deadline(const CertFacts& facts, const RegistryView& view) noexcept {
  Time deadline = facts.not_after < kNever - seconds(1) ? facts.not_after + seconds(1) : kNever;
  if (!view.record) return deadline;
  deadline = std::min(deadline, view.record->gone_at);
  if (view.record->state == CertState::kRetiring) {
    deadline = std::min(deadline, view.record->retire_at);
  }
  return deadline;
}

}  // namespace leafgate::policy
