// SPDX-License-Identifier: Apache-2.0
#include "tests/support/delay_proxy.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <deque>
#include <list>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace leafgate::test {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::microseconds;
using std::chrono::milliseconds;

// A direction holds at most so much; then the sender has to wait, as on a real line.
constexpr std::size_t kHeldMax = 1 << 20;
constexpr milliseconds kLookAtStop{20};

class Socket {
 public:
  explicit Socket(int number) : number_(number) {}
  ~Socket() {
    if (number_ >= 0) close(number_);
  }
  Socket(Socket&& other) noexcept : number_(std::exchange(other.number_, -1)) {}
  Socket& operator=(Socket&&) = delete;

  int get() const { return number_; }

 private:
  int number_;
};

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  return address;
}

// One way of a connection: what was read from one side and is not yet due on the other.
struct Held {
  struct Chunk {
    Clock::time_point due;
    std::string bytes;
  };
  std::deque<Chunk> chunks;
  std::size_t bytes = 0;

  bool due(Clock::time_point now) const { return !chunks.empty() && chunks.front().due <= now; }
};

struct Connection {
  Socket client;
  Socket server;
  Held to_server{};
  Held to_client{};
  bool over = false;
};

// False: the side is gone.
bool take_in(int from, Held& held, microseconds delay) {
  char buffer[65536];
  const ssize_t n = recv(from, buffer, sizeof buffer, 0);
  if (n < 0) return errno == EAGAIN;
  if (n == 0) return false;
  held.chunks.push_back({Clock::now() + delay, std::string(buffer, static_cast<std::size_t>(n))});
  held.bytes += static_cast<std::size_t>(n);
  return true;
}

bool pass_on(Held& held, int to) {
  while (held.due(Clock::now())) {
    std::string& bytes = held.chunks.front().bytes;
    const ssize_t n = send(to, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (n < 0) return errno == EAGAIN;
    held.bytes -= static_cast<std::size_t>(n);
    bytes.erase(0, static_cast<std::size_t>(n));
    if (bytes.empty()) held.chunks.pop_front();
  }
  return true;
}

}  // namespace

class DelayProxy::Loop {
 public:
  explicit Loop(int target_port) : target_port_(target_port) {}

  int listen_anywhere();
  // Waits for something to do, for a short time at most, and does it.
  void turn(microseconds delay);
  void close_all() { connections_.clear(); }

 private:
  void accept_one();
  std::vector<pollfd> interests() const;
  microseconds until_next_due() const;
  static void serve(Connection& connection, short client, short server, microseconds delay);

  const int target_port_;
  Socket listener_{socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)};
  std::list<Connection> connections_;
};

int DelayProxy::Loop::listen_anywhere() {
  sockaddr_in address = loopback(0);
  socklen_t length = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (bind(listener_.get(), generic, length) != 0 || listen(listener_.get(), 64) != 0 ||
      getsockname(listener_.get(), generic, &length) != 0) {
    throw std::runtime_error("the delay proxy cannot listen");
  }
  return ntohs(address.sin_port);
}

void DelayProxy::Loop::accept_one() {
  Socket client(accept4(listener_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (client.get() < 0) return;
  // Blocking until connected: the loopback address answers at once or not at all.
  Socket server(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  const sockaddr_in address = loopback(target_port_);
  if (connect(server.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return;
  }
  const int on = 1;
  setsockopt(server.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  setsockopt(client.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  connections_.push_back({std::move(client), std::move(server)});
}

std::vector<pollfd> DelayProxy::Loop::interests() const {
  std::vector<pollfd> entries = {{listener_.get(), POLLIN, 0}};
  const auto now = Clock::now();
  for (const Connection& connection : connections_) {
    const auto events = [&](const Held& in, const Held& out) {
      return static_cast<short>((in.bytes < kHeldMax ? POLLIN : 0) | (out.due(now) ? POLLOUT : 0));
    };
    entries.push_back(
        {connection.client.get(), events(connection.to_server, connection.to_client), 0});
    entries.push_back(
        {connection.server.get(), events(connection.to_client, connection.to_server), 0});
  }
  return entries;
}

microseconds DelayProxy::Loop::until_next_due() const {
  microseconds wait = kLookAtStop;
  for (const Connection& connection : connections_) {
    for (const Held* held : {&connection.to_server, &connection.to_client}) {
      if (held->chunks.empty()) continue;
      const auto left = std::chrono::ceil<microseconds>(held->chunks.front().due - Clock::now());
      wait = std::clamp(left, microseconds(0), wait);
    }
  }
  return wait;
}

void DelayProxy::Loop::serve(Connection& connection, short client, short server,
                             microseconds delay) {
  constexpr short kReadable = POLLIN | POLLHUP | POLLERR;
  const int client_fd = connection.client.get();
  const int server_fd = connection.server.get();
  const bool alive =
      ((client & kReadable) == 0 || take_in(client_fd, connection.to_server, delay)) &&
      ((server & kReadable) == 0 || take_in(server_fd, connection.to_client, delay)) &&
      pass_on(connection.to_server, server_fd) && pass_on(connection.to_client, client_fd);
  connection.over = !alive;
}

void DelayProxy::Loop::turn(microseconds delay) {
  std::vector<pollfd> entries = interests();
  const timespec wait{0, std::chrono::nanoseconds(until_next_due()).count()};
  ppoll(entries.data(), entries.size(), &wait, nullptr);
  std::size_t at = 1;
  for (Connection& connection : connections_) {
    serve(connection, entries[at].revents, entries[at + 1].revents, delay);
    at += 2;
  }
  connections_.remove_if([](const Connection& connection) { return connection.over; });
  if (entries[0].revents != 0) accept_one();
}

DelayProxy::DelayProxy(int target_port) : loop_(std::make_unique<Loop>(target_port)) {
  port_ = loop_->listen_anywhere();
  thread_ = std::thread([this] { run(); });
}

DelayProxy::~DelayProxy() {
  stop_ = true;
  thread_.join();
}

void DelayProxy::run() {
  while (!stop_) {
    loop_->turn(microseconds(delay_us_));
    if (is_cut_) loop_->close_all();
  }
}

}  // namespace leafgate::test
