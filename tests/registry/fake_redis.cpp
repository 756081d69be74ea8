// SPDX-License-Identifier: Apache-2.0
#include "tests/registry/fake_redis.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <stdexcept>
#include <utility>

namespace leafgate::test {

using registry::Command;

struct FakeRedis::Peer {
  int fd = -1;
  std::int64_t id = 0;
  bool subscribed = false;
  std::int64_t redirect = 0;
  bool queueing = false;
  std::vector<Command> queue;
  std::thread thread;
};

namespace {

std::string bulk(std::string_view text) {
  return "$" + std::to_string(text.size()) + "\r\n" + std::string(text) + "\r\n";
}

std::string array(std::size_t size) {
  return "*" + std::to_string(size) + "\r\n";
}

std::string words_of(const Command& command) {
  std::string words;
  for (const std::string& word : command)
    words += (words.empty() ? "" : " ") + word;
  return words;
}

bool is_cert(const std::string& key) {
  return key.rfind("leafgate:cert:", 0) == 0;
}

}  // namespace

FakeRedis::FakeRedis() : listener_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::bind(listener_, generic, size) != 0 || ::listen(listener_, 64) != 0 ||
      ::getsockname(listener_, generic, &size) != 0) {
    throw std::runtime_error("the fake redis cannot listen");
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { accept_peers(); });
}

FakeRedis::~FakeRedis() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    ::shutdown(listener_, SHUT_RDWR);
  }
  let_go_.notify_all();
  acceptor_.join();
  for (const auto& peer : peers_) {
    ::shutdown(peer->fd, SHUT_RDWR);
    peer->thread.join();
    ::close(peer->fd);
  }
  ::close(listener_);
}

registry::Endpoint FakeRedis::endpoint() const {
  registry::Endpoint endpoint;
  endpoint.port = port_;
  return endpoint;
}

void FakeRedis::accept_peers() {
  while (true) {
    const int fd = ::accept(listener_, nullptr, nullptr);
    if (fd < 0) return;
    const int on = 1;
    ::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    const std::lock_guard lock(mutex_);
    peers_.push_back(std::make_unique<Peer>());
    Peer& peer = *peers_.back();
    peer.fd = fd;
    peer.id = static_cast<std::int64_t>(peers_.size());
    if (stopping_) ::shutdown(fd, SHUT_RDWR);
    peer.thread = std::thread([this, &peer] { serve(peer); });
  }
}

void FakeRedis::serve(Peer& peer) {
  registry::ReplyReader reader;  // a command looks like a reply
  std::array<char, 4096> bytes;
  while (true) {
    const ssize_t n = ::recv(peer.fd, bytes.data(), bytes.size(), 0);
    if (n <= 0 || !reader.feed({bytes.data(), static_cast<std::size_t>(n)}).ok()) return;
    while (true) {
      auto received = reader.next();
      if (!received.ok() || !received.value()) break;
      Command command;
      for (std::size_t i = 0; i < received.value()->size(); ++i) {
        command.emplace_back(received.value()->text_at(i).value_or(""));
      }
      std::unique_lock lock(mutex_);
      wait_for_leave(words_of(command), lock);
      write(peer, answer(peer, command));
    }
  }
}

void FakeRedis::wait_for_leave(const std::string& words, std::unique_lock<std::mutex>& lock) {
  const auto may_go = [&] {
    return stopping_ || held_back_.empty() || words.rfind(held_back_, 0) != 0;
  };
  if (may_go()) return;
  ++waiting_;
  let_go_.wait(lock, may_go);
  --waiting_;
}

std::string FakeRedis::answer(Peer& peer, const Command& command) {
  commands_.push_back(words_of(command));
  const auto wrong = misanswers_.find(command.at(0));
  if (wrong != misanswers_.end() && wrong->second.times-- > 0) return wrong->second.bytes;
  if (command[0] == "MULTI") {
    peer.queueing = true;
    return "+OK\r\n";
  }
  if (command[0] == "EXEC") {
    std::string replies = array(peer.queue.size());
    for (const Command& queued : std::exchange(peer.queue, {}))
      replies += execute(peer, queued);
    peer.queueing = false;
    return replies;
  }
  if (!peer.queueing) return execute(peer, command);
  peer.queue.push_back(command);
  return "+QUEUED\r\n";
}

