// SPDX-License-Identifier: Apache-2.0
#include "tests/support/tls_redis.h"

#include <stdexcept>

namespace leafgate::test {

TlsRedis::TlsRedis(const std::string& clients)
    : server({.arguments = {"--tls-port", std::to_string(port), "--tls-cert-file",
                            certificate.certificate, "--tls-key-file", certificate.key,
                            "--tls-ca-cert-file", pki.ca_file(), "--tls-auth-clients", clients}}) {}

registry::Endpoint TlsRedis::endpoint() const {
  registry::Endpoint endpoint;
  endpoint.port = static_cast<std::uint16_t>(port);
  endpoint.tls.emplace().ca_file = pki.ca_file();
  return endpoint;
}

std::string TlsRedis::url() const {
  return "rediss://127.0.0.1:" + std::to_string(port) + "/0";
}

std::string TlsRedis::sentinel_settings(int sentinel_port) const {
  return "tls-port " + std::to_string(sentinel_port) + "\ntls-cert-file " +
         certificate.certificate + "\ntls-key-file " + certificate.key + "\ntls-ca-cert-file " +
         pki.ca_file() + "\ntls-auth-clients no\ntls-replication yes\n";
}

void TlsRedis::present(const CertFiles& shown) const {
  const std::string answer =
      server.cli({"config", "set", "tls-cert-file", shown.certificate, "tls-key-file", shown.key});
  if (answer != "OK") throw std::runtime_error("redis does not take a certificate: " + answer);
}

}  // namespace leafgate::test
