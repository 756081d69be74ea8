// SPDX-License-Identifier: Apache-2.0
// Thousands of devices that are in and do nothing: one thread, a socket and a TLS state each.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/broker.h"

namespace leafgate::bench {

class Crowd {
 public:
  // Connects `each` sessions for every certificate, as `<name of the certificate>/<number>`; throws
  // when one is not admitted.
  struct Device {
    std::string name;
    test::CertFiles certificate;
  };
  Crowd(const test::Broker& broker, const std::vector<Device>& devices, std::size_t each);
  ~Crowd();
  Crowd(const Crowd&) = delete;
  Crowd& operator=(const Crowd&) = delete;

  std::size_t size() const { return sessions_.size(); }
  // Waits until the broker has closed all of them; false when `limit` passes first.
  bool all_ended(std::chrono::milliseconds limit);

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };
  struct Session {
    int fd = -1;
    std::unique_ptr<SSL, Free> ssl;
  };

  void connect(const test::ConnectOptions& options, SSL_CTX* context);

  int epoll_;
  std::vector<std::unique_ptr<SSL_CTX, Free>> contexts_;  // one for each certificate
  std::vector<Session> sessions_;
};

}  // namespace leafgate::bench
