// SPDX-License-Identifier: Apache-2.0
// What the gate tells people and services: log lines, the registry's `events`, counters.
//
// Every line and event about a refusal is counted per certificate and reason (per address when
// there is no certificate): the first is told at once, further ones at most every kRepeatAfter with
// their number, so that a device that tries in a loop can flood neither. All tables are bounded,
// and so is the text in them. The broker's thread only; log lines go to the broker at once, so
// callers hold no reference that ACL_CHECK could invalidate (log_dest topic).
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>

#include "certs/describe.h"
#include "plugin/fingerprint_hash.h"
#include "plugin/sessions.h"
#include "policy/decision.h"
#include "registry/outbox.h"

namespace leafgate::plugin {

inline constexpr std::chrono::seconds kRepeatAfter{10};

// Whom a notice is about. Text is untrusted but for `device`; empty: unknown.
struct Subject {
  std::optional<policy::Fingerprint> fingerprint;
  std::string device;
  std::string client_id;
  std::string address;
};

Subject subject_of(const Session& session);

// Of this process. Never go down.
struct Counters {
  std::uint64_t admitted = 0;
  std::uint64_t ended = 0;
  std::uint64_t would_refuse = 0;
  std::uint64_t clones = 0;
  // Refused connections and topic actions.
  std::array<std::uint64_t, policy::kReasonCount> refused{};
};

class Notices {
 public:
  // Time since some fixed moment; never goes back.
  using Uptime = std::function<std::chrono::milliseconds()>;

  Notices(registry::Outbox& outbox, Uptime uptime) : outbox_(outbox), uptime_(std::move(uptime)) {}

  // What was refused: `connect`, or a topic action and its topic.
  struct Refused {
    policy::Reason reason = policy::Reason::kInternalError;
    std::string_view action = "connect";
    std::string_view topic = {};
    bool only_reported = false;  // `mode: report` let it pass
  };
  // True when it was told now, false when it was only counted.
  bool refused(const Subject& subject, const Refused& what);

  void admitted(const Session& session);
  void ended(const Subject& subject, policy::Reason reason);
  // A certificate the registry does not know, for `cert import --from-events`.
  void unknown(const certs::Description& facts, std::string_view device);
  // `how`: `takeovers` (from alternating addresses) or `second_client_id`.
  void clone(const Subject& subject, std::string_view how);

  // The record of this certificate changed: its next connection counts as first seen.
  void forget(const policy::Fingerprint& fingerprint) { seen_.erase(fingerprint); }

  // Tells what was only counted, once its time has come; of thousands a hundred. Call five times a
  // second.
  void flush();

  const Counters& counters() const { return counters_; }

 private:
  struct Told {
    Subject subject;
    policy::Reason reason = policy::Reason::kInternalError;
    std::string action;
    std::string topic;
    bool only_reported = false;
    std::uint64_t withheld = 0;
    std::chrono::milliseconds until{};
  };

  void tell(const Told& told, std::uint64_t count);
  bool first_time(const policy::Fingerprint& fingerprint);

  registry::Outbox& outbox_;
  const Uptime uptime_;
  Counters counters_;
  std::unordered_map<std::string, Told> told_;  // by subject, reason and mode
  std::uint64_t not_listed_ = 0;                // refusals for which told_ had no room
  std::unordered_map<std::string, std::chrono::milliseconds> clones_;  // told until
  std::unordered_set<policy::Fingerprint, FingerprintHash> seen_;
};

}  // namespace leafgate::plugin
