// SPDX-License-Identifier: Apache-2.0
#include "registry/mail.h"

#include <algorithm>
#include <chrono>
#include <utility>

namespace leafgate::registry {
namespace {

constexpr std::size_t kInFlightMax = 64;  // events; named keys wait behind them
constexpr std::string_view kEventsMax = "100000";
constexpr std::string_view kStatusTtl = "30";  // seconds
constexpr std::string_view kInstance = "instance";
constexpr std::chrono::seconds kPause{1};  // after Redis refused a write

Request request_for(Request::Kind kind) {
  Request request;
  request.kind = kind;
  return request;
}

}  // namespace

Mail::Mail(Schema schema, Sender sender, Outbox& outbox, log::Queue& log)
    : schema_(std::move(schema)), sender_(std::move(sender)), outbox_(outbox), log_(log) {}

Result<void> Mail::send(Pipeline& pipeline, SteadyTime now) {
  if (now < paused_until_) return {};
  const std::size_t room = kInFlightMax - std::min(kInFlightMax, events_.size());
  Outbox::Letters letters = outbox_.take(room);
  for (Event& event : letters.events)
    events_.push_back(std::move(event));

  while (in_flight_ < events_.size()) {
    if (Result<void> sent = send_event(events_[in_flight_++], pipeline); !sent) return sent;
  }
  if (letters.status) return send_status(*letters.status, pipeline);
  return {};
}

Result<void> Mail::send_event(const Event& event, Pipeline& pipeline) {
  Command command{"XADD", schema_.events(), "MAXLEN",   "~",      std::string(kEventsMax),
                  "*",    "kind",           event.kind, "broker", sender_.broker};
  for (const auto& [name, value] : event.fields) {
    command.push_back(name);
    command.push_back(value);
  }
  return pipeline.send(request_for(Request::Kind::kEvent), command);
}

// Reads the hash first: whose instance stands there tells whether another broker uses our name.
Result<void> Mail::send_status(const Fields& fields, Pipeline& pipeline) {
  const std::string key = schema_.broker(sender_.broker);
  Command write{"HSET", key, std::string(kInstance), sender_.instance, "version", sender_.version};
  for (const auto& [name, value] : fields) {
    write.push_back(name);
    write.push_back(value);
  }
  Result<void> sent = pipeline.send(request_for(Request::Kind::kStatusRead),
                                    {"HMGET", key, std::string(kInstance)});
  if (sent) sent = pipeline.send(request_for(Request::Kind::kStatusWrite), write);
  if (!sent) return sent;
  return pipeline.send(request_for(Request::Kind::kStatusWrite),
                       {"EXPIRE", key, std::string(kStatusTtl)});
}

bool Mail::owns(Request::Kind kind) noexcept {
  return kind >= Request::Kind::kEvent;
}

void Mail::apply(const Pipeline::Answer& answer, SteadyTime now) {
  if (answer.request.kind == Request::Kind::kEvent) {
    take_event(answer.reply, now);
  } else if (answer.reply.is_error()) {
    refused("cannot keep the broker's hash", answer.reply, status_refusal_);
  } else if (answer.request.kind == Request::Kind::kStatusRead) {
    take_status(answer.reply);
  } else {
    status_written_ = true;
    status_refusal_.clear();
  }
}

void Mail::take_event(const Reply& reply, SteadyTime now) {
  if (in_flight_ == 0) return;
  Event event = std::move(events_.front());
  events_.pop_front();
  --in_flight_;
  if (!reply.is_error()) {
    event_refusal_.clear();
    return;
  }
  refused("cannot write an event", reply, event_refusal_);
  // What Redis will never take is given up; what it cannot take now is tried again.
  if (classify(reply) != Refusal::kWrite) return;
  events_.push_back(std::move(event));
  paused_until_ = now + kPause;
}

void Mail::take_status(const Reply& reply) {
  const std::optional<std::string_view> instance = reply.text_at(0);
  const bool other = status_written_ && instance && *instance != sender_.instance;
  if (other && !doubled_) {
    log_.push(log::Line(log::Level::kWarning, "broker_name_taken")
                  .add("broker", sender_.broker)
                  .add("instance", sender_.instance)
                  .add("other_instance", *instance)
                  .add("do", "give each broker a name of its own"));
  }
  doubled_ = doubled_ || other;
}

void Mail::refused(std::string_view doing, const Reply& reply, std::string& logged) {
  const std::string text = unexpected(doing, reply).message;
  if (text == logged) return;
  logged = text;
  log_.push(log::Line(log::Level::kWarning, "registry_write_refused").add("error", text));
}

}  // namespace leafgate::registry
