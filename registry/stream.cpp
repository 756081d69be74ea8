// SPDX-License-Identifier: Apache-2.0
#include "registry/stream.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>

namespace leafgate::registry {
namespace {

class PlainStream final : public Stream {
 public:
  explicit PlainStream(Socket socket) : socket_(std::move(socket)) {}

  int fd() const noexcept override { return socket_.fd; }
  short events(bool unsent) const noexcept override {
    return static_cast<short>(unsent ? POLLIN | POLLOUT : POLLIN);
  }
  Result<bool> open() override { return true; }

  Result<std::size_t> read(std::span<char> bytes) override {
    if (std::exchange(drained_, false)) return std::size_t{0};
    const ssize_t n = ::recv(socket_.fd, bytes.data(), bytes.size(), 0);
    if (n == 0) return closed_by_peer();
    if (n < 0) return failed(errno);
    const auto size = static_cast<std::size_t>(n);
    // A short read emptied the socket: asking again would only cost a system call.
    drained_ = size < bytes.size();
    return size;
  }

  Result<std::size_t> write(std::string_view bytes) override {
    const ssize_t n = ::send(socket_.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0) return failed(errno);
    return static_cast<std::size_t>(n);
  }

 private:
  static Result<std::size_t> failed(int error) {
    if (would_block(error)) return std::size_t{0};
    return connection_lost(error);
  }

  Socket socket_;
  bool drained_ = false;
};

}  // namespace

Socket::~Socket() {
  if (fd >= 0) ::close(fd);
}

std::unique_ptr<Stream> plain_stream(Socket socket) {
  return std::make_unique<PlainStream>(std::move(socket));
}

bool would_block(int error) {
  return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

Error closed_by_peer() {
  return {ErrorKind::kUnreachable, "redis closed the connection"};
}

Error connection_lost(int error) {
  return {ErrorKind::kUnreachable, "connection lost: " + std::generic_category().message(error)};
}

}  // namespace leafgate::registry
