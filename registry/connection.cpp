// SPDX-License-Identifier: Apache-2.0
#include "registry/connection.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <system_error>
#include <utility>

#include "registry/tls.h"

namespace leafgate::registry {
namespace {

using std::chrono::steady_clock;

// As hiredis's buffer: see ReplyReader::feed().
constexpr std::size_t kReadBytes = 16384;
constexpr std::size_t kPasswordBytesMax = 4096;
// How long one of several addresses may take before the next is tried.
constexpr std::chrono::milliseconds kAddressPatience{700};
constexpr std::chrono::seconds kLookupPatience{15};

std::string system_text(int error) {
  return std::generic_category().message(error);
}

Result<std::string> read_password(const std::string& path) {
  const auto failed = [&path](const std::string& why) {
    return Error{ErrorKind::kInvalid, "cannot read the redis password file `" + path + "`: " + why};
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0) return failed(system_text(errno));
  std::array<char, kPasswordBytesMax + 1> bytes{};
  const ssize_t size = ::read(fd, bytes.data(), bytes.size());
  const int error = errno;
  ::close(fd);
  if (size < 0) return failed(system_text(error));
  if (static_cast<std::size_t>(size) > kPasswordBytesMax) return failed("it is too long");

  std::string password(bytes.data(), static_cast<std::size_t>(size));
  explicit_bzero(bytes.data(), bytes.size());
  while (!password.empty() && (password.back() == '\n' || password.back() == '\r')) {
    password.pop_back();
  }
  if (password.empty()) return failed("it is empty");
  return password;
}

Result<std::vector<Address>> unix_address(const std::string& path) {
  sockaddr_un unix_socket{};
  if (path.size() >= sizeof unix_socket.sun_path) {
    return Error{ErrorKind::kInvalid, "the path of the redis socket is too long"};
  }
  unix_socket.sun_family = AF_UNIX;
  std::memcpy(unix_socket.sun_path, path.c_str(), path.size() + 1);
  Address address;
  std::memcpy(&address.storage, &unix_socket, sizeof unix_socket);
  address.size = sizeof unix_socket;
  return std::vector{address};
}

// A dead peer is found by the owner's deadlines; keepalive is for owners that wait without one.
void tune(int fd) {
  const auto set = [fd](int level, int option, int value) {
    ::setsockopt(fd, level, option, &value, sizeof value);
  };
  set(IPPROTO_TCP, TCP_NODELAY, 1);
  set(SOL_SOCKET, SO_KEEPALIVE, 1);
  set(IPPROTO_TCP, TCP_KEEPIDLE, 15);
  set(IPPROTO_TCP, TCP_KEEPINTVL, 5);
  set(IPPROTO_TCP, TCP_KEEPCNT, 3);
}

int poll_timeout(SteadyTime deadline) {
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, 60'000));
}

}  // namespace

Connection::Connection(Endpoint endpoint) : endpoint_(std::move(endpoint)) {
  queue_login();
  if (stage_ == Stage::kDead) return;
  if (endpoint_.path.empty()) {
    lookup_.emplace(endpoint_.host, endpoint_.port);
    lookup_deadline_ = steady_clock::now() + kLookupPatience;
    return;
  }
  Result<std::vector<Address>> address = unix_address(endpoint_.path);
  if (!address) {
    die(address.error());
    return;
  }
  addresses_ = std::move(address).value();
}

Connection::Connection(Connection&&) noexcept = default;
Connection& Connection::operator=(Connection&&) noexcept = default;
Connection::~Connection() = default;

Error Connection::die(Error error) {
  if (!error_) error_ = with_context(endpoint_.text(), std::move(error));
  stage_ = Stage::kDead;
  socket_ = Socket();
  stream_.reset();
  lookup_.reset();
  return *error_;
}

void Connection::queue_login() {
  if (!endpoint_.password_file.empty()) {
    const Result<std::string> password = read_password(endpoint_.password_file);
    if (!password) {
      die(password.error());
      return;
    }
    Command auth{"AUTH"};
    if (!endpoint_.username.empty()) auth.push_back(endpoint_.username);
    auth.push_back(password.value());
    encode(auth, login_bytes_);
    login_.push_back({"login refused", "check the user name and the password file"});
  }
  if (endpoint_.database != 0) {
    encode({"SELECT", std::to_string(endpoint_.database)}, login_bytes_);
    login_.push_back({"cannot select database " + std::to_string(endpoint_.database),
                      "check the number and the user's rights"});
  }
}

short Connection::events() const noexcept {
  if (stage_ == Stage::kConnect) return POLLOUT;
  return stream_ ? stream_->events(sent_ < unsent_.size()) : short{0};
}

Result<void> Connection::progress() {
  if (stage_ == Stage::kLookup) {
    if (Result<void> done = look_up(); !done) return done;
  }
  if (stage_ == Stage::kConnect) {
    if (Result<void> done = finish_connect(); !done) return done;
  }
  if (stage_ == Stage::kOpen) {
    if (Result<void> done = open_stream(); !done) return done;
  }
  if (stage_ == Stage::kLogin) {
    if (Result<void> done = log_in(); !done) return done;
  }
  if (stage_ == Stage::kReady) return write_some();
  if (error_) return *error_;
  return {};
}

Result<void> Connection::look_up() {
  if (lookup_) {
    Result<std::optional<std::vector<Address>>> found = lookup_->poll();
    if (!found) return die(found.error());
    if (!found.value()) {
      // A resolver asks its second server when the first has not answered for 5 s.
      if (steady_clock::now() < lookup_deadline_) ++moves_;
      return {};
    }
    addresses_ = std::move(*found.value());
    lookup_.reset();
  }
  return connect_next();
}

Result<void> Connection::connect_next() {
  int error = 0;
  while (next_address_ < addresses_.size()) {
    const Address& address = addresses_[next_address_++];
    const int family = address.storage.ss_family;
    socket_ = Socket(::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    if (socket_.fd < 0) {
      error = errno;
      continue;
    }
    if (family != AF_UNIX) tune(socket_.fd);
    const int answer =
        ::connect(socket_.fd, reinterpret_cast<const sockaddr*>(&address.storage), address.size);
    if (answer == 0 || errno == EINPROGRESS) {
      ++moves_;
      stage_ = Stage::kConnect;
      address_deadline_ = steady_clock::now() + kAddressPatience;
      return {};
    }
    error = errno;
  }
  return die({ErrorKind::kUnreachable, "cannot connect: " + system_text(error)});
}

Result<void> Connection::finish_connect() {
  pollfd item{socket_.fd, POLLOUT, 0};
  if (::poll(&item, 1, 0) <= 0) {
    const bool others = next_address_ < addresses_.size();
    return others && steady_clock::now() >= address_deadline_ ? connect_next() : Result<void>();
  }
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket_.fd, SOL_SOCKET, SO_ERROR, &error, &size);
  if (error != 0) {
    if (next_address_ < addresses_.size()) return connect_next();
    return die({ErrorKind::kUnreachable, "cannot connect: " + system_text(error)});
  }
  ++moves_;
  return begin_stream();
}

Result<void> Connection::begin_stream() {
  stage_ = Stage::kOpen;
  if (!endpoint_.tls) {
    stream_ = plain_stream(std::move(socket_));
    return {};
  }
  Result<std::unique_ptr<Stream>> made =
      tls_stream(std::move(socket_), *endpoint_.tls, endpoint_.host);
  if (!made) return die(made.error());
  stream_ = std::move(made).value();
  return {};
}

Result<void> Connection::open_stream() {
  const Result<bool> open = stream_->open();
  if (!open) return die(open.error());
  if (!open.value()) return {};
  ++moves_;
  unsent_.insert(0, login_bytes_);
  login_bytes_.clear();
  stage_ = login_.empty() ? Stage::kReady : Stage::kLogin;
  return {};
}

Result<void> Connection::log_in() {
  if (Result<void> written = write_some(); !written) return written;
  while (!login_.empty()) {
    Result<std::optional<Reply>> reply = next_reply();
    if (!reply) return reply.error();
    if (!reply.value()) return {};
    if (reply.value()->is_error()) {
      const Step& step = login_.front();
      return die({ErrorKind::kRefused,
                  step.what + ": " + std::string(*reply.value()->text()) + ": " + step.check});
    }
    login_.pop_front();
  }
  stage_ = Stage::kReady;
  return {};
}

Result<void> Connection::send(const Command& command) {
  if (error_) return *error_;
  encode(command, unsent_);
  return send_encoded({});
}

Result<void> Connection::send_encoded(std::string_view bytes) {
  if (error_) return *error_;
  unsent_ += bytes;
  if (unsent_.size() - sent_ > kUnsentBytesMax) {
    return die({ErrorKind::kUnreachable, "redis does not read what it is sent"});
  }
  return {};
}

Result<void> Connection::write_some() {
  while (sent_ < unsent_.size()) {
    const Result<std::size_t> taken = stream_->write(std::string_view(unsent_).substr(sent_));
    if (!taken) return die(taken.error());
    if (taken.value() == 0) return {};
    sent_ += taken.value();
  }
  unsent_.clear();
  sent_ = 0;
  return {};
}

Result<bool> Connection::read_some() {
  std::array<char, kReadBytes> bytes;
  const Result<std::size_t> size = stream_->read(bytes);
  if (!size) return die(size.error());
  if (size.value() == 0) return false;
  ++moves_;
  if (Result<void> fed = reader_.feed({bytes.data(), size.value()}); !fed) return die(fed.error());
  return true;
}

Result<std::optional<Reply>> Connection::next_reply() {
  while (true) {
    Result<std::optional<Reply>> reply = reader_.next();
    if (!reply) return die(reply.error());
    if (reply.value()) return reply;
    const Result<bool> read = read_some();
    if (!read) return read.error();
    if (!read.value()) return reply;
  }
}

Result<std::optional<Reply>> Connection::receive() {
  if (error_) return *error_;
  if (stage_ != Stage::kReady) return std::optional<Reply>();
  return next_reply();
}

Result<bool> Connection::wait(SteadyTime deadline) {
  if (error_) return *error_;
  pollfd item{fd(), events(), 0};
  int timeout = poll_timeout(deadline);
  if (fd() < 0) timeout = std::min<int>(timeout, kLookupPause.count());
  const bool happened = ::poll(&item, 1, timeout) > 0;
  if (Result<void> done = progress(); !done) return done.error();
  return happened || steady_clock::now() < deadline;
}

}  // namespace leafgate::registry
