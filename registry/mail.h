// SPDX-License-Identifier: Apache-2.0
// Carries the Outbox to Redis: events to the `events` stream, the status to `broker:<name>`. An
// event is kept until Redis has taken it, over reconnects too, so that one may arrive twice and
// none is lost while there is room. One thread.
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/result.h"
#include "registry/outbox.h"
#include "registry/pipeline.h"
#include "registry/schema.h"

namespace leafgate::registry {

// Who is writing.
struct Sender {
  std::string broker;
  std::string instance;
  std::string version;
};

class Mail {
 public:
  // `outbox` and `log` outlive this object.
  Mail(Schema schema, Sender sender, Outbox& outbox, log::Queue& log);

  // Sends what waits, as far as the limits allow.
  Result<void> send(Pipeline& pipeline, SteadyTime now);

  static bool owns(Request::Kind kind) noexcept;
  // REQUIRES: owns(answer.request.kind)
  void apply(const Pipeline::Answer& answer, SteadyTime now);

  // The link is gone: what it had not taken is sent again on the next.
  void disconnect() noexcept { in_flight_ = 0; }

 private:
  Result<void> send_event(const Event& event, Pipeline& pipeline);
  Result<void> send_status(const Fields& fields, Pipeline& pipeline);
  void take_event(const Reply& reply, SteadyTime now);
  void take_status(const Reply& reply);
  void refused(std::string_view doing, const Reply& reply, std::string& logged);

  // Constant after construction.
  const Schema schema_;
  const Sender sender_;
  Outbox& outbox_;
  log::Queue& log_;

  std::deque<Event> events_;   // that Redis has not taken yet, oldest first
  std::size_t in_flight_ = 0;  // so many of them, from the front, are sent and not answered
  SteadyTime paused_until_{};
  bool status_written_ = false;  // by this instance, once
  bool doubled_ = false;         // another live broker has our name; logged
  // The last refusals logged; empty: all is well.
  std::string event_refusal_;
  std::string status_refusal_;
};

}  // namespace leafgate::registry
