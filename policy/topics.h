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

// Does `topic` (a name, without wildcards) match `filter`? A filter that starts with a wildcard
// does not match a topic that starts with `$` (MQTT 5 §4.7.2). REQUIRES: is_topic_filter(filter)
bool matches(std::string_view filter, std::string_view topic);

// Is every topic that `inner` can match also matched by `outer`? Exact, not an approximation.
// REQUIRES: both are well-formed filters without `$share`
bool contains(std::string_view outer, std::string_view inner);

// `filter` without a leading `$share/<group>/` (MQTT 5 §4.8.2). nullopt when it is malformed: no
// group, a group with a wildcard, no filter, an ill-formed filter, or a second `$share` behind the
// first.
std::optional<std::string_view> strip_share(std::string_view filter);

// The values a pattern's placeholders take for one session. Empty means absent.
struct TopicValues {
  std::string_view device;
  std::string_view client_id;
  std::string_view common_name;
  std::string_view organizational_unit;
};

// The values of one session: of the broker's and of `leafgate explain`'s. A CN or OU that the
// certificate has more than once is absent. The result borrows from all three arguments.
TopicValues topic_values(const CertFacts& facts, std::string_view device,
                         std::string_view client_id);

// A filter with placeholders `{device}`, `{client_id}`, `{cn}`, `{ou}`.
class TopicPattern {
 public:
  // Fails with kInvalid on an unknown placeholder, a stray brace, an ill-formed filter, or one that
  // starts with `$share/` (shared subscriptions are judged by the filter after the group).
  static Result<TopicPattern> compile(std::string_view text);

  // The filter with its placeholders replaced. nullopt, which drops the whole rule for this
  // session, when a value is absent, holds a wildcard or `$`, is not plain text (policy/text.h), or
  // holds a `/` (only a client id that starts with `<device>/` may hold one): nobody widens a rule
  // by the name they carry.
  std::optional<std::string> bind(const TopicValues& values) const;

  const std::string& text() const noexcept { return text_; }
  bool names_client_id() const;  // holds `{client_id}`

 private:
  friend class BoundTopics;

  enum class Slot : std::uint8_t { kNone, kDevice, kClientId, kCommonName, kOrganizationalUnit };
  struct Part {
    std::string literal;      // comes before the slot
    Slot slot = Slot::kNone;  // kNone: nothing follows the literal
  };

  static std::optional<Slot> slot_named(std::string_view name);
  static std::string_view value_of(Slot slot, const TopicValues& values);

  // What of `values` may be substituted; the others are absent.
  static TopicValues safe(const TopicValues& values);
  // As bind(), for several patterns of one session: `safe` are safe() values, and the filter goes
  // to the end of `out`. False when it cannot be bound; `out` may have grown by a part of it then.
  bool append(const TopicValues& safe, std::string& out) const;

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
  // A filter in text_.
  struct Bound {
    int rule = 0;
    std::uint32_t begin = 0;
    std::uint32_t size = 0;
    std::uint32_t fixed = 0;  // what it begins with, up to the level of its first wildcard
  };

  void reserve(const std::vector<TopicRule>& rules);
  // False when one of them cannot be bound.
  bool bind_all(const std::vector<TopicPattern>& patterns, const TopicValues& safe, int rule,
                std::vector<Bound>& out);
  std::string_view filter(const Bound& bound) const {
    return std::string_view(text_).substr(bound.begin, bound.size);
  }
  bool does_match(const Bound& bound, std::string_view topic) const;

  std::string text_;  // one piece for all filters: sessions are many
  std::vector<Bound> publish_;
  std::vector<Bound> subscribe_;
};

}  // namespace leafgate::policy
