// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/oracle.h"

#include <algorithm>
#include <sstream>

namespace leafgate::test {

Oracle::Oracle(std::size_t devices, std::chrono::milliseconds bound)
    : bound_(bound), changes_(devices, {{false, Time::min(), Time::min()}}) {}

void Oracle::change_begins(std::size_t device, bool admits, Time at) {
  const std::lock_guard lock(mutex_);
  const Change& last = changes_[device].back();
  if (last.admits == admits && last.end != Time::max()) return;
  changes_[device].push_back({admits, at, Time::max()});
}

void Oracle::change_ended(std::size_t device, Time at) {
  const std::lock_guard lock(mutex_);
  Change& last = changes_[device].back();
  if (last.end == Time::max()) last.end = at;
}

void Oracle::trouble_begins(Time at) {
  const std::lock_guard lock(mutex_);
  troubles_.push_back({at, Time::max()});
}

void Oracle::trouble_ended(Time at) {
  const std::lock_guard lock(mutex_);
  troubles_.back().end = at;
}

// Time::max(): not before the trouble at hand is over.
Oracle::Time Oracle::in_force(Time made) const {
  if (made == Time::min()) return made;
  Time calm_since = made;
  for (const Span& trouble : troubles_) {
    if (trouble.end <= calm_since || trouble.begin >= calm_since + bound_) continue;
    if (trouble.end == Time::max()) return trouble.end;
    calm_since = trouble.end;
  }
  return calm_since + bound_;
}

void Oracle::judge(std::size_t device, bool served, Time from, Time to) {
  const std::lock_guard lock(mutex_);
  const std::vector<Change>& changes = changes_[device];
  const auto last = std::find_if(changes.rbegin(), changes.rend(),
                                 [&](const Change& change) { return change.begin <= to; });
  const bool known = last->end != Time::max() && in_force(last->end) <= from;
  if (!known) {
    ++verdict_.not_judged;
  } else if (served == last->admits) {
    ++(served ? verdict_.rightly_served : verdict_.rightly_refused);
  } else {
    ++(served ? verdict_.served_though_no : verdict_.refused_though_yes);
  }
}

Oracle::Verdict Oracle::verdict() const {
  const std::lock_guard lock(mutex_);
  return verdict_;
}

std::string text(const Oracle::Verdict& verdict) {
  std::ostringstream out;
  out << verdict.rightly_served << " times rightly served, " << verdict.rightly_refused
      << " rightly refused, " << verdict.not_judged << " too close to a change to tell; "
      << verdict.served_though_no << " served though the record said no, "
      << verdict.refused_though_yes << " refused though it said yes";
  return out.str();
}

}  // namespace leafgate::test
