// SPDX-License-Identifier: Apache-2.0
// What a broker has to remember of the registry beside the records themselves, so that after a
// restart (of Redis or of its own) it notices that data were lost. A plain value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace leafgate::registry {

struct Remembered {
  std::string data_set;   // meta's `id`; empty: none known
  std::uint64_t seq = 0;  // the highest of meta's `seq` that was seen in that data set
  // Keys, without the prefix (`cert:<fingerprint>`, `block:device:<id>`), whose refusal is kept
  // although Redis came back with something that admits: until somebody writes them again or
  // confirms.
  std::vector<std::string> regressions = {};
  std::string confirmed = {};  // meta's, as last read
  bool lost = false;           // writes were lost, and no full reconcile has been through since
  std::string restored = {};   // meta's, as last read

  bool operator==(const Remembered&) const = default;
};

}  // namespace leafgate::registry
