// SPDX-License-Identifier: Apache-2.0
#include "plugin/status.h"

#include <chrono>
#include <optional>
#include <string_view>

namespace leafgate::plugin {
namespace {

using std::chrono::seconds;

// In the hash and below $SYS by the same name.
void add(Status& status, const std::string& name, std::string value) {
  status.push_back({name, name, std::move(value)});
}

}  // namespace

void add_counters(Status& status, const Counters& counters) {
  std::uint64_t refused = 0;
  for (int i = 0; i < policy::kReasonCount; ++i) {
    const std::uint64_t count = counters.refused[static_cast<std::size_t>(i)];
    if (count == 0) continue;
    refused += count;
    const std::string reason(policy::to_string(static_cast<policy::Reason>(i)));
    status.push_back({"refused_" + reason, "refused/" + reason, std::to_string(count)});
  }
  add(status, "refused", std::to_string(refused));
  add(status, "admitted", std::to_string(counters.admitted));
  add(status, "ended", std::to_string(counters.ended));
  add(status, "would_refuse", std::to_string(counters.would_refuse));
  add(status, "clones", std::to_string(counters.clones));
}

void add_registry(Status& status, const registry::SyncStatus& sync) {
  const auto add_to_sync = [&](const std::string& name, std::string value) {
    status.push_back({name, "sync/" + name, std::move(value)});
  };
  status.push_back({"instance", "", sync.instance});
  status.push_back({"sync", "sync/state", std::string(registry::to_string(sync.state))});
  status.push_back({"age_ms", "", sync.age ? std::to_string(sync.age->count()) : ""});
  // In whole seconds, which seldom change while all is well: only changes are published.
  const auto age = std::chrono::floor<seconds>(sync.age.value_or(seconds(0)));
  status.push_back({"", "sync/age_s", sync.age ? std::to_string(age.count()) : ""});
  add_to_sync("reconnects", std::to_string(sync.connects > 0 ? sync.connects - 1 : 0));
  add_to_sync("full_syncs", std::to_string(sync.full_syncs));
  add_to_sync("repairs", std::to_string(sync.repairs));
  add_to_sync("malformed", std::to_string(sync.malformed));
  status.push_back({"held_id", "", sync.held_id});
  add_to_sync("absent_held", std::to_string(sync.absent_held));
  add_to_sync("regressions", std::to_string(sync.regressions));
}

void add_snapshot(Status& status, const registry::SnapshotsStatus& snapshot,
                  const std::string& path, policy::Time now) {
  std::string age;
  if (snapshot.watermark) {
    age = std::to_string(std::chrono::duration_cast<seconds>(now - *snapshot.watermark).count());
  }
  status.push_back({"snapshot_age_s", "snapshot/age_s", age});
  status.push_back({"snapshot_bytes", "snapshot/bytes", std::to_string(snapshot.bytes)});
  // The file that the message begins with is in the configuration; there is little room here.
  const std::string named = path + ": ";
  status.push_back({"snapshot_error", "",
                    snapshot.error.substr(snapshot.error.starts_with(named) ? named.size() : 0)});
}

void add_states(Status& status, const registry::Replica& replica) {
  const auto counts = replica.counts();
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const std::string state(policy::to_string(static_cast<policy::CertState>(i)));
    status.push_back({"certificates_" + state, "certificates/" + state, std::to_string(counts[i])});
  }
}

registry::Fields fields_of(const Status& status) {
  registry::Fields fields;
  for (const Statement& statement : status) {
    if (!statement.field.empty()) fields.emplace_back(statement.field, statement.value);
  }
  return fields;
}

}  // namespace leafgate::plugin
