// SPDX-License-Identifier: Apache-2.0
// How a certificate becomes a record: its facts, its device by the device-id rule, its first state.
// One thread.
#pragma once

#include <string>

#include "admin/access.h"
#include "admin/change.h"
#include "admin/source.h"
#include "policy/rules.h"

namespace leafgate::admin {

class Importer {
 public:
  // `access` and `rules` outlive this. `state`: of the new records.
  Importer(const Access& access, const policy::Rules& rules, std::string state)
      : access_(access), rules_(rules), state_(std::move(state)) {}

  // From the certificate itself where it is there, otherwise from what the input states of it.
  // Warns (Item::warning) when brokers would refuse the certificate even in state active. kInvalid
  // when the certificate gives no device id, or another than the input states.
  Result<Item> item(const Target& target) const;

 private:
  const Access& access_;
  const policy::Rules& rules_;
  std::string state_;
};

}  // namespace leafgate::admin
