// SPDX-License-Identifier: Apache-2.0
// What the operator decided: admission and topic rules. Immutable once built, so a Rules that
// exists cannot be wrong; a reload builds a new one and swaps it in. Pure; share const objects
// freely.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "policy/topics.h"
#include "policy/vocabulary.h"

namespace leafgate::policy {

enum class Mode : std::uint8_t {
  kEnforce,
  kReport,  // admits what TLS accepted; refusals are only logged and counted
};
enum class Then : std::uint8_t {
  kAccept,  // our yes is the broker's yes
  kDefer,   // our yes lets password_file or another plugin decide as well
};
enum class IdentitySource : std::uint8_t { kCommonName, kSanUri, kSanDns };
enum class ClientIdRule : std::uint8_t { kMustEqualDevice, kDeviceOrSuffix, kAny };
enum class UnknownCertificate : std::uint8_t {
  kRefuse,
  kReport,  // refused as well; its facts go to the `events` stream for `cert import --from-events`
};
enum class CertificateInUse : std::uint8_t { kAllow, kReport, kRefuse };
enum class TopicMode : std::uint8_t {
  kList,   // `topic_rules` decides
  kDefer,  // acl_file or another plugin decides
  kAny,    // every topic is allowed
};

// Limits: everything a file can hold has one.
inline constexpr std::size_t kReservedNamesMax = 10000;
inline constexpr std::size_t kTopicRulesMax = 256;
inline constexpr std::size_t kTopicFiltersMax = 1024;  // over all rules, publish and subscribe
// Bytes. `san_uri:` and the prefix are stored as one value of at most 64 (registry/schema.h).
inline constexpr std::size_t kStripPrefixMax = 56;
inline constexpr int kMinRsaBitsFloor = 2048;
inline constexpr int kMinRsaBitsCeiling = 16384;

// What was written, unchecked. Defaults are those of the configuration reference (docs/operate.md).
struct RulesSpec {
  Mode mode = Mode::kEnforce;
  Then then = Then::kAccept;
  IdentitySource identity = IdentitySource::kCommonName;
  std::string strip_prefix;  // removed from the identity field; required to be there when not empty
  ClientIdRule client_id = ClientIdRule::kMustEqualDevice;
  UnknownCertificate unknown_certificate = UnknownCertificate::kRefuse;
  CertificateInUse certificate_in_use = CertificateInUse::kReport;
  std::vector<std::string> reserved_names;
  int min_rsa_bits = kMinRsaBitsFloor;  // policy can tighten the floor, never lower it
  TopicMode topics = TopicMode::kList;
  std::vector<TopicRule> topic_rules;  // REQUIRES: empty unless topics == kList
};

class Rules {
 public:
  // Fails with kInvalid, naming the offending field, when the spec contradicts itself.
  static Result<Rules> make(RulesSpec spec);

  const RulesSpec& spec() const noexcept { return spec_; }
  bool is_reserved(std::string_view name) const;

 private:
  explicit Rules(RulesSpec spec) : spec_(std::move(spec)) {}

  RulesSpec spec_;  // reserved_names sorted
};

// The configuration's words for the enumerators, in both directions of an error message:
// `cn san_uri san_dns` and so on. Used by config/ to parse and by `leafgate explain` to show.
std::string_view to_string(IdentitySource source);

}  // namespace leafgate::policy
