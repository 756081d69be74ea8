// SPDX-License-Identifier: Apache-2.0
// The pieces certificates are made of, decoded the one way that facts and descriptions share. Not
// for other folders. Each function is total: it takes whatever a parsed certificate may hold.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "certs/openssl.h"
#include "policy/vocabulary.h"

namespace leafgate::certs {

std::string hex(std::span<const std::uint8_t> bytes);

inline std::span<const std::uint8_t> bytes_of(const ASN1_STRING& string) {
  return {ASN1_STRING_get0_data(&string), static_cast<std::size_t>(ASN1_STRING_length(&string))};
}

// Fetched once: looking it up again costs as much as hashing a certificate. Any thread.
const EVP_MD* sha256_method();

// SHA-256. Throws std::bad_alloc when OpenSSL cannot.
policy::Fingerprint sha256(std::span<const std::uint8_t> bytes);

// nullopt when `time` is not a UTCTime or GeneralizedTime of the proleptic Gregorian calendar.
std::optional<policy::Time> to_time(const ASN1_TIME& time);

// nullopt for an embedded NUL, for bytes the string's type cannot hold, and for types that are not
// character strings. T61String is read as Latin-1, as everybody writes it.
std::optional<std::string> to_utf8(const ASN1_STRING& string);

// A distinguished name as an issuer id: `name-` and the SHA-256 of its canonical form in DER. Names
// that OpenSSL takes for the same have the same: each text is a UTF8String with blanks at its ends
// removed, others collapsed, and ASCII in lower case. nullopt when OpenSSL cannot encode it.
std::optional<std::string> name_id(const X509_NAME& name);

// `kind` is kOther and `bits` 0 for a key that cannot be decoded. An elliptic curve counts only
// when it is named: parameters spelled out can describe a curve of the sender's own making.
struct PublicKey {
  policy::KeyKind kind = policy::KeyKind::kOther;
  int bits = 0;
};
PublicKey public_key(const x509_st& certificate);

}  // namespace leafgate::certs
