// SPDX-License-Identifier: Apache-2.0
// Entries of the `log` and `events` streams. Their values come from brokers and from whoever may
// write to Redis: untrusted. One thread.
#pragma once

#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "admin/access.h"
#include "admin/output.h"
#include "policy/vocabulary.h"
#include "registry/outbox.h"

namespace leafgate::admin {

// Entries the streams keep at most; reading back further is pointless.
inline constexpr std::size_t kStreamEntriesMax = 110'000;

struct StreamEntry {
  std::string id;  // `<milliseconds>-<n>`
  registry::Fields fields;

  std::string_view field(std::string_view name) const;  // empty when it is not there
  policy::Time time() const;                            // of its id
};

// An element of XRANGE or XREAD; nullopt for anything else.
std::optional<StreamEntry> parse_entry(const registry::Reply& reply);

// Newest first, until `entry` says false or `most` were seen.
Result<void> for_each_newest(Access& access, const std::string& key, std::size_t most,
                             const std::function<bool(const StreamEntry&)>& entry);

// `{"stream": …, "id": …, "time": …, <fields>}`
Json to_json(std::string_view stream, const StreamEntry& entry);

// The fields as `name=value`, in their order, values escaped.
std::string to_words(const StreamEntry& entry);

}  // namespace leafgate::admin
