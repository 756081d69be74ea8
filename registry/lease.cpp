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

// An audit loses nothing by waiting, but must not be kept from ever looking.
constexpr int kAuditPatience = 12;  // times that of a rebuild

struct Slots {
  std::size_t first;
  std::size_t count;

  bool has(std::size_t slot) const { return slot >= first && slot < first + count; }
  std::size_t next(std::size_t slot) const { return first + (slot - first + 1) % count; }
};

// Of Schema::leases().
constexpr Slots slots(Lease::Purpose purpose) {
  return purpose == Lease::Purpose::kRebuild ? Slots{0, 2} : Slots{2, 1};
}

}  // namespace

Lease::Lease(const Schema& schema, std::string instance, Limits limits, log::Queue& log)
    : keys_(schema.leases()),
      instance_(std::move(instance)),
      limits_(limits),
      log_(log),
      random_(std::random_device()()) {}

bool Lease::held(Purpose purpose) const noexcept {
  return purpose_ == purpose && (state_ == State::kHeld || state_ == State::kWithout);
}

Result<void> Lease::ask(const Wish& wish, Pipeline& pipeline, SteadyTime now) {
  if (state_ == State::kAsked) return {};
  if (wish.purpose != purpose_) {
    if (Result<void> given = give_back(pipeline); !given) return given;
    purpose_ = wish.purpose;
  }
  urgent_ = wish.urgent;
  if (state_ == State::kNone && out_of_patience(wish, now)) go_without("nobody gave it a turn");
  if (state_ == State::kWithout || now < next_) return {};
  if (state_ == State::kHeld) {
    next_ = now + kKeepAlive;
    return keep_for(kTtl, pipeline);
  }
  // First the one it had last: it may be its own still.
  if (!slots(purpose_).has(slot_)) slot_ = slots(purpose_).first;
  asked_ = 0;
  return ask_for_slot(pipeline);
}

// A turn that nobody can get, whatever keeps it, must not keep a broker from the truth.
bool Lease::out_of_patience(const Wish& wish, SteadyTime now) const {
  const int times = wish.purpose == Purpose::kRebuild ? 1 : kAuditPatience;
  return now - wish.since > times * limits_.patience;
}

// NX GET (Redis 7.0): a turn that is still ours from an earlier link answers with our name.
Result<void> Lease::ask_for_slot(Pipeline& pipeline) {
  state_ = State::kAsked;
  ++asked_;
  Request request;
  request.kind = Request::Kind::kLease;
  return pipeline.send(request,
                       {"SET", keys_[slot_], instance_, "NX", "GET", "PX", std::string(kTtl)});
}

Result<void> Lease::apply(const Reply& reply, Pipeline& pipeline, SteadyTime now) {
  if (reply.is_error()) {
    // What is wrong with the link itself shows in what it is there for.
    go_without(unexpected("cannot take turns with other brokers", reply).message);
    return {};
  }
  if (reply.is_null() || reply.text() == instance_) {
    state_ = State::kHeld;
    next_ = reply.is_null() ? now + kKeepAlive : now;  // little may be left of an earlier one
    return {};
  }
  const Slots mine = slots(purpose_);
  slot_ = mine.next(slot_);
  if (asked_ < mine.count) return ask_for_slot(pipeline);
  state_ = State::kNone;
  next_ = later(now);
  return {};
}

void Lease::go_without(const std::string& why) {
  state_ = State::kWithout;
  if (why == logged_refusal_) return;
  logged_refusal_ = why;
  log_.push(log::Line(log::Level::kWarning, "registry_lease_refused").add("error", why));
}

Result<void> Lease::give_back(Pipeline& pipeline) {
  const bool held = state_ == State::kHeld;
  if (state_ != State::kAsked) disconnect();
  return held ? keep_for(kAtOnce, pipeline) : Result<void>();
}

void Lease::disconnect() noexcept {
  state_ = State::kNone;
  next_ = SteadyTime{};
}

// The answer does not matter: should the turn have ended meanwhile, and be somebody else's, we
// share it for its last seconds, or it ends too early.
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
