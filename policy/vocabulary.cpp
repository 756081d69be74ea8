// SPDX-License-Identifier: Apache-2.0
#include "policy/vocabulary.h"

#include <utility>

namespace leafgate::policy {
namespace {

constexpr std::string_view kDigits = "0123456789abcdef";

constexpr std::array<std::pair<CertState, std::string_view>, 6> kStoredStates{{
    {CertState::kPending, "pending"},
    {CertState::kActive, "active"},
    {CertState::kInactive, "inactive"},
    {CertState::kRetiring, "retiring"},
    {CertState::kRetired, "retired"},
    {CertState::kRevoked, "revoked"},
}};

// The value of a lower-case hex digit; nullopt for anything else.
std::optional<std::uint8_t> digit(char c) {
  const auto at = kDigits.find(c);
  if (at == std::string_view::npos) return std::nullopt;
  return static_cast<std::uint8_t>(at);
}

char to_lower(char c) {
  return c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
}

}  // namespace

std::string to_hex(const Fingerprint& fingerprint) {
  std::string text;
  text.reserve(kFingerprintDigits);
  for (const std::uint8_t byte : fingerprint.bytes) {
    text += kDigits[byte >> 4U];
    text += kDigits[byte & 0xFU];
  }
  return text;
}

std::optional<Fingerprint> parse_stored_fingerprint(std::string_view text) {
  if (text.size() != kFingerprintDigits) return std::nullopt;
  Fingerprint fingerprint;
  for (std::size_t i = 0; i < fingerprint.bytes.size(); ++i) {
    const auto high = digit(text[2 * i]);
    const auto low = digit(text[2 * i + 1]);
    if (!high || !low) return std::nullopt;
    fingerprint.bytes[i] = static_cast<std::uint8_t>(*high << 4U | *low);
  }
  return fingerprint;
}

std::optional<Fingerprint> parse_fingerprint(std::string_view text) {
  constexpr std::size_t kWithColons = kFingerprintDigits / 2 * 3 - 1;
  const bool colons = text.size() == kWithColons;
  if (!colons && text.size() != kFingerprintDigits) return std::nullopt;
  std::string digits;
  digits.reserve(kFingerprintDigits);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (colons && i % 3 == 2) {
      if (text[i] != ':') return std::nullopt;
    } else {
      digits += to_lower(text[i]);
    }
  }
  return parse_stored_fingerprint(digits);
}

std::string_view to_string(CertState state) {
  for (const auto& [known, word] : kStoredStates) {
    if (known == state) return word;
  }
  return "malformed";
}

std::optional<CertState> parse_cert_state(std::string_view text) {
  for (const auto& [state, word] : kStoredStates) {
    if (word == text) return state;
  }
  return std::nullopt;
}

std::optional<Block> stricter(const std::optional<Block>& a, const std::optional<Block>& b) {
  if (!a) return b;
  if (!b || !a->before) return a;
  if (!b->before) return b;
  return *a->before >= *b->before ? a : b;
}

}  // namespace leafgate::policy
