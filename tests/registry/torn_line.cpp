// SPDX-License-Identifier: Apache-2.0
#include "tests/registry/torn_line.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>

namespace leafgate::test {
namespace {

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

int tcp_socket() {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}

// Each byte in a packet of its own, as far as the kernel lets it.
void pass_on(int to, const char* bytes, std::size_t size) {
  for (std::size_t i = 0; i < size; ++i) {
    if (::send(to, bytes + i, 1, MSG_NOSIGNAL) != 1) return;
  }
}

}  // namespace

TornLine::TornLine(int server_port, std::size_t bytes, End end)
    : server_port_(server_port), bytes_(bytes), end_(end), listener_(tcp_socket()) {
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, generic, &size) != 0) {
    throw std::runtime_error("the torn line cannot listen");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_clients(); });
}

TornLine::~TornLine() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ::shutdown(listener_, SHUT_RDWR);
    for (const int fd : sockets_)
      ::shutdown(fd, SHUT_RDWR);
  }
  acceptor_.join();
  for (std::thread& thread : relays_)
    thread.join();
  for (const int fd : sockets_)
    ::close(fd);
  ::close(listener_);
}

void TornLine::accept_clients() {
  while (true) {
    const int client = ::accept(listener_, nullptr, nullptr);
    if (client < 0) return;
    const int on = 1;
    ::setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const int server = tcp_socket();
    const sockaddr_in address = loopback(server_port_);
    ::connect(server, reinterpret_cast<const sockaddr*>(&address), sizeof address);
    const std::lock_guard lock(mutex_);
    sockets_.insert(sockets_.end(), {client, server});
    if (stopping_) ::shutdown(client, SHUT_RDWR);
    relays_.emplace_back([this, client, server] { relay(client, server); });
  }
}

void TornLine::relay(int client, int server) const {
  std::array<pollfd, 2> sides{pollfd{client, POLLIN, 0}, pollfd{server, POLLIN, 0}};
  std::size_t left = bytes_;
  std::array<char, 4096> bytes;
  while (::poll(sides.data(), sides.size(), -1) > 0) {
    if (sides[0].revents != 0) {
      const ssize_t n = ::recv(client, bytes.data(), bytes.size(), 0);
      if (n <= 0) break;
      pass_on(server, bytes.data(), static_cast<std::size_t>(n));
    }
    if (sides[1].revents == 0) continue;
    const ssize_t n = ::recv(server, bytes.data(), bytes.size(), 0);
    if (n <= 0) break;
    const std::size_t passed = std::min(left, static_cast<std::size_t>(n));
    pass_on(client, bytes.data(), passed);
    if (left > 0 && passed == left && end_ == End::kHalf) ::shutdown(client, SHUT_WR);
    left -= passed;
  }
  ::shutdown(client, SHUT_RDWR);
  ::shutdown(server, SHUT_RDWR);
}

}  // namespace leafgate::test
