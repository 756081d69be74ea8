// SPDX-License-Identifier: Apache-2.0
#include "policy/rules.h"

#include <algorithm>
#include <functional>
#include <utility>

#include "policy/text.h"

namespace leafgate::policy {
namespace {

Error invalid(std::string message) {
  return Error{ErrorKind::kInvalid, std::move(message)};
}

Result<void> check_identity(const RulesSpec& spec) {
  if (spec.strip_prefix.size() > kStripPrefixMax) {
    return invalid("device_id.strip_prefix: longer than " + std::to_string(kStripPrefixMax) +
                   " bytes");
  }
  if (!is_plain_text(spec.strip_prefix)) {
    return invalid("device_id.strip_prefix: holds control characters or is not UTF-8");
  }
  if (spec.reserved_names.size() > kReservedNamesMax) {
    return invalid("reserved_names: more than " + std::to_string(kReservedNamesMax) + " names");
  }
  const auto& names = spec.reserved_names;
  if (std::any_of(names.begin(), names.end(), [](const auto& name) { return name.empty(); })) {
    return invalid("reserved_names: an empty name reserves nothing: remove it");
  }
  return {};
}

Result<void> check_topics(const RulesSpec& spec) {
  if (spec.topics != TopicMode::kList && !spec.topic_rules.empty()) {
    return invalid("topics: rules are listed and not used: allowed: a list | defer | any");
  }
  if (spec.topic_rules.size() > kTopicRulesMax) {
    return invalid("topics: more than " + std::to_string(kTopicRulesMax) + " rules");
  }
  std::size_t filters = 0;
  for (const auto& rule : spec.topic_rules) {
    if (rule.publish.empty() && rule.subscribe.empty()) {
      return invalid(
          "topics: a rule without filters allows nothing: add a filter or remove the rule");
    }
    filters += rule.publish.size() + rule.subscribe.size();
  }
  if (filters > kTopicFiltersMax) {
    return invalid("topics: more than " + std::to_string(kTopicFiltersMax) + " filters in all");
  }
  return {};
}

// Whoever may choose any client id would choose another device's topics with it.
Result<void> check_client_id_in_topics(const RulesSpec& spec) {
  if (spec.client_id != ClientIdRule::kAny) return {};
  for (const auto& rule : spec.topic_rules) {
    for (const auto* patterns : {&rule.publish, &rule.subscribe}) {
      for (const auto& pattern : *patterns) {
        if (!pattern.names_client_id()) continue;
        return invalid("topics: `" + pattern.text() +
                       "` with client_id: any gives a device the topics of others: use {device}, "
                       "or client_id: must_equal_device | device_or_suffix");
      }
    }
  }
  return {};
}

}  // namespace

Result<Rules> Rules::make(RulesSpec spec) {
  if (spec.min_rsa_bits < kMinRsaBitsFloor || spec.min_rsa_bits > kMinRsaBitsCeiling) {
    return invalid("min_rsa_bits: `" + std::to_string(spec.min_rsa_bits) +
                   "` is out of range: allowed: " + std::to_string(kMinRsaBitsFloor) + ".." +
                   std::to_string(kMinRsaBitsCeiling));
  }
  const auto identity = check_identity(spec);
  if (!identity) return identity.error();
  const auto topics = check_topics(spec);
  if (!topics) return topics.error();
  const auto client_id = check_client_id_in_topics(spec);
  if (!client_id) return client_id.error();
  std::sort(spec.reserved_names.begin(), spec.reserved_names.end());
  return Rules(std::move(spec));
}

bool Rules::is_reserved(std::string_view name) const {
  return std::binary_search(spec_.reserved_names.begin(), spec_.reserved_names.end(), name,
                            std::less<>());
}

std::string_view to_string(IdentitySource source) {
  switch (source) {
    case IdentitySource::kCommonName:
      return "cn";
    case IdentitySource::kSanUri:
      return "san_uri";
    case IdentitySource::kSanDns:
      return "san_dns";
  }
  return "cn";  // not reached: there is no other enumerator
}

}  // namespace leafgate::policy
