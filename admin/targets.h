// SPDX-License-Identifier: Apache-2.0
// The selectors of a command as one stream of targets: what was typed, the certificates of
// --device, the lines of --from. One thread.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "admin/access.h"
#include "admin/options.h"
#include "admin/source.h"

namespace leafgate::admin {

class Targets {
 public:
  // kInvalid when nothing is selected or a selector is malformed, kNotFound for a device without
  // registered certificates or a --from that is not there.
  static Result<Targets> certificates(Access& access, const SelectorOptions& which);
  // The selectors are device ids here; `devices` is not used.
  static Result<Targets> device_ids(const SelectorOptions& which);

  std::optional<Result<Target>> next();

 private:
  std::deque<Target> ready_;
  std::deque<std::unique_ptr<Source>> sources_;
};

}  // namespace leafgate::admin
