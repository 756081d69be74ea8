// SPDX-License-Identifier: Apache-2.0
// Which data set the thread reads, and what the log and the `events` stream say of it: reads `meta`
// and INFO replication for the Fence, and reports what the Fence makes of them. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "registry/fence.h"
#include "registry/outbox.h"
#include "registry/pipeline.h"
#include "registry/remembered.h"
#include "registry/schema.h"

namespace leafgate::registry {

// Asks for all of meta that matters here. `pulse`: the number of the pulse it goes with, or 0.
Result<void> ask_meta(const Schema& schema, std::uint64_t pulse, Pipeline& pipeline);

class DataSet {
 public:
  // `device_id_rule`: ours. `outbox` and `log` outlive this object.
  DataSet(Remembered remembered, bool hold_on_data_loss, std::string device_id_rule, Outbox& outbox,
          log::Queue& log);

  Fence& fence() noexcept { return fence_; }
  const Fence& fence() const noexcept { return fence_; }

  // The answers to ask_meta() and INFO replication. True when all records have to be read again.
  Result<bool> take_meta(const Reply& reply);
  Result<bool> take_replication(const Reply& reply);
  // As Fence's.
  bool returned(std::uint64_t number);
  // Tells of the regressions found since the last call.
  void report_regressions();
  // A full reconcile has come to its end.
  void reconciled();

 private:
  void report_hold(bool held_before, const std::string& id_before);
  void tell_regressions();
  void warn_of_rule(std::string_view rule, std::string_view format);

  const std::string device_id_rule_;
  Fence fence_;
  Outbox& outbox_;
  log::Queue& log_;
  std::string logged_rule_;
  std::deque<Fence::Regression> untold_;  // for the outbox
  std::size_t regressions_logged_ = 0;    // since the last reconcile
};

}  // namespace leafgate::registry
