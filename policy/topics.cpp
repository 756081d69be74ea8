// SPDX-License-Identifier: Apache-2.0
#include "policy/topics.h"

#include <algorithm>

#include "policy/text.h"

namespace leafgate::policy {
namespace {

constexpr std::size_t kFilterBytesMax = 65535;
constexpr std::string_view kShare = "$share";

// Walks the levels of a filter or a topic. `a//b` has three, the second empty; `/` has two.
class Levels {
 public:
  explicit Levels(std::string_view text) : rest_(text) { advance(); }

  bool done() const noexcept { return done_; }
  std::string_view level() const noexcept { return level_; }
  bool is_last() const noexcept { return last_; }

  void next() {
    if (last_) {
      done_ = true;
    } else {
      advance();
    }
  }

 private:
  void advance() {
    const auto slash = rest_.find('/');
    last_ = slash == std::string_view::npos;
    level_ = rest_.substr(0, slash);
    if (!last_) rest_.remove_prefix(slash + 1);
  }

  std::string_view rest_;
  std::string_view level_;
  bool last_ = false;
  bool done_ = false;
};

bool starts_with_wildcard(std::string_view filter) {
  return filter.starts_with('+') || filter.starts_with('#');
}

// `outer` stands at a `+`, `inner` at its `#`. `#` also matches the levels before it alone, which
// `+` does not; the two agree only when those levels alone are no topic (nothing, or the empty
// text) and `outer` goes on with nothing but `#`.
bool plus_contains_rest(Levels outer, std::string_view inner) {
  outer.next();
  return (inner == "#" || inner == "/#") && !outer.done() && outer.level() == "#";
}

// matches() but for its `$`. Also of what is left of both behind bytes that they begin with alike,
// when the filter's rest is empty or begins with `/`: the level that was cut counts as one.
bool levels_match(std::string_view filter, std::string_view topic) {
  Levels wanted(filter);
  Levels given(topic);
  for (; !wanted.done(); wanted.next(), given.next()) {
    if (wanted.level() == "#") return true;  // also when `given` is done: `a/#` matches `a`
    if (given.done()) return false;
    if (wanted.level() != "+" && wanted.level() != given.level()) return false;
  }
  return given.done();
}

// How many bytes of `filter` each topic it matches begins with: those before its first wildcard,
// without the `/` in between, since `a/#` matches `a`.
std::size_t fixed_bytes(std::string_view filter) {
  auto wildcard = filter.find('+');
  if (wildcard == std::string_view::npos) {
    if (!filter.ends_with('#')) return filter.size();
    wildcard = filter.size() - 1;
  }
  return wildcard == 0 ? 0 : wildcard - 1;
}

Error invalid(std::string_view text, const std::string& why) {
  return Error{ErrorKind::kInvalid, "topic filter `" + std::string(text) + "`: " + why};
}

bool is_safe_value(std::string_view value) {
  return !value.empty() && value.find_first_of("+#$") == std::string_view::npos &&
         is_plain_text(value);
}

bool may_hold_slash(const TopicValues& values) {
  const auto& id = values.client_id;
  return !values.device.empty() && id.size() > values.device.size() + 1 &&
         id.starts_with(values.device) && id[values.device.size()] == '/';
}

}  // namespace

bool is_topic_filter(std::string_view filter) {
  if (filter.empty() || filter.size() > kFilterBytesMax) return false;
  if (filter.find('\0') != std::string_view::npos) return false;
  for (Levels levels(filter); !levels.done(); levels.next()) {
    const auto level = levels.level();
    if (level == "+" || (level == "#" && levels.is_last())) continue;
    if (level.find_first_of("+#") != std::string_view::npos) return false;
  }
  return true;
}

bool matches(std::string_view filter, std::string_view topic) {
  if (topic.empty() || (topic[0] == '$' && starts_with_wildcard(filter))) return false;
  return levels_match(filter, topic);
}

bool contains(std::string_view outer, std::string_view inner) {
  if (inner.starts_with('$') && starts_with_wildcard(outer)) return false;
  Levels allowed(outer);
  Levels asked(inner);
  for (; !allowed.done(); allowed.next(), asked.next()) {
    if (allowed.level() == "#") return true;
    if (asked.done()) return false;
    if (asked.level() == "#") return allowed.level() == "+" && plus_contains_rest(allowed, inner);
    if (allowed.level() != "+" && allowed.level() != asked.level()) return false;
  }
  return asked.done();
}

std::optional<std::string_view> strip_share(std::string_view filter) {
  Levels levels(filter);
  if (levels.level() != kShare) return filter;
  levels.next();
  if (levels.done() || levels.is_last()) return std::nullopt;
  const auto group = levels.level();
  if (group.empty() || group.find_first_of("+#") != std::string_view::npos) return std::nullopt;
  const auto shared = filter.substr(kShare.size() + 1 + group.size() + 1);
  if (!is_topic_filter(shared) || Levels(shared).level() == kShare) return std::nullopt;
  return shared;
}

TopicValues topic_values(const CertFacts& facts, std::string_view device,
                         std::string_view client_id) {
  const auto only = [](const std::vector<std::string>& names) -> std::string_view {
    return names.size() == 1 ? std::string_view(names.front()) : std::string_view();
  };
  return {.device = device,
          .client_id = client_id,
          .common_name = only(facts.common_names),
          .organizational_unit = only(facts.organizational_units)};
}

Result<TopicPattern> TopicPattern::compile(std::string_view text) {
  TopicPattern pattern;
  pattern.text_ = text;
  std::string sample;  // the filter with a harmless value in each slot
  for (std::string_view rest = text;;) {
    const auto brace = rest.find_first_of("{}");
    const auto literal = rest.substr(0, brace);
    sample += literal;
    if (brace == std::string_view::npos) {
      pattern.parts_.push_back({std::string(literal), Slot::kNone});
      break;
    }
    const auto close = rest.find('}', brace);
    const bool paired = close != std::string_view::npos && close != brace;
    const auto slot = paired ? slot_named(rest.substr(brace + 1, close - brace - 1)) : std::nullopt;
    if (!slot) return invalid(text, "braces hold one of: {device} | {client_id} | {cn} | {ou}");
    pattern.parts_.push_back({std::string(literal), *slot});
    sample += 'x';
    rest.remove_prefix(close + 1);
  }
  if (!is_topic_filter(sample) || !is_plain_text(sample)) {
    return invalid(text,
                   "not well-formed: `+` and `#` stand alone in a level, `#` only in the last");
  }
  if (Levels(sample).level() == kShare) {
    return invalid(text, "shared subscriptions are judged without `$share/<group>/`: remove it");
  }
  return pattern;
}

std::optional<TopicPattern::Slot> TopicPattern::slot_named(std::string_view name) {
  if (name == "device") return Slot::kDevice;
  if (name == "client_id") return Slot::kClientId;
  if (name == "cn") return Slot::kCommonName;
  if (name == "ou") return Slot::kOrganizationalUnit;
  return std::nullopt;
}

bool TopicPattern::names_client_id() const {
  return std::any_of(parts_.begin(), parts_.end(),
                     [](const Part& part) { return part.slot == Slot::kClientId; });
}

std::optional<std::string> TopicPattern::bind(const TopicValues& values) const {
  std::string filter;
  if (!append(safe(values), filter)) return std::nullopt;
  return filter;
}

TopicValues TopicPattern::safe(const TopicValues& values) {
  const auto or_absent = [](std::string_view value, bool slash_allowed = false) {
    const bool has_slash = value.find('/') != std::string_view::npos;
    return is_safe_value(value) && (slash_allowed || !has_slash) ? value : std::string_view();
  };
  return {.device = or_absent(values.device),
          .client_id = or_absent(values.client_id, may_hold_slash(values)),
          .common_name = or_absent(values.common_name),
          .organizational_unit = or_absent(values.organizational_unit)};
}

bool TopicPattern::append(const TopicValues& safe, std::string& out) const {
  const std::size_t begin = out.size();
  for (const auto& part : parts_) {
    out += part.literal;
    if (part.slot == Slot::kNone) continue;
    const auto value = value_of(part.slot, safe);
    if (value.empty()) return false;
    out += value;
  }
  // Well-formed like the sample that compile() looked at: a value is not empty and holds no
  // wildcard, so only the length is new.
  return out.size() - begin <= kFilterBytesMax;
}

std::string_view TopicPattern::value_of(Slot slot, const TopicValues& values) {
  switch (slot) {
    case Slot::kNone:
      return {};
    case Slot::kDevice:
      return values.device;
    case Slot::kClientId:
      return values.client_id;
    case Slot::kCommonName:
      return values.common_name;
    case Slot::kOrganizationalUnit:
      return values.organizational_unit;
  }
  return {};
}

BoundTopics::BoundTopics(const std::vector<TopicRule>& rules, const TopicValues& values) {
  const TopicValues safe = TopicPattern::safe(values);
  reserve(rules);
  for (std::size_t i = 0; i < rules.size(); ++i) {
    const std::size_t text = text_.size();
    const std::size_t publish = publish_.size();
    const std::size_t subscribe = subscribe_.size();
    const int rule = static_cast<int>(i);
    const bool whole = bind_all(rules[i].publish, safe, rule, publish_) &&
                       bind_all(rules[i].subscribe, safe, rule, subscribe_);
    if (whole) continue;
    text_.resize(text);
    publish_.resize(publish);
    subscribe_.resize(subscribe);
  }
}

// Near enough: a value takes about as many bytes as its placeholder.
void BoundTopics::reserve(const std::vector<TopicRule>& rules) {
  std::size_t bytes = 0;
  std::size_t publish = 0;
  std::size_t subscribe = 0;
  for (const TopicRule& rule : rules) {
    for (const auto* patterns : {&rule.publish, &rule.subscribe}) {
      for (const TopicPattern& pattern : *patterns)
        bytes += pattern.text().size();
    }
    publish += rule.publish.size();
    subscribe += rule.subscribe.size();
  }
  text_.reserve(bytes);
  publish_.reserve(publish);
  subscribe_.reserve(subscribe);
}

bool BoundTopics::bind_all(const std::vector<TopicPattern>& patterns, const TopicValues& safe,
                           int rule, std::vector<Bound>& out) {
  for (const TopicPattern& pattern : patterns) {
    const std::size_t begin = text_.size();
    if (!pattern.append(safe, text_)) return false;
    const std::string_view bound = std::string_view(text_).substr(begin);
    out.push_back({rule, static_cast<std::uint32_t>(begin),
                   static_cast<std::uint32_t>(bound.size()),
                   static_cast<std::uint32_t>(fixed_bytes(bound))});
  }
  return true;
}

// As matches(). Most filters are not the one: those differ from the topic in its fixed bytes.
bool BoundTopics::does_match(const Bound& bound, std::string_view topic) const {
  const std::string_view allowed = filter(bound);
  if (bound.fixed == 0) return matches(allowed, topic);
  if (!topic.starts_with(allowed.substr(0, bound.fixed))) return false;
  return levels_match(allowed.substr(bound.fixed), topic.substr(bound.fixed));
}

std::optional<int> BoundTopics::allowing_rule(const TopicRequest& request) const {
  const auto first = [](const std::vector<Bound>& all, const auto& allows) -> std::optional<int> {
    for (const Bound& bound : all) {
      if (allows(bound)) return bound.rule;
    }
    return std::nullopt;
  };
  const auto matching = [&](const Bound& bound) { return does_match(bound, request.topic); };
  switch (request.access) {
    case Access::kPublish:
      return first(publish_, matching);
    case Access::kReceive:
      return first(subscribe_, matching);
    case Access::kSubscribe: {
      const auto asked = strip_share(request.topic);
      if (!asked || !is_topic_filter(*asked)) return std::nullopt;
      return first(subscribe_, [&](const Bound& bound) { return contains(filter(bound), *asked); });
    }
  }
  return std::nullopt;
}

}  // namespace leafgate::policy
