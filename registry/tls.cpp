// SPDX-License-Identifier: Apache-2.0
#include "registry/tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <limits>
#include <new>
#include <system_error>
#include <utility>

namespace leafgate::registry {
namespace {

template <auto function>
struct Freed {
  template <typename T>
  void operator()(T* object) const noexcept {
    function(object);
  }
};
using Context = std::unique_ptr<SSL_CTX, Freed<SSL_CTX_free>>;
using Session = std::unique_ptr<SSL, Freed<SSL_free>>;
using Method = std::unique_ptr<BIO_METHOD, Freed<BIO_meth_free>>;

// ---- the socket, as OpenSSL sees it: its own kind of socket BIO would raise SIGPIPE.

struct Wire {
  Socket socket;
  int error = 0;       // the errno that ended it
  bool ended = false;  // the peer has closed
};

Wire& wire_of(BIO* bio) {
  return *static_cast<Wire*>(BIO_get_data(bio));
}

int wire_read(BIO* bio, char* bytes, int size) {
  Wire& wire = wire_of(bio);
  BIO_clear_retry_flags(bio);
  const ssize_t n = ::recv(wire.socket.fd, bytes, static_cast<std::size_t>(size), 0);
  if (n == 0) wire.ended = true;
  if (n < 0 && would_block(errno)) {
    BIO_set_retry_read(bio);
  } else if (n < 0) {
    wire.error = errno;
  }
  return static_cast<int>(n);
}

int wire_write(BIO* bio, const char* bytes, int size) {
  Wire& wire = wire_of(bio);
  BIO_clear_retry_flags(bio);
  const ssize_t n = ::send(wire.socket.fd, bytes, static_cast<std::size_t>(size), MSG_NOSIGNAL);
  if (n < 0 && would_block(errno)) {
    BIO_set_retry_write(bio);
  } else if (n < 0) {
    wire.error = errno;
  }
  return static_cast<int>(n);
}

long wire_control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

int wire_create(BIO* bio) {
  BIO_set_init(bio, 1);
  return 1;
}

const BIO_METHOD* wire_method() {
  static const Method method = [] {
    Method made(BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "leafgate"));
    if (made == nullptr) throw std::bad_alloc();
    BIO_meth_set_read(made.get(), wire_read);
    BIO_meth_set_write(made.get(), wire_write);
    BIO_meth_set_ctrl(made.get(), wire_control);
    BIO_meth_set_create(made.get(), wire_create);
    return made;
  }();
  return method.get();
}

// ---- the files

// OpenSSL's own reader would wait for a FIFO, and say less.
Result<void> check_file(const std::string& what, const std::string& path) {
  const auto failed = [&](const std::string& why) {
    return Error{ErrorKind::kInvalid, "cannot read the " + what + " `" + path + "`: " + why};
  };
  const Socket file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat status {};
  if (file.fd < 0 || ::fstat(file.fd, &status) != 0) {
    return failed(std::generic_category().message(errno));
  }
  if (!S_ISREG(status.st_mode)) return failed("it is not a regular file");
  return {};
}

// The oldest reason in OpenSSL's queue, in its words.
std::string reason() {
  const char* const text = ERR_reason_error_string(ERR_peek_error());
  return text == nullptr ? "no reason given" : text;
}

Result<void> load(const std::string& what, const std::string& path, const auto& take) {
  if (Result<void> checked = check_file(what, path); !checked) return checked;
  ERR_clear_error();
  if (take()) return {};
  return Error{ErrorKind::kInvalid, "the " + what + " `" + path + "` is not usable: " + reason()};
}

// Nobody is there to type a passphrase.
int no_passphrase(char*, int, int, void*) {
  return 0;
}

Result<void> load_files(SSL_CTX* context, const Tls& tls) {
  Result<void> loaded;
  if (tls.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context);
  } else {
    loaded = load("CA file", tls.ca_file,
                  [&] { return SSL_CTX_load_verify_file(context, tls.ca_file.c_str()) == 1; });
  }
  if (!loaded || tls.cert_file.empty()) return loaded;
  SSL_CTX_set_default_passwd_cb(context, no_passphrase);
  loaded = load("certificate file", tls.cert_file, [&] {
    return SSL_CTX_use_certificate_chain_file(context, tls.cert_file.c_str()) == 1;
  });
  if (!loaded) return loaded;
  return load("key file", tls.key_file, [&] {
    return SSL_CTX_use_PrivateKey_file(context, tls.key_file.c_str(), SSL_FILETYPE_PEM) == 1;
  });
}

