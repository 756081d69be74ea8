// SPDX-License-Identifier: Apache-2.0
// Certificates for tests, made by the openssl command line and never by our own code, so that a bug
// of ours cannot hide in its own fixtures.
#pragma once

#include <string>
#include <vector>

#include "tests/support/process.h"

namespace leafgate::test {

struct CertFiles {
  std::string certificate;  // PEM path
  std::string key;          // PEM path
  std::string fingerprint;  // 64 lower-case hex digits, as `openssl x509 -fingerprint -sha256` says
};

struct CertSpec {
  std::string cn = "dev1";            // empty: no CN in the subject
  std::string subject = "";           // openssl -subj syntax; overrides cn when not empty
  std::vector<std::string> san = {};  // e.g. `URI:urn:device:dev1`
  std::string key = "P-256";      // P-256 P-384 P-521 ed25519 ed448 rsa:2048 rsa:1024 secp256k1 …
  std::string digest = "sha256";  // sha1, sha512 …; md5 with an RSA CA only
  std::string extended_key_usage = "clientAuth";  // empty: no extension
  bool ca = false;
  bool authority_key_id = true;
  std::string not_before = "-1h";  // relative to now: -1h +30d …; or YYYYMMDDHHMMSSZ
  std::string not_after = "+30d";
};

// A certificate authority in a folder of its own.
class Pki {
 public:
  // `key` as in CertSpec; MD5 signatures need an RSA one.
  explicit Pki(const std::string& common_name = "test CA", const std::string& key = "P-256");

  const std::string& ca_file() const { return ca_.certificate; }
  const CertFiles& ca() const { return ca_; }
  CertFiles issue(const CertSpec& spec);
  // EKU serverAuth, SAN 127.0.0.1 and localhost.
  CertFiles server();

 private:
  TempDir dir_;
  CertFiles ca_;
  int next_ = 0;
};

}  // namespace leafgate::test
