// SPDX-License-Identifier: Apache-2.0
// Topic filters (MQTT 5 §4.7): compiled once at load, bound once per session, matched without
// allocating. Pure; const objects may be shared between threads.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "policy/vocabulary.h"

namespace leafgate::policy {

// True for a well-formed topic filter of at most 65535 bytes: `#` only as the last whole level, `+`
// only as a whole level, no NUL, not empty.
bool is_topic_filter(std::string_view filter);

// Does `topic` (a name, without wildcards) match `filter`? A filter that starts with a wildcard does
// not match a topic that starts with `$` (MQTT 5 §4.7.2).
bool matches(std::string_view filter, std::string_view topic);

// Is every topic that `inner` can match also matched by `outer`? Both are filters without `$share`.
bool contains(std::string_view outer, std::string_view inner);

// `filter` without a leading `$share/<group>/`; nullopt when it starts with `$share` and is malformed.
std::optional<std::string_view> strip_share(std::string_view filter);

// The values a pattern's placeholders take for one session. Empty means absent.
struct TopicValues {
  std::string_view device;
  std::string_view client_id;
  std::string_view common_name;
  std::string_view organizational_unit;
};

// A filter with placeholders `{device}`, `{client_id}`, `{cn}`, `{ou}`.
class TopicPattern {
 public:
  // Fails with kInvalid on an unknown placeholder, a stray brace, or an ill-formed filter.
  static Result<TopicPattern> compile(std::string_view text);

  // The filter with its placeholders replaced. nullopt, which drops the rule for this session, when a
  // value is absent, holds a wildcard, `$`, a control character or NUL, or holds a `/` (only a client
  // id that starts with `<device>/` may hold one): nobody widens a rule by the name they carry.
  std::optional<std::string> bind(const TopicValues& values) const;

  const std::string& text() const noexcept { return text_; }

 private:
  enum class Slot : std::uint8_t { kNone, kDevice, kClientId, kCommonName, kOrganizationalUnit };
  struct Part {
    std::string literal;      // comes before the slot
    Slot slot = Slot::kNone;  // kNone: nothing follows the literal
  };

  std::string text_;
  std::vector<Part> parts_;
};

// One `allow` of the configuration.
struct TopicRule {
  std::vector<TopicPattern> publish;
  std::vector<TopicPattern> subscribe;
};

// The topic rules of one session, bound to its names. Matching allocates nothing.
class BoundTopics {
 public:
  BoundTopics() = default;  // allows nothing
  BoundTopics(const std::vector<TopicRule>& rules, const TopicValues& values);

  // The index of the first rule that allows `request`; nullopt when none does. kReceive uses the
  // subscribe filters; a subscription is allowed when one allowed filter contains it whole.
  std::optional<int> allowing_rule(const TopicRequest& request) const;

 private:
  struct Bound {
    int rule = 0;
    std::string filter;
  };

  std::vector<Bound> publish_;
  std::vector<Bound> subscribe_;
};

}  // namespace leafgate::policy
