// SPDX-License-Identifier: Apache-2.0
#include "registry/schema.h"

#include <algorithm>
#include <cassert>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <utility>

#include "policy/identity.h"

namespace leafgate::registry {
namespace {

constexpr std::size_t kNameBytesMax = 64;
constexpr std::int64_t kUnixSecondsMax = 253402300799;  // 9999-12-31T23:59:59Z, RFC 5280 §4.1.2.5
constexpr std::string_view kIssuerNamePrefix = "name-";

constexpr std::string_view kCert = "cert:";
constexpr std::string_view kBlockDevice = "block:device:";
constexpr std::string_view kBlockIssuer = "block:issuer:";
constexpr std::string_view kPulse = "pulse:";

// Not std::isalnum: that one depends on the locale.
bool is_alnum(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool is_hex_digit(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool is_hex(std::string_view text) {
  return std::all_of(text.begin(), text.end(), is_hex_digit);
}

bool is_name(std::string_view text, std::string_view punctuation) {
  return !text.empty() && text.size() <= kNameBytesMax &&
         std::all_of(text.begin(), text.end(), [&](char c) {
           return is_alnum(c) || punctuation.find(c) != std::string_view::npos;
         });
}

// `text` without `prefix`; nullopt when it does not start with it.
std::optional<std::string_view> after(std::string_view text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return std::nullopt;
  return text.substr(prefix.size());
}

std::string join(std::string_view a, std::string_view b, std::string_view c) {
  std::string text;
  text.reserve(a.size() + b.size() + c.size());
  return text.append(a).append(b).append(c);
}

KeyName named(KeyName::Kind kind, std::string_view id) {
  KeyName name;
  name.kind = kind;
  name.id = std::string(id);
  return name;
}

bool is_pulse_id(std::string_view text) {
  const std::size_t colon = text.find(':');
  return colon != std::string_view::npos && is_broker_name(text.substr(0, colon)) &&
         is_broker_name(text.substr(colon + 1));
}

}  // namespace

bool is_prefix(std::string_view text) {
  return text.ends_with(':') && is_name(text, "._:{}-");
}

bool is_broker_name(std::string_view text) {
  return is_name(text, "._-");
}

bool is_issuer_id(std::string_view text) {
  if (const auto digest = after(text, kIssuerNamePrefix)) {
    return digest->size() == policy::kFingerprintDigits && is_hex(*digest);
  }
  return !text.empty() && text.size() <= kNameBytesMax && is_hex(text);
}

std::string Schema::cert(const policy::Fingerprint& fingerprint) const {
  return join(prefix_, kCert, policy::to_hex(fingerprint));
}

std::string Schema::block_device(std::string_view device) const {
  return join(prefix_, kBlockDevice, device);
}

std::string Schema::block_issuer(std::string_view issuer) const {
  return join(prefix_, kBlockIssuer, issuer);
}

std::string Schema::broker(std::string_view name) const {
  return join(prefix_, "broker:", name);
}

std::string Schema::pulse(std::string_view name, std::string_view instance) const {
  return join(prefix_, kPulse, join(name, ":", instance));
}

std::vector<std::string> Schema::leases() const {
  return {prefix_ + "lease:rebuild:0", prefix_ + "lease:rebuild:1", prefix_ + "lease:audit"};
}

KeyName parse_key(const Schema& schema, std::string_view key) {
  const auto rest = after(key, schema.prefix());
  if (!rest) return {};
  if (const auto digits = after(*rest, kCert)) {
    const auto fingerprint = policy::parse_stored_fingerprint(*digits);
    if (!fingerprint) return {};
    KeyName name;
    name.kind = KeyName::Kind::kCert;
    name.fingerprint = *fingerprint;
    return name;
  }
  if (const auto id = after(*rest, kBlockDevice); id && policy::is_device_id(*id)) {
    return named(KeyName::Kind::kDeviceBlock, *id);
  }
  if (const auto id = after(*rest, kBlockIssuer); id && is_issuer_id(*id)) {
    return named(KeyName::Kind::kIssuerBlock, *id);
  }
  if (const auto id = after(*rest, kPulse); id && is_pulse_id(*id)) {
    return named(KeyName::Kind::kPulse, *id);
  }
  return {};
}

policy::CertRecord parse_record(const std::optional<std::string_view>& state,
                                const std::optional<std::string_view>& retire_at,
                                const std::optional<std::string_view>& revoked_at) {
  policy::CertRecord record;
  if (revoked_at && !revoked_at->empty()) {
    record.state = policy::CertState::kRevoked;
    return record;
  }
  const auto known = state ? policy::parse_cert_state(*state) : std::nullopt;
  if (!known) return record;
  if (*known == policy::CertState::kRetiring) {
    const auto deadline = retire_at ? parse_unix_seconds(*retire_at) : std::nullopt;
    if (!deadline) return record;
    record.retire_at = *deadline;
  }
  record.state = *known;
  return record;
}

policy::Block parse_block(const std::optional<std::string_view>& before) {
  policy::Block block;
  if (before) block.before = parse_unix_seconds(*before);
  return block;
}

std::optional<policy::Time> parse_unix_seconds(std::string_view text) {
  constexpr std::size_t kDigitsMax = 12;
  const bool digits =
      std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (text.empty() || text.size() > kDigitsMax || !digits) return std::nullopt;
  std::int64_t seconds = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (parsed.ec != std::errc() || seconds > kUnixSecondsMax) return std::nullopt;
  return policy::Time(std::chrono::seconds(seconds));
}

}  // namespace leafgate::registry
