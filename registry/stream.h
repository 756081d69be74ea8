// SPDX-License-Identifier: Apache-2.0
// The bytes of one connection, on a socket that never waits: plain here, in TLS see tls.h. Writing
// to a peer that is gone raises no signal. One thread.
#pragma once

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace leafgate::registry {

// A descriptor that is closed with its owner; -1: none.
struct Socket {
  int fd = -1;
  Socket() = default;
  explicit Socket(int descriptor) : fd(descriptor) {}
  Socket(Socket&& other) noexcept : fd(std::exchange(other.fd, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd, other.fd);
    return *this;
  }
  ~Socket();
};

class Stream {
 public:
  virtual ~Stream() = default;

  virtual int fd() const noexcept = 0;
  // What to poll for. `unsent`: there are bytes that write() did not take.
  virtual short events(bool unsent) const noexcept = 0;

  // True when bytes may flow. Until then: call again when poll() says so.
  virtual Result<bool> open() = 0;
  // How many bytes were read; 0: there are none now. kUnreachable when the peer has closed. Without
  // a 0 there may be more although poll() says nothing.
  virtual Result<std::size_t> read(std::span<char> bytes) = 0;
  // How many bytes were taken; 0: none now.
  virtual Result<std::size_t> write(std::string_view bytes) = 0;
};

// REQUIRES: socket is connected and non-blocking.
std::unique_ptr<Stream> plain_stream(Socket socket);

// What errno means for a connection, in one voice for all streams.
bool would_block(int error);
Error closed_by_peer();
Error connection_lost(int error);

}  // namespace leafgate::registry
