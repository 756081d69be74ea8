// SPDX-License-Identifier: Apache-2.0
#include "plugin/sys_topics.h"

#include <optional>
#include <string_view>

#include "plugin/broker.h"

namespace leafgate::plugin {
namespace {

constexpr std::string_view kRoot = "$SYS/broker/leafgate/";

struct Place {
  std::string_view field;
  std::string_view topic;
};

constexpr Place kTopics[] = {
    {"version", "version"},
    {"mode", "mode"},
    {"sync", "sync/state"},
    {"age_ms", "sync/age_ms"},
    {"repairs", "sync/repairs"},
    {"reconnects", "sync/reconnects"},
    {"malformed", "sync/malformed"},
    {"stale", "stale"},
    {"sessions", "sessions"},
    {"admitted", "admitted"},
    {"refused", "refused"},
    {"would_refuse", "would_refuse"},
    {"ended", "ended"},
    {"snapshot_age_s", "snapshot/age_s"},
    {"snapshot_bytes", "snapshot/bytes"},
};
// Fields whose names go on: `certificates_active` becomes `certificates/active`.
constexpr Place kFamilies[] = {{"certificates_", "certificates/"}, {"refused_", "refused/"}};

std::optional<std::string> topic_of(std::string_view field) {
  for (const Place& place : kTopics) {
    if (field == place.field) return std::string(kRoot).append(place.topic);
  }
  for (const Place& family : kFamilies) {
    if (!field.starts_with(family.field)) continue;
    return std::string(kRoot).append(family.topic).append(field.substr(family.field.size()));
  }
  return std::nullopt;
}

}  // namespace

void SysTopics::publish(const registry::Fields& fields) {
  for (const auto& [field, value] : fields) {
    const std::optional<std::string> topic = topic_of(field);
    if (!topic) continue;
    std::string& published = published_[*topic];
    if (published != value && broker::publish_retained(*topic, value)) published = value;
  }
}

}  // namespace leafgate::plugin
