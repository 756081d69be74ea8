// SPDX-License-Identifier: Apache-2.0
// What a small private CA needs: make a root and an issuing CA, issue device and server
// certificates with a correct profile (RFC 5280; docs/why.md says which choices are ours), write
// the files.
//
// Blocking, for the command line. Any one thread. Private keys never leave this layer but as
// handles and as files of mode 0600.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "certs/certificate.h"
#include "policy/vocabulary.h"

namespace leafgate::certs {

enum class NewKey { kP256, kP384, kEd25519, kRsa3072 };

Result<Key> generate_key(NewKey kind);

// A certificate together with the private key it belongs to.
struct Credential {
  Certificate certificate;
  Key key;
};

// An issuing certificate authority: its own credential.
struct CaRequest {
  std::string common_name;
  std::chrono::seconds validity{};
  NewKey key = NewKey::kP256;
};

// Self-signed; basicConstraints critical CA:TRUE, keyUsage critical keyCertSign and cRLSign.
Result<Credential> make_root(const CaRequest& request, policy::Time now);

// Signed by `root`, with pathlen 0: it can issue leaves and nothing below.
Result<Credential> make_issuing_ca(const CaRequest& request, const Credential& root,
                                   policy::Time now);

struct DeviceRequest {
  // A policy::is_device_id(). Becomes the CN as it is, and the SAN `URI:urn:device:<id>` with what
  // a URI cannot hold percent-encoded (RFC 8141 §2).
  std::string device;
  std::chrono::seconds validity{};
  NewKey key = NewKey::kP256;
};

// CN, SAN URI, basicConstraints critical CA:FALSE, keyUsage critical digitalSignature, EKU
// clientAuth, SKI, AKI; serial 16 random bytes; notBefore five minutes ago; notAfter never past the
// issuer's.
Result<Credential> issue_device(const DeviceRequest& request, const Credential& issuer,
                                policy::Time now);

struct ServerRequest {
  // 1 to 100 host names (letters, digits, hyphens; no wildcards) and IP addresses. The first
  // becomes the CN, which holds 64 characters at most.
  std::vector<std::string> names;
  std::chrono::seconds validity{};
  NewKey key = NewKey::kP256;
};

// As issue_device, with EKU serverAuth and the names as SAN DNS or IP.
Result<Credential> issue_server(const ServerRequest& request, const Credential& issuer,
                                policy::Time now);

// Reads a PEM certificate and its PEM key; kInvalid when they do not belong together.
Result<Credential> load_credential(const std::string& certificate_path,
                                   const std::string& key_path);

// Writes `key` as unencrypted PKCS#8 PEM, mode 0600, and `chain` as PEM, mode 0644. Neither file
// may exist: a key is never overwritten. On failure neither is left behind.
Result<void> write_credential(const evp_pkey_st& key, const std::vector<const x509_st*>& chain,
                              const std::string& key_path, const std::string& certificate_path);

}  // namespace leafgate::certs
