// SPDX-License-Identifier: Apache-2.0
#include "policy/identity.h"

#include <vector>

#include "policy/text.h"

namespace leafgate::policy {
namespace {

const std::vector<std::string>& identity_field(const CertFacts& facts, IdentitySource source) {
  switch (source) {
    case IdentitySource::kCommonName:
      return facts.common_names;
    case IdentitySource::kSanUri:
      return facts.san_uris;
    case IdentitySource::kSanDns:
      return facts.san_dns;
  }
  return facts.common_names;  // not reached: Rules hold no other source
}

}  // namespace

bool is_device_id(std::string_view text) {
  return !text.empty() && text.size() <= kDeviceIdMax &&
         text.find_first_of("+#/$") == std::string_view::npos && is_plain_text(text);
}

std::optional<std::string> device_id(const CertFacts& facts, const Rules& rules) {
  const auto& values = identity_field(facts, rules.spec().identity);
  // Two names are two claims; choosing one would let a certificate speak for either.
  if (values.size() != 1) return std::nullopt;
  std::string_view id = values.front();
  const std::string_view prefix = rules.spec().strip_prefix;
  if (!id.starts_with(prefix)) return std::nullopt;
  id.remove_prefix(prefix.size());
  if (!is_device_id(id) || rules.is_reserved(id)) return std::nullopt;
  return std::string(id);
}

}  // namespace leafgate::policy
