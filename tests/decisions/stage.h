// SPDX-License-Identifier: Apache-2.0
// Sets a case up in the real world: certificates by the openssl command line, records and blocks in
// a private Redis by redis-cli, as a person would type them. One thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/decisions/corpus.h"
#include "tests/support/pki.h"
#include "tests/support/redis_server.h"

namespace leafgate::test {

class Stage {
 public:
  // The certificate of the case, or no file names for a client without one. An unreadable one and
  // one with an MD5 signature are there for `explain` only: TLS of this machine would not send
  // them.
  CertFiles certificate(const Case& c);
  // Writes the case's record and blocks; the issuer's block comes last.
  void write(const Case& c, const CertFiles& certificate);
  // Removes what write() wrote.
  void clear();

  // A certificate of the same CA that the case knows nothing of, registered as active.
  CertFiles other_device(const CertSpec& spec);

  Pki& pki() { return pki_; }
  RedisServer& redis() { return redis_; }
  // leafgate.yaml for the case.
  std::string yaml(const Case& c) const;

 private:
  void put(const std::string& key, const std::vector<std::string>& fields);
  void put_block(const std::string& key, const BlockFields& block);

  RedisServer redis_;
  Pki pki_;
  std::optional<Pki> rsa_pki_;  // MD5 signatures need an RSA CA
  std::vector<std::string> written_;
};

}  // namespace leafgate::test
