// SPDX-License-Identifier: Apache-2.0
#include "tests/support/stream.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <stdexcept>

namespace leafgate::test {
namespace {

constexpr std::size_t kChunk = 16384;  // one TLS record

void require(bool done, const std::string& what) {
  if (done) return;
  char text[256];
  ERR_error_string_n(ERR_get_error(), text, sizeof text);
  throw std::runtime_error(what + ": " + text);
}

// OpenSSL writes with write(), so a closed connection would end the test binary.
void ignore_sigpipe() {
  static const auto once = std::signal(SIGPIPE, SIG_IGN);
  (void)once;
}

}  // namespace

Stream::~Stream() {
  ssl_.reset();
  if (fd_ >= 0) close(fd_);
}

Stream::Io Stream::open(int port, Deadline deadline) {
  ignore_sigpipe();
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) throw std::runtime_error("no socket to be had");
  const int on = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);

  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  if (connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
    return Io::kDone;
  }
  if (errno != EINPROGRESS) return Io::kEnd;
  if (const Io io = wait(POLLOUT, deadline); io != Io::kDone) return io;
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length);
  return error == 0 ? Io::kDone : Io::kEnd;
}

void Stream::prepare(const TlsOptions& options) {
  context_.reset(SSL_CTX_new(TLS_client_method()));
  require(context_ != nullptr, "SSL_CTX_new");
  SSL_CTX* context = context_.get();

  // Tests present weak keys on purpose: refusing them is the broker's business.
  SSL_CTX_set_security_level(context, 0);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  require(SSL_CTX_load_verify_locations(context, options.ca_file.c_str(), nullptr) == 1,
          "cannot load `" + options.ca_file + "`");
  if (!options.credential.certificate.empty()) {
    const CertFiles& own = options.credential;
    require(SSL_CTX_use_certificate_chain_file(context, own.certificate.c_str()) == 1,
            "cannot load `" + own.certificate + "`");
    require(SSL_CTX_use_PrivateKey_file(context, own.key.c_str(), SSL_FILETYPE_PEM) == 1,
            "cannot load `" + own.key + "`");
  }
  if (options.version != 0) {
    const int version = options.version == 12 ? TLS1_2_VERSION : TLS1_3_VERSION;
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
  }
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT);
  SSL_CTX_sess_set_new_cb(context, keep_session);
}

Stream::Io Stream::handshake(const TlsOptions& options, Deadline deadline) {
  prepare(options);
  ssl_.reset(SSL_new(context_.get()));
  require(ssl_ != nullptr && SSL_set_fd(ssl_.get(), fd_) == 1, "SSL_new");
  SSL_set_app_data(ssl_.get(), this);

  if (!options.session.empty()) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(options.session.data());
    SSL_SESSION* session =
        d2i_SSL_SESSION(nullptr, &bytes, static_cast<long>(options.session.size()));
    require(session != nullptr, "not a TLS session");
    SSL_set_session(ssl_.get(), session);
    SSL_SESSION_free(session);
  }
  for (;;) {
    ERR_clear_error();
    const int result = SSL_connect(ssl_.get());
    if (result == 1) return Io::kDone;
    if (const Io io = after(result, deadline); io != Io::kDone) {
      return io == Io::kTimeout ? io : Io::kTlsError;
    }
  }
}

Stream::Io Stream::write(const std::string& bytes, Deadline deadline) {
  std::size_t written = 0;
  while (written < bytes.size()) {
    const char* from = bytes.data() + written;
    const std::size_t left = bytes.size() - written;
    if (ssl_ == nullptr) {
      const ssize_t n = send(fd_, from, left, MSG_NOSIGNAL);
      if (n < 0 && errno != EAGAIN) return Io::kEnd;
      if (n > 0) written += static_cast<std::size_t>(n);
      if (const Io io = n < 0 ? wait(POLLOUT, deadline) : Io::kDone; io != Io::kDone) return io;
      continue;
    }
    ERR_clear_error();
    const int n = SSL_write(ssl_.get(), from, static_cast<int>(std::min(left, kChunk)));
    if (n > 0) written += static_cast<std::size_t>(n);
    if (const Io io = n > 0 ? Io::kDone : after(n, deadline); io != Io::kDone) return io;
  }
  return Io::kDone;
}

Stream::Io Stream::read(std::string& into, Deadline deadline) {
  char buffer[kChunk];
  for (;;) {
    Io io = Io::kDone;
    if (ssl_ == nullptr) {
      const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
      if (n > 0) {
        into.append(buffer, static_cast<std::size_t>(n));
        return Io::kDone;
      }
      if (n == 0 || errno != EAGAIN) return Io::kEnd;
      io = wait(POLLIN, deadline);
    } else {
      ERR_clear_error();
      const int n = SSL_read(ssl_.get(), buffer, sizeof buffer);
      if (n > 0) {
        into.append(buffer, static_cast<std::size_t>(n));
        return Io::kDone;
      }
      io = after(n, deadline);
    }
    if (io != Io::kDone) return io;
  }
}

bool Stream::resumed() const {
  return ssl_ != nullptr && SSL_session_reused(ssl_.get()) == 1;
}

Stream::Io Stream::wait(short events, Deadline deadline) const {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  pollfd entry{fd_, events, 0};
  const int ready = poll(&entry, 1, static_cast<int>(std::max<long>(0, left.count())));
  return ready > 0 ? Io::kDone : Io::kTimeout;
}

Stream::Io Stream::after(int result, Deadline deadline) const {
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      return wait(POLLIN, deadline);
    case SSL_ERROR_WANT_WRITE:
      return wait(POLLOUT, deadline);
    case SSL_ERROR_ZERO_RETURN:
    case SSL_ERROR_SYSCALL:
      return Io::kEnd;
    default:
      // 3.0 and later call an end of file without close_notify an error of its own.
      return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? Io::kEnd
                                                                                    : Io::kTlsError;
  }
}

int Stream::keep_session(SSL* ssl, SSL_SESSION* session) {
  auto* stream = static_cast<Stream*>(SSL_get_app_data(ssl));
  const int length = i2d_SSL_SESSION(session, nullptr);
  stream->session_.resize(static_cast<std::size_t>(length));
  auto* to = reinterpret_cast<unsigned char*>(stream->session_.data());
  i2d_SSL_SESSION(session, &to);
  return 0;  // the session stays OpenSSL's
}

}  // namespace leafgate::test
