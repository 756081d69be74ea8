// SPDX-License-Identifier: Apache-2.0
// For tables of fingerprints of certificates that were admitted: nobody chooses those freely.
#pragma once

#include <cstring>

#include "policy/vocabulary.h"

namespace leafgate::plugin {

struct FingerprintHash {
  using is_transparent = void;
  std::size_t operator()(const policy::Fingerprint& fingerprint) const noexcept {
    std::size_t head = 0;  // a fingerprint is a hash already
    std::memcpy(&head, fingerprint.bytes.data(), sizeof head);
    return head;
  }
};

}  // namespace leafgate::plugin
