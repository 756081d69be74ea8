// SPDX-License-Identifier: Apache-2.0
// Tells a copied key from a roaming device: one certificate whose connections keep taking over each
// other's client id from alternating addresses is in two places at once.
#pragma once

#include <chrono>
#include <string>
#include <unordered_map>

#include "plugin/fingerprint_hash.h"
#include "policy/vocabulary.h"

namespace leafgate::plugin {

// Any one thread. Bounded: past its limit it forgets everything and starts again.
class Takeovers {
 public:
  // A connection from `to` took over one from `from`, a different address, at `now` (time since
  // some fixed moment). True when this was the third return within ten minutes to the address
  // before.
  bool note(const policy::Fingerprint& fingerprint, const std::string& from, const std::string& to,
            std::chrono::milliseconds now);

 private:
  struct Trail {
    std::string before;  // the address before the one that is connected now
    int returns = 0;
    std::chrono::milliseconds since{};
  };

  std::unordered_map<policy::Fingerprint, Trail, FingerprintHash> trails_;
};

}  // namespace leafgate::plugin
