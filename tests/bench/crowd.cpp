// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/crowd.h"

#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <stdexcept>

#include "tests/support/mqtt_packets.h"

namespace leafgate::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

void require(bool done, const std::string& what) {
  if (!done) throw std::runtime_error("a crowd's session failed: " + what);
}

SSL_CTX* context_for(const test::ConnectOptions& options) {
  SSL_CTX* context = SSL_CTX_new(TLS_client_method());
  const auto& own = options.credential;
  require(SSL_CTX_use_certificate_chain_file(context, own.certificate.c_str()) == 1, "certificate");
  require(SSL_CTX_use_PrivateKey_file(context, own.key.c_str(), SSL_FILETYPE_PEM) == 1, "key");
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  return context;
}

int connected_socket(int port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  require(fd >= 0 && connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0,
          "no connection: raise `ulimit -n`?");
  return fd;
}

}  // namespace

Crowd::Crowd(const test::Broker& broker, const std::vector<Device>& devices, std::size_t each)
    : epoll_(epoll_create1(EPOLL_CLOEXEC)) {
  std::signal(SIGPIPE, SIG_IGN);
  for (const Device& device : devices) {
    test::ConnectOptions options = broker.client(device.certificate, device.name);
    options.keepalive_s = 0;
    contexts_.emplace_back(context_for(options));
    for (std::size_t i = 0; i < each; ++i) {
      options.client_id = device.name + "/" + std::to_string(i);
      connect(options, contexts_.back().get());
    }
  }
}

Crowd::~Crowd() {
  for (const Session& session : sessions_) {
    if (session.fd >= 0) close(session.fd);
  }
  close(epoll_);
}

void Crowd::connect(const test::ConnectOptions& options, SSL_CTX* context) {
  Session& session = sessions_.emplace_back();
  session.fd = connected_socket(options.port);
  session.ssl.reset(SSL_new(context));
  SSL_set_fd(session.ssl.get(), session.fd);
  require(SSL_connect(session.ssl.get()) == 1, "TLS");
  const std::string hello = test::packet::connect(options);
  require(SSL_write(session.ssl.get(), hello.data(), static_cast<int>(hello.size())) > 0,
          "CONNECT");
  std::array<char, 256> answer{};
  const int got = SSL_read(session.ssl.get(), answer.data(), answer.size());
  require(got >= 4 && answer[0] == 0x20 && answer[3] == 0, options.client_id + " was not admitted");

  epoll_event event{};
  event.events = EPOLLRDHUP;
  event.data.u64 = sessions_.size() - 1;
  epoll_ctl(epoll_, EPOLL_CTL_ADD, session.fd, &event);
}

bool Crowd::all_ended(milliseconds limit) {
  const auto end = Clock::now() + limit;
  std::size_t ended = 0;
  std::array<epoll_event, 256> events{};
  while (ended < sessions_.size() && Clock::now() < end) {
    const int count = epoll_wait(epoll_, events.data(), events.size(), 100);
    for (int i = 0; i < count; ++i) {
      close(std::exchange(sessions_[events[static_cast<std::size_t>(i)].data.u64].fd, -1));
      ++ended;
    }
  }
  return ended == sessions_.size();
}

}  // namespace leafgate::bench