std::string FakeRedis::execute(Peer& peer, const Command& command) {
  const std::string& name = command[0];
  if (name == "CLIENT") return client(peer, command);
  if (name == "ROLE") return array(3) + bulk("master") + ":0\r\n" + array(0);
  if (name == "PING") return peer.subscribed ? array(2) + bulk("pong") + bulk("") : "+PONG\r\n";
  if (name == "SUBSCRIBE") {
    peer.subscribed = true;
    return array(3) + bulk("subscribe") + bulk(command[1]) + ":1\r\n";
  }
  if (name == "SET") {
    invalidate(command[1]);
    return "+OK\r\n";
  }
  if (name == "HMGET") return read_hash(command);
  if (name == "PEXPIRETIME") return hashes_.count(command[1]) != 0 ? ":-1\r\n" : ":-2\r\n";
  if (name == "SCAN") return scan();
  if (name == "INFO") return keyspace();
  return "-ERR unknown command\r\n";
}

std::string FakeRedis::client(Peer& peer, const Command& command) {
  if (command[1] == "ID") return ":" + std::to_string(peer.id) + "\r\n";
  peer.redirect = std::stoll(command.at(4));
  return "+OK\r\n";
}

std::string FakeRedis::read_hash(const Command& command) const {
  std::string reply = array(command.size() - 2);
  const auto at = hashes_.find(command[1]);
  const auto other = others_.find(command[1]);
  for (std::size_t i = 2; i < command.size(); ++i) {
    if (other != others_.end() && other->second.count(command[i]) != 0) {
      reply += bulk(other->second.at(command[i]));
      continue;
    }
    const bool known = at != hashes_.end() && is_cert(command[1]) && command[i] == "state";
    reply += known ? bulk(at->second) : "$-1\r\n";
  }
  return reply;
}

std::string FakeRedis::scan() const {
  std::string reply = array(2) + bulk("0") + array(hashes_.size());
  for (const auto& [key, state] : hashes_)
    reply += bulk(key);
  return reply;
}

std::string FakeRedis::keyspace() const {
  if (hashes_.empty()) return bulk("# Keyspace\r\n");
  return bulk("# Keyspace\r\ndb0:keys=" + std::to_string(hashes_.size()) +
              ",expires=0,avg_ttl=0\r\n");
}

void FakeRedis::set(const std::string& key, const std::string& state) {
  const std::lock_guard lock(mutex_);
  hashes_[key] = state;
  invalidate(key);
}

void FakeRedis::set_field(const std::string& key, const std::string& name,
                          const std::string& value) {
  const std::lock_guard lock(mutex_);
  others_[key][name] = value;
}

void FakeRedis::flush() {
  const std::lock_guard lock(mutex_);
  hashes_.clear();
  others_.clear();
}

void FakeRedis::tell_of(const std::string& key) {
  const std::lock_guard lock(mutex_);
  invalidate(key);
}

void FakeRedis::hold_back(const std::string& text) {
  const std::lock_guard lock(mutex_);
  held_back_ = text;
}

bool FakeRedis::holds_one_back() const {
  const std::lock_guard lock(mutex_);
  return waiting_ > 0;
}

void FakeRedis::let_go() {
  hold_back("");
  let_go_.notify_all();
}

void FakeRedis::invalidate(const std::string& key) {
  for (const auto& data : peers_) {
    if (data->redirect == 0) continue;
    Peer& hearing = *peers_.at(static_cast<std::size_t>(data->redirect - 1));
    if (!hearing.subscribed) continue;
    write(hearing,
          array(3) + bulk("message") + bulk("__redis__:invalidate") + array(1) + bulk(key));
  }
}

void FakeRedis::write(Peer& peer, std::string_view bytes) {
  if (peer.subscribed ? mute_hearing_ : mute_data_) return;
  const std::size_t piece = torn_ ? 1 : bytes.size();
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    if (::send(peer.fd, bytes.data(), std::min(piece, bytes.size()), MSG_NOSIGNAL) < 0) return;
  }
}

void FakeRedis::misanswer(const std::string& word, std::string bytes, int times) {
  const std::lock_guard lock(mutex_);
  misanswers_[word] = {std::move(bytes), times};
}

void FakeRedis::mute(bool hearing, bool data) {
  const std::lock_guard lock(mutex_);
  mute_hearing_ = hearing;
  mute_data_ = data;
}

void FakeRedis::tear(bool on) {
  const std::lock_guard lock(mutex_);
  torn_ = on;
}

void FakeRedis::tell(const std::string& bytes) {
  const std::lock_guard lock(mutex_);
  for (const auto& peer : peers_) {
    if (peer->subscribed) write(*peer, bytes);
  }
}

void FakeRedis::close_subscribers() {
  const std::lock_guard lock(mutex_);
  for (const auto& peer : peers_) {
    if (peer->subscribed) ::shutdown(peer->fd, SHUT_RDWR);
  }
}

std::vector<std::string> FakeRedis::commands() const {
  const std::lock_guard lock(mutex_);
  return commands_;
}

}  // namespace leafgate::test
