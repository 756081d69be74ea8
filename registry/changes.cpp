// SPDX-License-Identifier: Apache-2.0
#include "registry/changes.h"

#include <utility>

namespace leafgate::registry {

bool Changes::has_room() {
  waiting_.store(true, std::memory_order_release);
  if (batch_.all) return false;
  if (batch_.certificates.size() + batch_.devices.size() + batch_.issuers.size() < kChangesMax) {
    return true;
  }
  batch_ = ChangeBatch();
  batch_.all = true;
  return false;
}

void Changes::certificate(const policy::Fingerprint& fingerprint) {
  const std::lock_guard lock(mutex_);
  if (has_room()) batch_.certificates.push_back(fingerprint);
}

void Changes::device(std::string id) {
  const std::lock_guard lock(mutex_);
  if (has_room()) batch_.devices.push_back(std::move(id));
}

void Changes::issuer(std::string id) {
  const std::lock_guard lock(mutex_);
  if (has_room()) batch_.issuers.push_back(std::move(id));
}

void Changes::everything() {
  const std::lock_guard lock(mutex_);
  batch_ = ChangeBatch();
  batch_.all = true;
  waiting_.store(true, std::memory_order_release);
}

ChangeBatch Changes::take() {
  if (!waiting()) return {};
  const std::lock_guard lock(mutex_);
  waiting_.store(false, std::memory_order_release);
  return std::exchange(batch_, ChangeBatch());
}

}  // namespace leafgate::registry
