// SPDX-License-Identifier: Apache-2.0
#include "plugin/takeovers.h"

namespace leafgate::plugin {
namespace {

constexpr std::size_t kTrailsMax = 4096;
constexpr int kReturnsOfAClone = 3;
constexpr std::chrono::milliseconds kWindow = std::chrono::minutes(10);

}  // namespace

bool Takeovers::note(const policy::Fingerprint& fingerprint, const std::string& from,
                     const std::string& to, std::chrono::milliseconds now) {
  if (trails_.size() >= kTrailsMax && !trails_.contains(fingerprint)) trails_.clear();
  Trail& trail = trails_[fingerprint];
  const bool is_return = trail.before == to && now - trail.since <= kWindow;
  if (!is_return) trail = Trail{{}, 0, now};
  trail.before = from;
  if (!is_return || ++trail.returns < kReturnsOfAClone) return false;

  trail.returns = 0;
  trail.since = now;
  return true;
}

}  // namespace leafgate::plugin
