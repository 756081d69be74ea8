// SPDX-License-Identifier: Apache-2.0
#include "registry/outbox.h"

#include <algorithm>
#include <utility>

#include "registry/schema.h"

namespace leafgate::registry {
namespace {

void cut_values(Fields& fields, std::size_t most) {
  for (auto& [name, value] : fields) {
    if (value.size() > most) value.resize(most);
  }
}

}  // namespace

void Outbox::event(Event event) {
  cut_values(event.fields, kEventValueBytesMax);
  const std::lock_guard lock(mutex_);
  if (events_.size() >= capacity_) {
    ++dropped_;
    return;
  }
  events_.push_back(std::move(event));
}

void Outbox::status(Fields fields) {
  cut_values(fields, kValueBytesMax);
  const std::lock_guard lock(mutex_);
  status_ = std::move(fields);
}

Outbox::Letters Outbox::take(std::size_t most) {
  Letters letters;
  const std::lock_guard lock(mutex_);
  const auto end = events_.begin() + static_cast<std::ptrdiff_t>(std::min(most, events_.size()));
  letters.events.assign(std::move_iterator(events_.begin()), std::move_iterator(end));
  events_.erase(events_.begin(), end);
  letters.status = std::exchange(status_, std::nullopt);
  return letters;
}

std::size_t Outbox::room() const {
  const std::lock_guard lock(mutex_);
  return capacity_ - events_.size();
}

std::uint64_t Outbox::dropped() const {
  const std::lock_guard lock(mutex_);
  return dropped_;
}

}  // namespace leafgate::registry
