// SPDX-License-Identifier: Apache-2.0
// The words every part of leafgate uses: what a certificate says, what the registry says, what a
// client wants. Plain values without behaviour of their own; safe to copy between threads.
#pragma once

#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace leafgate::policy {

// UTC. Certificates and Redis fields carry whole seconds; key TTLs carry milliseconds.
using Time = std::chrono::sys_time<std::chrono::milliseconds>;

// "No deadline". Later than any time a certificate can express (RFC 5280 §4.1.2.5: year 9999).
inline constexpr Time kNever = Time::max();

// SHA-256 of a certificate's DER encoding.
struct Fingerprint {
  std::array<std::uint8_t, 32> bytes{};

  auto operator<=>(const Fingerprint&) const = default;
};

inline constexpr std::size_t kFingerprintDigits = 64;

// 64 lower-case hex digits: the only form that is ever stored.
std::string to_hex(const Fingerprint& fingerprint);

// Accepts the stored form only, so that two Redis keys can never name one certificate.
std::optional<Fingerprint> parse_stored_fingerprint(std::string_view text);

// Accepts what people paste: either case, with or without colons.
std::optional<Fingerprint> parse_fingerprint(std::string_view text);

// Public key algorithms we can tell apart. Everything else is kOther and refused as weak.
enum class KeyKind : std::uint8_t { kRsa, kP256, kP384, kP521, kEd25519, kEd448, kOther };

// Everything a decision needs to know of a certificate; nothing for display.
//
// Built only by certs::read_facts(). Strings are the certificate's own bytes: untrusted.
struct CertFacts {
  bool readable = false;  // false: some field could not be decoded; only `fingerprint` may be set
  Fingerprint fingerprint;
  Time not_before;  // inclusive
  Time not_after;   // inclusive: the last second of validity (RFC 5280 §4.1.2.5)
  KeyKind key = KeyKind::kOther;
  int key_bits = 0;
  bool weak_signature = false;            // signed with MD5, SHA-1 or something unknown
  bool client_auth = false;               // no extended key usage, or one with clientAuth
  std::vector<std::string> common_names;  // every CN of the subject, in order
  std::vector<std::string> organizational_units;
  std::vector<std::string> san_uris;  // subjectAltName, uniformResourceIdentifier
  std::vector<std::string> san_dns;   // subjectAltName, dNSName
  std::string issuer_key_id;          // authority key id, lower-case hex; empty when absent
  std::string issuer_name_id;         // `name-` and the SHA-256 of the canonical issuer DN, hex
};

// State of a certificate in the registry. Only kActive, and kRetiring before its deadline, admit.
enum class CertState : std::uint8_t {
  kPending,
  kActive,
  kInactive,
  kRetiring,
  kRetired,
  kRevoked,
  kMalformed,  // the record exists, its state is missing or not one of ours: never admits
};

// `pending`, `active` … ; `malformed` for kMalformed.
std::string_view to_string(CertState state);
// The stored words only; nullopt for anything else, `malformed` included.
std::optional<CertState> parse_cert_state(std::string_view text);

// What the registry holds of one certificate, as far as a decision needs it.
struct CertRecord {
  CertState state = CertState::kMalformed;
  Time retire_at = kNever;  // meaningful for kRetiring only
  Time gone_at = kNever;    // when the key's own TTL removes the record

  bool operator==(const CertRecord&) const = default;
};

// A block of a device or of an issuer.
struct Block {
  // Certificates with an earlier notBefore are refused; nullopt: all of them.
  std::optional<Time> before;

  bool operator==(const Block&) const = default;
};

// What the registry knows that concerns one certificate, gathered for one decision.
struct RegistryView {
  std::optional<CertRecord> record;
  std::optional<Block> device_block;
  std::optional<Block> issuer_block;  // of whichever issuer id refuses more: see stricter()
  bool stale = false;                 // the registry is too old to admit by
};

// The block that refuses more of the two; nullopt only when both are.
std::optional<Block> stricter(const std::optional<Block>& a, const std::optional<Block>& b);

enum class Access : std::uint8_t { kPublish, kSubscribe, kReceive };

// One topic action. `topic` is a topic name for kPublish and kReceive, a filter for kSubscribe.
struct TopicRequest {
  Access access = Access::kPublish;
  std::string_view topic;
};

// The MQTT side of what is being judged. Views must outlive the call they are passed to.
struct Session {
  std::string_view device;  // from device_id(); empty: it gave none
  std::string_view client_id;
  bool client_id_of_other_device = false;   // a live session of another device holds this client id
  bool certificate_live_elsewhere = false;  // this certificate is live under another client id
  std::optional<TopicRequest> topic;        // nullopt: the question is the connection itself
};

}  // namespace leafgate::policy
