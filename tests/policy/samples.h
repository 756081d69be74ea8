// SPDX-License-Identifier: Apache-2.0
// A certificate, a view and rules that admit, for tests that break one thing at a time.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "policy/decision.h"

namespace leafgate::policy {

using namespace std::chrono_literals;

constexpr Time at(std::chrono::milliseconds since_epoch) {
  return Time(since_epoch);
}

// Valid from second 1000 to the end of second 2000.
inline CertFacts good_certificate() {
  CertFacts facts;
  facts.readable = true;
  facts.not_before = at(1000s);
  facts.not_after = at(2000s);
  facts.key = KeyKind::kP256;
  facts.key_bits = 256;
  facts.client_auth = true;
  facts.common_names = {"dev1"};
  facts.issuer_key_id = "0a";
  return facts;
}

inline RegistryView view_of(CertState state) {
  RegistryView view;
  view.record = CertRecord{.state = state, .retire_at = kNever, .gone_at = kNever};
  return view;
}

inline Session good_session() {
  Session session;
  session.device = "dev1";
  session.client_id = "dev1";
  return session;
}

// REQUIRES: the spec is valid.
inline Rules rules(RulesSpec spec = {}) {
  return Rules::make(std::move(spec)).value();
}

}  // namespace leafgate::policy
