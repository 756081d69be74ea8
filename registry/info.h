// SPDX-License-Identifier: Apache-2.0
// What Redis's INFO says, as far as it matters here. Total: what is not there is as if nothing had
// been said. Pure functions; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "registry/fence.h"

namespace leafgate::registry {

struct Keyspace {
  std::uint64_t keys = 0;
  std::uint64_t expires = 0;
};

// From INFO keyspace, which has a line for each database that is not empty. `line_start`: how that
// of ours begins, `db0:`.
Keyspace parse_keyspace(std::string_view info, std::string_view line_start);

// From INFO replication.
Replication parse_replication(std::string_view info);

}  // namespace leafgate::registry
