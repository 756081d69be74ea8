// SPDX-License-Identifier: Apache-2.0
// One device's connection to a broker: TCP, TLS with its certificate, MQTT 3.1.1. Never blocks;
// whoever owns it waits for its socket. One thread at a time.
#pragma once

#include <openssl/ssl.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>

#include "tests/bench/fleet.h"

namespace leafgate::bench {

struct FreeTls {
  void operator()(SSL* ssl) const { SSL_free(ssl); }
  void operator()(SSL_CTX* context) const { SSL_CTX_free(context); }
  void operator()(SSL_SESSION* session) const { SSL_SESSION_free(session); }
};
using TlsContext = std::unique_ptr<SSL_CTX, FreeTls>;
using TlsSession = std::unique_ptr<SSL_SESSION, FreeTls>;

// For any number of links. Does not verify the broker, so that the load costs less than what it
// measures.
TlsContext make_context();

// Where to, and how.
struct Door {
  int port = 0;
  bool with_password = false;  // user name: the device's name; password: `password`
  pid_t broker = 0;            // whose processor time counts
};

class Link {
 public:
  enum class State : std::uint8_t { kHandshake, kAwaiting, kAccepted, kRefused, kFailed };

  // Starts to connect; `session` may be nullptr, or what an earlier link said to resume().
  Link(const Door& door, const Device& device, SSL_CTX* context, SSL_SESSION* session);
  ~Link();
  Link(const Link&) = delete;
  Link& operator=(const Link&) = delete;

  int socket() const { return socket_; }
  State state() const { return state_; }
  bool over() const { return state_ == State::kRefused || state_ == State::kFailed; }
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  TlsSession resume() const { return TlsSession(SSL_get1_session(ssl_.get())); }

  // Goes as far as it can without waiting.
  void advance();

  // kAccepted only. False when the connection is gone or takes no more now.
  bool write(const std::string& bytes);
  // What has come since the last call, in bytes; kFailed when the connection ended.
  std::size_t discard();
  // DISCONNECT. The object's end closes the connection.
  void leave();

 private:
  void fail_unless_waiting(int result);

  int socket_;
  std::unique_ptr<SSL, FreeTls> ssl_;
  State state_ = State::kHandshake;
  std::string hello_;
  std::string answer_;
};

}  // namespace leafgate::bench
