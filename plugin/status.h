// SPDX-License-Identifier: Apache-2.0
// What a broker says of itself: one list, told twice, in the hash `broker:<name>` (docs/operate.md
// lists its fields) and as retained messages below `$SYS/broker/leafgate/` (SysTopics). Whatever is
// added to the list must say where it goes.
//
// Any one thread.
#pragma once

#include <string>
#include <vector>

#include "plugin/notices.h"
#include "policy/vocabulary.h"
#include "registry/outbox.h"
#include "registry/replica.h"
#include "registry/snapshots.h"
#include "registry/sync.h"

namespace leafgate::plugin {

struct Statement {
  std::string field;  // of the hash; empty: not there
  std::string topic;  // below the root of SysTopics; empty: not there
  std::string value;
};

using Status = std::vector<Statement>;

void add_counters(Status& status, const Counters& counters);
void add_registry(Status& status, const registry::SyncStatus& sync);
// `path`: of the snapshot file.
void add_snapshot(Status& status, const registry::SnapshotsStatus& snapshot,
                  const std::string& path, policy::Time now);
// How many certificates are in each state.
void add_states(Status& status, const registry::Replica& replica);

// The fields of the hash.
registry::Fields fields_of(const Status& status);

}  // namespace leafgate::plugin
