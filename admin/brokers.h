// SPDX-License-Identifier: Apache-2.0
// What brokers say of themselves in their own hashes (docs/operate.md). Untrusted, and up to some
// seconds old. Blocking; one thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "admin/access.h"
#include "registry/outbox.h"

namespace leafgate::admin {

struct Broker {
  std::string name;
  registry::Fields fields;

  std::string_view field(std::string_view wanted) const;  // empty when it is not there
  std::uint64_t number(std::string_view wanted) const;    // 0 when it is not there or no number
  // The data set it remembers, while it holds absences back because the registry has another or
  // none; empty: it does not, or what it says is no id.
  std::string_view held_id() const;
};

// A flat array of names and values, as HGETALL answers.
registry::Fields fields_of(const registry::Reply& reply);

// Those that report now, by name.
Result<std::vector<Broker>> read_brokers(Access& access);

// The names of those that have not read the whole registry since they found it again: what they
// keep against it is not known yet, to them neither.
std::vector<std::string> still_reading(const std::vector<Broker>& brokers);

// True for 32 lower-case hex digits.
bool is_data_set_id(std::string_view text);

}  // namespace leafgate::admin