// ---- what went wrong

struct Advice {
  int reason;
  std::string_view text;
};
constexpr std::string_view kWantsOurs = "redis wants a client certificate: set cert_file";
constexpr std::string_view kRefusesOurs =
    "redis does not accept our client certificate: check cert_file";
constexpr std::array kAdvice = {
    Advice{SSL_R_WRONG_VERSION_NUMBER, "no TLS is spoken there: check the port, or use redis://"},
    Advice{SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED, kWantsOurs},
    Advice{SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
           "redis wants a client certificate or other ciphers: set cert_file"},
    Advice{SSL_R_TLSV1_ALERT_UNKNOWN_CA, kRefusesOurs},
    Advice{SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, kRefusesOurs},
    Advice{SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED, kRefusesOurs},
    Advice{SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED, kRefusesOurs},
    Advice{SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, kRefusesOurs},
    Advice{SSL_R_SSLV3_ALERT_UNSUPPORTED_CERTIFICATE, kRefusesOurs},
};

std::string_view advice_for_certificate(long verdict) {
  switch (verdict) {
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
      return "connect by a name in it, or set server_name to one";
    case X509_V_ERR_CERT_NOT_YET_VALID:
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return "renew it, or correct this machine's clock";
    case X509_V_ERR_OUT_OF_MEM:
      return "nothing can be checked";
    default:
      return "ca_file must hold the CA that issued it";
  }
}

// ---- the stream

class TlsStream final : public Stream {
 public:
  TlsStream(Socket socket, Context context)
      : context_(std::move(context)), session_(SSL_new(context_.get())) {
    wire_.socket = std::move(socket);
    BIO* const bio = BIO_new(wire_method());
    if (session_ == nullptr || bio == nullptr) {
      BIO_free(bio);
      throw std::bad_alloc();
    }
    BIO_set_data(bio, &wire_);
    SSL_set_bio(session_.get(), bio, bio);
  }
  ~TlsStream() override {
    if (open_) SSL_shutdown(session_.get());
    ERR_clear_error();
  }

  // `name`: what the server's certificate must be for. False: it cannot be one.
  bool expect(const std::string& name);

  int fd() const noexcept override { return wire_.socket.fd; }
  short events(bool unsent) const noexcept override {
    if (!open_) return wanted_;
    const bool write = reader_writes_ || (unsent && !writer_reads_);
    return static_cast<short>(write ? POLLIN | POLLOUT : POLLIN);
  }

  Result<bool> open() override;
  Result<std::size_t> read(std::span<char> bytes) override;
  Result<std::size_t> write(std::string_view bytes) override;

 private:
  static int verify(X509_STORE_CTX* chain, void* stream);
  bool waits(int result);
  Error failure() const;

  Context context_;
  Wire wire_;
  Session session_;  // refers to wire_
  std::string name_;
  bool name_is_address_ = false;
  bool open_ = false;
  short wanted_ = POLLOUT;      // the direction that the last call waits for
  bool reader_writes_ = false;  // TLS has messages of its own: reading may wait for writing,
  bool writer_reads_ = false;   // and the other way round
};

bool TlsStream::expect(const std::string& name) {
  name_ = name;
  std::array<unsigned char, sizeof(in6_addr)> address{};
  name_is_address_ = ::inet_pton(AF_INET, name.c_str(), address.data()) == 1 ||
                     ::inet_pton(AF_INET6, name.c_str(), address.data()) == 1;
  SSL_CTX_set_cert_verify_callback(context_.get(), verify, this);
  return name_is_address_ || SSL_set_tlsext_host_name(session_.get(), name.c_str()) == 1;
}

