// SPDX-License-Identifier: Apache-2.0
#include "registry/lease.h"

#include <chrono>
#include <utility>

namespace leafgate::registry {
namespace {

using std::chrono::milliseconds;

constexpr std::string_view kTtl = "5000";  // ms: so long others wait for a holder that died
constexpr milliseconds kKeepAlive{1000};
constexpr std::string_view kAtOnce = "1";  // ms
constexpr milliseconds kPauseMax{400};
constexpr milliseconds kUrgentPauseMax{100};

struct Slots {
  std::size_t first;
  std::size_t last;
};

// Of Schema::leases().
constexpr Slots slots(Lease::Purpose purpose) {
  return purpose == Lease::Purpose::kRebuild ? Slots{0, 1} : Slots{2, 2};
}

}  // namespace

Lease::Lease(const Schema& schema, std::string instance, std::uint64_t free_keys, log::Queue& log)
    : keys_(schema.leases()),
      instance_(std::move(instance)),
      free_keys_(free_keys),
      log_(log),
      random_(std::random_device()()) {}

bool Lease::held(Purpose purpose) const noexcept {
  return purpose_ == purpose && (state_ == State::kHeld || state_ == State::kWithout);
}

Result<void> Lease::ask(Purpose purpose, bool urgent, Pipeline& pipeline, SteadyTime now) {
  if (state_ == State::kAsked) return {};
  if (purpose != purpose_) {
    if (Result<void> given = give_back(pipeline); !given) return given;
    purpose_ = purpose;
    next_ = now;
  }
  urgent_ = urgent;
  if (state_ == State::kWithout || now < next_) return {};
  if (state_ == State::kNone) return ask_for(slots(purpose).first, pipeline);
  next_ = now + kKeepAlive;
  return keep_for(kTtl, pipeline);
}

// NX GET (Redis 7.0): a turn that is still ours from an earlier link answers with our name.
Result<void> Lease::ask_for(std::size_t slot, Pipeline& pipeline) {
  state_ = State::kAsked;
  slot_ = slot;
  Request request;
  request.kind = Request::Kind::kLease;
  return pipeline.send(request,
                       {"SET", keys_[slot], instance_, "NX", "GET", "PX", std::string(kTtl)});
}

Result<void> Lease::apply(const Reply& reply, Pipeline& pipeline, SteadyTime now) {
  if (reply.is_error()) {
    go_without(reply);
    return {};
  }
  if (reply.is_null() || reply.text() == instance_) {
    state_ = State::kHeld;
    next_ = now + kKeepAlive;
    return {};
  }
  if (slot_ < slots(purpose_).last) return ask_for(slot_ + 1, pipeline);
  state_ = State::kNone;
  next_ = later(now);
  return {};
}

// What is wrong with the link itself shows in what it is there for.
void Lease::go_without(const Reply& reply) {
  state_ = State::kWithout;
  const std::string text = unexpected("cannot take turns with other brokers", reply).message;
  if (text == logged_refusal_) return;
  logged_refusal_ = text;
  log_.push(log::Line(log::Level::kWarning, "registry_lease_refused").add("error", text));
}

Result<void> Lease::give_back(Pipeline& pipeline) {
  const bool held = state_ == State::kHeld;
  if (state_ != State::kAsked) state_ = State::kNone;
  return held ? keep_for(kAtOnce, pipeline) : Result<void>();
}

// The answer does not matter: should the turn have ended meanwhile, and be somebody else's, that
// one is only kept for longer or ends earlier.
Result<void> Lease::keep_for(std::string_view milliseconds, Pipeline& pipeline) {
  Request request;
  request.kind = Request::Kind::kNothing;
  return pipeline.send(request,
                       {"SET", keys_[slot_], instance_, "XX", "PX", std::string(milliseconds)});
}

// At random, so that those who wait do not ask all at once.
SteadyTime Lease::later(SteadyTime now) {
  const milliseconds limit = urgent_ ? kUrgentPauseMax : kPauseMax;
  std::uniform_int_distribution<std::int64_t> choose(limit.count() / 2, limit.count());
  return now + milliseconds(choose(random_));
}

}  // namespace leafgate::registry
