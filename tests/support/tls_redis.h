// SPDX-License-Identifier: Apache-2.0
// A private Redis that also speaks TLS, on a port of its own, with a CA of its own.
#pragma once

#include <string>

#include "registry/endpoint.h"
#include "tests/support/pki.h"
#include "tests/support/redis_server.h"

namespace leafgate::test {

class TlsRedis {
 public:
  // `clients`: whether they need a certificate: `no`, `optional`, `yes`.
  explicit TlsRedis(const std::string& clients = "no");

  registry::Endpoint endpoint() const;  // trusts our CA
  std::string url() const;
  // What connections from now on get to see.
  void present(const CertFiles& shown) const;
  // Lines for a sentinel of ours, which then speaks TLS on `sentinel_port` as well.
  std::string sentinel_settings(int sentinel_port) const;

  Pki pki;
  const CertFiles certificate = pki.server();
  const int port = free_port();  // for TLS; server.port() is plain
  RedisServer server;            // last: it needs all of the above
};

}  // namespace leafgate::test
