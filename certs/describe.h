// SPDX-License-Identifier: Apache-2.0
// A certificate in words: for people (`cert show`, `explain`) and for the registry's record. Not
// for decisions, and not for the broker's thread.
#pragma once

#include <string>
#include <vector>

#include "certs/certificate.h"
#include "policy/vocabulary.h"

namespace leafgate::certs {

// Names are RFC 2253 strings with everything outside printable ASCII escaped.
struct Description {
  policy::Fingerprint fingerprint;
  std::string subject;
  std::string issuer;
  // Lower-case hex, two digits a byte, at most 20 bytes (RFC 5280 §4.1.2.2). A negative one
  // begins with `-`.
  std::string serial;
  std::string issuer_key_id;    // authority key id, lower-case hex; empty when absent
  std::string subject_key_id;   // likewise
  std::string subject_name_id;  // the issuer_name_id (policy/vocabulary.h) of what it issues
  std::string spki;             // SHA-256 of the SubjectPublicKeyInfo's DER, 64 hex digits
  policy::Time not_before;
  policy::Time not_after;  // inclusive
  std::string key;         // e.g. `P-256`, `RSA 2048`, `Ed25519`
  std::string signature;   // e.g. `ecdsa-with-SHA256`
  bool is_ca = false;
  std::vector<std::string> san;        // `URI:…`, `DNS:…`, `IP:…`, `email:…`
  std::vector<std::string> key_usage;  // RFC 5280 names, extended ones included
};

// kInvalid when a field that every certificate has cannot be decoded.
Result<Description> describe(const x509_st& certificate);

}  // namespace leafgate::certs
