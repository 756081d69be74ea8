// SPDX-License-Identifier: Apache-2.0
// Every key leafgate keeps in Redis. If it is not here, it does not exist.
//
//   key (after the prefix)   type    holds                                        written by
//   cert:<fingerprint>       hash    state and facts of one certificate           Lua, people
//   block:device:<id>        hash    before, note, updated_at, updated_by         Lua, people
//   block:issuer:<id>        hash    the same                                     Lua, people
//   index:device             zset    `<device>/<fingerprint>`, score 0            Lua
//   index:spki               zset    `<spki>/<fingerprint>`, score 0              Lua
//   index:expiry             zset    `<fingerprint>`, score notAfter              Lua
//   meta                     hash    id, format, seq, device_id; see below        Lua
//   log                      stream  every transition, bounded                    Lua
//   events                   stream  what brokers saw, bounded                    brokers
//   broker:<name>            hash    what a broker says of itself; has a TTL      that broker
//   pulse:<name>:<instance>  string  canary of a broker's sync thread; has a TTL  that broker
//   lease:rebuild:<0|1>      string  the instance that reads everything; has a TTL  brokers
//   lease:audit              string  the instance that compares; has a TTL          brokers
//
// Lua is registry/transition.lua; people may write certificates and blocks by a bare HSET, which
// misses log and indexes. Times are Unix seconds. `version` is the log's `seq` of the last
// transition. meta's `id` names the data set; a broker that finds another one than it remembers, or
// none, holds absences back until `replaces` is the one it remembers. `confirmed` is the `seq` of
// the last confirmation; when it changes, brokers forget what they refused although Redis, having
// lost writes, says active. `restored` changes when a backup gets its id back; brokers then keep
// what they refuse although the backup, being older, says active. A record with a non-empty
// `revoked_at` is revoked whatever `state` says. Stored values are at most kValueBytesMax long:
// Redis keeps such hashes compact. Brokers write only events, broker:*, pulse:* and lease:*. The
// indexes are for people and services; brokers never read them. Nothing else may exist under the
// prefix. Pure functions; any thread.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/vocabulary.h"

namespace leafgate::registry {

inline constexpr std::size_t kValueBytesMax = 64;
inline constexpr std::string_view kDefaultPrefix = "leafgate:";
inline constexpr std::string_view kFormat = "1";

namespace field {
inline constexpr std::string_view kState = "state";
inline constexpr std::string_view kDevice = "device";
inline constexpr std::string_view kSerial = "serial";
inline constexpr std::string_view kIssuer = "issuer";
inline constexpr std::string_view kNotBefore = "not_before";
inline constexpr std::string_view kNotAfter = "not_after";
inline constexpr std::string_view kSpki = "spki";
inline constexpr std::string_view kRetireAt = "retire_at";
inline constexpr std::string_view kRevokedAt = "revoked_at";
inline constexpr std::string_view kReason = "reason";  // RFC 5280 §5.3.1 name
inline constexpr std::string_view kNote = "note";
inline constexpr std::string_view kVersion = "version";
inline constexpr std::string_view kUpdatedAt = "updated_at";
inline constexpr std::string_view kUpdatedBy = "updated_by";
inline constexpr std::string_view kBefore = "before";
}  // namespace field

// True for a non-empty prefix of at most 64 bytes from [A-Za-z0-9._:{}-] that ends in `:`.
bool is_prefix(std::string_view text);
// True for [A-Za-z0-9._-]{1,64}.
bool is_broker_name(std::string_view text);
// True for `name-` and 64 hex digits, or 1..64 lower-case hex digits (an AKI key id).
bool is_issuer_id(std::string_view text);

// The key names under one prefix.
class Schema {
 public:
  // REQUIRES: is_prefix(prefix)
  explicit Schema(std::string prefix = std::string(kDefaultPrefix)) : prefix_(std::move(prefix)) {}

  const std::string& prefix() const noexcept { return prefix_; }

  std::string cert(const policy::Fingerprint& fingerprint) const;
  std::string block_device(std::string_view device) const;
  std::string block_issuer(std::string_view issuer) const;
  std::string index_device() const { return prefix_ + "index:device"; }
  std::string index_spki() const { return prefix_ + "index:spki"; }
  std::string index_expiry() const { return prefix_ + "index:expiry"; }
  std::string meta() const { return prefix_ + "meta"; }
  std::string log() const { return prefix_ + "log"; }
  std::string events() const { return prefix_ + "events"; }
  std::string broker(std::string_view name) const;
  std::string pulse(std::string_view name, std::string_view instance) const;
  std::vector<std::string> leases() const;  // the two of rebuilds, then the one of audits

  std::string cert_prefix() const { return prefix_ + "cert:"; }
  std::string block_prefix() const { return prefix_ + "block:"; }

 private:
  std::string prefix_;
};

// What kind of thing a key that came from Redis names.
struct KeyName {
  enum class Kind { kCert, kDeviceBlock, kIssuerBlock, kPulse, kOther } kind = Kind::kOther;
  policy::Fingerprint fingerprint;  // kCert
  std::string id;                   // of the device or issuer; kPulse: `<name>:<instance>`
};

// kOther for everything that is not canonical: a fingerprint in upper case names nothing.
KeyName parse_key(const Schema& schema, std::string_view key);

// What a decision needs of a `cert:` hash, from its raw fields (nullopt: the field is not there).
// Total: an unknown state, or a retiring record without a readable retire_at, is kMalformed; a
// non-empty revoked_at is kRevoked. `gone_at` is left at kNever.
policy::CertRecord parse_record(const std::optional<std::string_view>& state,
                                const std::optional<std::string_view>& retire_at,
                                const std::optional<std::string_view>& revoked_at);

// A block from its raw `before` field: absent or malformed means all certificates.
policy::Block parse_block(const std::optional<std::string_view>& before);

// Decimal Unix seconds, 0..253402300799 (year 9999); nullopt for anything else.
std::optional<policy::Time> parse_unix_seconds(std::string_view text);

}  // namespace leafgate::registry
