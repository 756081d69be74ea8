// SPDX-License-Identifier: Apache-2.0
// What changed in the replica, on its way from the sync thread to the broker's thread, which judges
// the sessions concerned again.
//
// All functions may be called from any thread. Bounded: past kChangesMax everything is judged
// again.
#pragma once

#include <atomic>
#include <cstddef>
#include <mutex>
#include <string>
#include <vector>

#include "policy/vocabulary.h"

namespace leafgate::registry {

inline constexpr std::size_t kChangesMax = 65536;

struct ChangeBatch {
  bool all = false;  // judge every session again; the lists are empty then
  std::vector<policy::Fingerprint> certificates;
  std::vector<std::string> devices;
  std::vector<std::string> issuers;
};

class Changes {
 public:
  void certificate(const policy::Fingerprint& fingerprint);
  void device(std::string id);
  void issuer(std::string id);
  void everything();

  // True from the first change until take(): while it is, the sync thread keeps waking the broker.
  bool waiting() const noexcept { return waiting_.load(std::memory_order_acquire); }

  // Everything since the last take(). Cheap when nothing waits.
  ChangeBatch take();

 private:
  bool has_room();  // REQUIRES: mutex_ held

  std::atomic<bool> waiting_{false};
  std::mutex mutex_;
  ChangeBatch batch_;  // guarded by mutex_
};

}  // namespace leafgate::registry
