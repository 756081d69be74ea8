// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/link.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <stdexcept>

#include "tests/support/mqtt_packets.h"

namespace leafgate::bench {
namespace {

int start_connecting(int port) {
  const int number = ::socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (number < 0) throw std::runtime_error("no more sockets: raise `ulimit -n`");
  const int on = 1;
  setsockopt(number, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  const int rc = connect(number, reinterpret_cast<const sockaddr*>(&address), sizeof address);
  if (rc != 0 && errno != EINPROGRESS) throw std::runtime_error("cannot connect to the broker");
  return number;
}

std::string hello_of(const Door& door, const Device& device) {
  test::ConnectOptions options;
  options.client_id = device.name;
  options.version = 4;
  options.keepalive_s = 0;
  if (door.with_password) {
    options.username = device.name;
    options.password = "password";
  }
  return test::packet::connect(options);
}

int trust_everybody(X509_STORE_CTX*, void*) {
  return 1;
}

}  // namespace

TlsContext make_context() {
  TlsContext context(SSL_CTX_new(TLS_client_method()));
  SSL_CTX_set_cert_verify_callback(context.get(), trust_everybody, nullptr);
  // A connection that ends without a close_notify takes its session with it, and nobody could
  // resume.
  SSL_CTX_set_quiet_shutdown(context.get(), 1);
  SSL_CTX_set_mode(context.get(), SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE);
  return context;
}

Link::Link(const Door& door, const Device& device, SSL_CTX* context, SSL_SESSION* session)
    : socket_(start_connecting(door.port)), ssl_(SSL_new(context)), hello_(hello_of(door, device)) {
  SSL_set_fd(ssl_.get(), socket_);
  if (SSL_use_certificate(ssl_.get(), device.certificate.get()) != 1 ||
      SSL_use_PrivateKey(ssl_.get(), device.key.get()) != 1) {
    throw std::runtime_error("the certificate of " + device.name + " cannot be used");
  }
  if (session != nullptr) SSL_set_session(ssl_.get(), session);
}

Link::~Link() {
  close(socket_);
}

void Link::fail_unless_waiting(int result) {
  const int reason = SSL_get_error(ssl_.get(), result);
  if (reason != SSL_ERROR_WANT_READ && reason != SSL_ERROR_WANT_WRITE) state_ = State::kFailed;
}

void Link::advance() {
  if (state_ == State::kHandshake) {
    const int result = SSL_connect(ssl_.get());
    if (result != 1) return fail_unless_waiting(result);
    state_ = State::kAwaiting;
    if (!write(hello_)) state_ = State::kFailed;
  }
  if (state_ != State::kAwaiting) return;
  std::array<char, 64> buffer{};
  const int got = SSL_read(ssl_.get(), buffer.data(), buffer.size());
  if (got <= 0) return fail_unless_waiting(got);
  answer_.append(buffer.data(), static_cast<std::size_t>(got));
  if (answer_.size() < 4) return;
  state_ = answer_[0] == 0x20 && answer_[3] == 0 ? State::kAccepted : State::kRefused;
}

bool Link::write(const std::string& bytes) {
  const int size = static_cast<int>(bytes.size());
  return SSL_write(ssl_.get(), bytes.data(), size) == size;
}

std::size_t Link::discard() {
  std::array<char, 16384> buffer;
  std::size_t all = 0;
  for (;;) {
    const int got = SSL_read(ssl_.get(), buffer.data(), buffer.size());
    if (got <= 0) {
      fail_unless_waiting(got);
      return all;
    }
    all += static_cast<std::size_t>(got);
  }
}

void Link::leave() {
  write(test::packet::disconnect());
  SSL_shutdown(ssl_.get());
}

}  // namespace leafgate::bench