// The name is set here, where a failure shows: OpenSSL 3.0 goes on without the one of
// SSL_set1_host() when there is no memory to copy it.
int TlsStream::verify(X509_STORE_CTX* chain, void* stream) {
  const TlsStream& self = *static_cast<const TlsStream*>(stream);
  X509_VERIFY_PARAM* const wanted = X509_STORE_CTX_get0_param(chain);
  const int set = self.name_is_address_
                      ? X509_VERIFY_PARAM_set1_ip_asc(wanted, self.name_.c_str())
                      : X509_VERIFY_PARAM_set1_host(wanted, self.name_.c_str(), self.name_.size());
  if (set == 1) return X509_verify_cert(chain);
  X509_STORE_CTX_set_error(chain, X509_V_ERR_OUT_OF_MEM);
  return 0;
}

// Whether a call that did not succeed may succeed later, and what it waits for.
bool TlsStream::waits(int result) {
  const int error = SSL_get_error(session_.get(), result);
  wanted_ = error == SSL_ERROR_WANT_WRITE ? POLLOUT : POLLIN;
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

Result<bool> TlsStream::open() {
  ERR_clear_error();
  const int result = SSL_connect(session_.get());
  open_ = result == 1;
  if (open_ || waits(result)) return open_;
  return failure();
}

Result<std::size_t> TlsStream::read(std::span<char> bytes) {
  ERR_clear_error();
  std::size_t size = 0;
  const int result = SSL_read_ex(session_.get(), bytes.data(), bytes.size(), &size);
  reader_writes_ = false;
  if (result == 1) return size;
  if (!waits(result)) return failure();
  reader_writes_ = wanted_ == POLLOUT;
  return std::size_t{0};
}

Result<std::size_t> TlsStream::write(std::string_view bytes) {
  ERR_clear_error();
  std::size_t size = 0;
  const int result = SSL_write_ex(session_.get(), bytes.data(), bytes.size(), &size);
  writer_reads_ = false;
  if (result == 1) return size;
  if (waits(result)) {
    writer_reads_ = wanted_ == POLLIN;
    return std::size_t{0};
  }
  // A peer that refuses us says why and closes: its reason may be there to read.
  char byte = 0;
  SSL_peek(session_.get(), &byte, 1);
  return failure();
}

// Of a call that failed for good.
Error TlsStream::failure() const {
  const long verdict = SSL_get_verify_result(session_.get());
  if (verdict != X509_V_OK) {
    return {ErrorKind::kRefused, std::string("redis's certificate is refused: ") +
                                     X509_verify_cert_error_string(verdict) + ": " +
                                     std::string(advice_for_certificate(verdict))};
  }
  if (const unsigned long code = ERR_peek_error(); code != 0) {
    const auto* const known = std::find_if(kAdvice.begin(), kAdvice.end(), [code](const Advice& a) {
      return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == a.reason;
    });
    std::string text = "TLS failed: " + reason();
    if (known != kAdvice.end()) text += ": " + std::string(known->text);
    return {ErrorKind::kRefused, std::move(text)};
  }
  if (wire_.error != 0) return connection_lost(wire_.error);
  return closed_by_peer();
}

}  // namespace

Result<std::unique_ptr<Stream>> tls_stream(Socket socket, const Tls& tls, const std::string& host) {
  Context context(SSL_CTX_new(TLS_client_method()));
  if (context == nullptr) return Error{ErrorKind::kInternal, "cannot prepare TLS: " + reason()};
  SSL_CTX_set_min_proto_version(context.get(), TLS1_2_VERSION);
  SSL_CTX_set_verify(context.get(), SSL_VERIFY_PEER, nullptr);
  SSL_CTX_set_options(context.get(), SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_session_cache_mode(context.get(), SSL_SESS_CACHE_OFF);
  // Bytes that wait to be sent move in memory when more are added.
  SSL_CTX_set_mode(context.get(),
                   SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  if (Result<void> loaded = load_files(context.get(), tls); !loaded) return loaded.error();

  auto stream = std::make_unique<TlsStream>(std::move(socket), std::move(context));
  const std::string& name = tls.server_name.empty() ? host : tls.server_name;
  if (!stream->expect(name)) {
    return Error{ErrorKind::kInvalid, "`" + name + "` is no name that a certificate can have"};
  }
  return std::unique_ptr<Stream>(std::move(stream));
}

}  // namespace leafgate::registry
