// SPDX-License-Identifier: Apache-2.0
// The byte stream below the MQTT client: TCP to the loopback address, TLS or not, every step with a
// deadline. One thread at a time.
#pragma once

#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <string>

#include "tests/support/pki.h"

namespace leafgate::test {

using Deadline = std::chrono::steady_clock::time_point;

struct TlsOptions {
  std::string ca_file;
  CertFiles credential;  // empty paths: none
  std::string session;   // DER; resumed when the server agrees
  int version = 0;       // 12 or 13 pins it
};

class Stream {
 public:
  enum class Io { kDone, kEnd, kTlsError, kTimeout };

  Stream() = default;
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Io open(int port, Deadline deadline);
  // Throws std::runtime_error when the files cannot be used: that is a mistake of the test.
  Io handshake(const TlsOptions& options, Deadline deadline);

  Io write(const std::string& bytes, Deadline deadline);
  // Appends what has come, at least one byte when kDone.
  Io read(std::string& into, Deadline deadline);

  bool resumed() const;
  const std::string& session() const { return session_; }

 private:
  struct Free {
    void operator()(SSL* ssl) const { SSL_free(ssl); }
    void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  };

  void prepare(const TlsOptions& options);
  Io wait(short events, Deadline deadline) const;
  // What to do after an SSL function returned `result`; kDone: it can be called again.
  Io after(int result, Deadline deadline) const;
  static int keep_session(SSL* ssl, SSL_SESSION* session);

  int fd_ = -1;
  std::unique_ptr<SSL_CTX, Free> context_;
  std::unique_ptr<SSL, Free> ssl_;
  std::string session_;
};

}  // namespace leafgate::test
