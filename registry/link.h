// SPDX-License-Identifier: Apache-2.0
// The pair of connections that keeps a replica: S hears which keys changed, D reads them.
//
//   S   CLIENT ID ; SUBSCRIBE __redis__:invalidate     (its acknowledgement is read first: tracking
//   that D   ROLE must be master ; CLIENT TRACKING ON …       redirects to a client without one is
//   silent)
//
// Both speak RESP2: a RESP3 D would make Redis write RESP3 into S. Tracking belongs to D and its
// messages to S, and neither is told when the other is gone: they live and die together, in one
// object. Without NOLOOP, so that the pulse, our own write, comes back. One thread; never waits.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "registry/connection.h"
#include "registry/endpoint.h"
#include "registry/pipeline.h"
#include "registry/resp.h"
#include "registry/schema.h"

namespace leafgate::registry {

// kUnreachable unless `role` is a master's answer to ROLE.
Result<void> must_be_master(const Reply& role);

// One message of S.
struct Notice {
  enum class Kind : std::uint8_t {
    kKeys,        // `keys` changed
    kEverything,  // anything may have changed: a flush, or a message nobody understands
    kPong,        // the answer to ask_hearing()
  } kind = Kind::kEverything;
  std::optional<Reply> keys;  // an array; its elements may still be anything
};

class Link {
 public:
  // Begins to dial. `pulse_key` is the key whose changes are also told, after those of blocks and
  // certificates of the same moment: Redis goes through the prefixes in byte order.
  Link(const Endpoint& endpoint, const Schema& schema, std::string pulse_key, SteadyTime now);
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  // Moves dialling and arming forward and writes what was sent. kUnreachable or kRefused when
  // either connection is of no use, or, before armed(), nothing has moved for longer than
  // `patience`.
  Result<void> progress(SteadyTime now, std::chrono::milliseconds patience);
  // Tracking is on: pipeline() and next_notice() may be used.
  bool armed() const noexcept { return step_ == Step::kArmed; }

  Pipeline& pipeline() noexcept { return pipeline_; }
  Result<std::optional<Notice>> next_notice();
  // Has S say something, for times when the pulse cannot: kPong comes back.
  Result<void> ask_hearing();

  const Connection& hearing() const noexcept { return hearing_; }
  const Connection& data() const noexcept { return data_; }

 private:
  enum class Step : std::uint8_t { kDial, kSubscribe, kTrack, kArmed };

  Result<bool> advance();  // false: nothing to advance by yet
  Result<bool> take_role();
  Result<bool> take_subscription();
  Result<bool> take_client_id();
  Result<bool> take_acknowledgement();
  Result<bool> ask_tracking();
  Result<bool> take_tracking();
  Result<void> flush();

  Connection hearing_;  // S
  Connection data_;     // D
  Pipeline pipeline_;
  std::array<std::string, 3> prefixes_;  // in byte order
  Step step_ = Step::kDial;
  bool master_ = false;
  std::optional<std::int64_t> client_id_;
  bool subscribed_ = false;
  std::uint64_t moves_ = 0;  // of both connections, when last looked at
  SteadyTime moved_at_;
};

}  // namespace leafgate::registry
