// SPDX-License-Identifier: Apache-2.0
// decide() is the product. Everything else in this repository exists to give it its arguments or to
// carry out its answer.
//
// Pure: no clock, no I/O, no global state. Any thread. Never throws; never allows by default.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

#include "policy/rules.h"
#include "policy/topics.h"
#include "policy/vocabulary.h"

namespace leafgate::policy {

// Why. The names (to_string) appear in logs, metrics, events and docs/decision.md; the order is the
// order of the checks. Both are part of the contract.
enum class Reason : std::uint8_t {
  kNoCertificate,
  kCertificateUnreadable,
  kCertificateNotYetValid,
  kCertificateExpired,
  kWeakKey,
  kWrongUsage,
  kIdentityMissing,
  kRegistryStale,
  kIssuerBlocked,
  kDeviceBlocked,
  kUnknownCertificate,
  kPending,
  kInactive,
  kRetired,
  kRevoked,
  kClientIdMismatch,
  kCertificateInUse,
  kTopicNotAllowed,
  kInternalError,
  kGranted,
};

inline constexpr int kReasonCount = static_cast<int>(Reason::kGranted) + 1;

// `no_certificate` … `granted`.
std::string_view to_string(Reason reason);
std::optional<Reason> parse_reason(std::string_view text);

struct [[nodiscard]] Decision {
  bool allow = false;
  Reason reason = Reason::kInternalError;
  int rule = -1;  // index into the topic rules; -1 when no topic rule took part
};

// May the holder of this certificate connect, or do `session.topic`?
//
// `facts`: nullptr when the client presented no certificate. Checks run in the order of Reason; the
// first that refuses wins. `topics` are the rules bound to this session; used only when
// `session.topic` is set and the rules list topics (TopicMode::kList); nullptr then refuses.
// A record in state kMalformed is no usable record: unknown_certificate. kRetiring at or after its
// retire_at is retired; a record at or after gone_at is unknown.
Decision decide(const CertFacts* facts, const RegistryView& view, const Session& session,
                const Rules& rules, Time now, const BoundTopics* topics = nullptr) noexcept;

// The first moment after `now` at which decide() could turn a yes into a no by the clock alone:
// the end of validity, retire_at, gone_at. kNever when there is none. For timers.
Time next_deadline(const CertFacts& facts, const RegistryView& view) noexcept;

}  // namespace leafgate::policy
