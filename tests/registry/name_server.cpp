// SPDX-License-Identifier: Apache-2.0
#include "tests/registry/name_server.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <deque>
#include <stdexcept>
#include <string>

namespace leafgate::test {
namespace {

using std::chrono::steady_clock;

constexpr std::size_t kHeaderBytes = 12;
constexpr unsigned kTypeA = 1;

// As root, or as a user who becomes root of a namespace of his own.
bool unshare_network() {
  if (::unshare(CLONE_NEWNET | CLONE_NEWNS) == 0) return true;
  const std::string map_user = "0 " + std::to_string(::getuid()) + " 1";
  const std::string map_group = "0 " + std::to_string(::getgid()) + " 1";
  if (::unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0) return false;
  write_file("/proc/self/setgroups", "deny");
  write_file("/proc/self/uid_map", map_user);
  write_file("/proc/self/gid_map", map_group);
  return true;
}

bool bring_up_loopback() {
  const int fd = ::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  request.ifr_flags = IFF_UP;
  const bool is_up = ::ioctl(fd, SIOCSIFFLAGS, &request) == 0;
  ::close(fd);
  return is_up;
}

bool put_over(const std::string& path, const std::string& text) {
  static const TempDir dir;
  const std::string ours = dir / path.substr(path.rfind('/') + 1);
  write_file(ours, text);
  return ::mount(ours.c_str(), path.c_str(), nullptr, MS_BIND, nullptr) == 0;
}

// The end of the one question that queries have; 0 when it is none.
std::size_t end_of_question(const std::string& query) {
  std::size_t at = kHeaderBytes;
  while (at < query.size() && query[at] != 0)
    at += 1 + static_cast<unsigned char>(query[at]);
  const std::size_t end = at + 1 + 4;
  return end <= query.size() ? end : 0;
}

// Empty for what is no query.
std::string answer_to(const std::string& query) {
  const std::size_t end = end_of_question(query);
  if (end == 0) return "";
  const bool is_a = static_cast<unsigned char>(query[end - 3]) == kTypeA;
  std::string answer = query.substr(0, 2);                         // its id
  answer += std::string("\x81\x80\0\x01\0", 5);                    // a response, one question
  answer += std::string(is_a ? "\x01\0\0\0\0" : "\0\0\0\0\0", 5);  // so many answers
  answer += query.substr(kHeaderBytes, end - kHeaderBytes);
  if (!is_a) return answer;
  // The name of the question, A, IN, for no time, four bytes.
  return answer + std::string("\xc0\x0c\0\x01\0\x01\0\0\0\0\0\x04\x7f\0\0\x01", 16);
}

struct Due {
  steady_clock::time_point at;
  std::string answer;
  sockaddr_in to;
};

}  // namespace

bool enter_own_network() {
  static const bool entered = [] {
    return unshare_network() && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0 &&
           bring_up_loopback() && put_over("/etc/resolv.conf", "nameserver 127.0.0.1\n") &&
           put_over("/etc/nsswitch.conf", "hosts: files dns\n");
  }();
  return entered;
}

NameServer::NameServer(milliseconds delay)
    : delay_(delay), socket_(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(53);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::bind(socket_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::runtime_error("cannot listen on port 53");
  }
  thread_ = std::thread([this] { run(); });
}

NameServer::~NameServer() {
  stop_ = true;
  thread_.join();
  ::close(socket_);
}

void NameServer::run() {
  std::deque<Due> waiting;
  while (!stop_) {
    pollfd readable{socket_, POLLIN, 0};
    ::poll(&readable, 1, 10);
    while (!waiting.empty() && waiting.front().at <= steady_clock::now()) {
      const Due& due = waiting.front();
      ::sendto(socket_, due.answer.data(), due.answer.size(), 0,
               reinterpret_cast<const sockaddr*>(&due.to), sizeof due.to);
      waiting.pop_front();
    }
    if ((readable.revents & POLLIN) == 0) continue;
    std::array<char, 512> bytes{};
    sockaddr_in from{};
    socklen_t from_size = sizeof from;
    const ssize_t size = ::recvfrom(socket_, bytes.data(), bytes.size(), 0,
                                    reinterpret_cast<sockaddr*>(&from), &from_size);
    if (size <= 0) continue;
    ++queries_;
    const std::string answer = answer_to({bytes.data(), static_cast<std::size_t>(size)});
    if (!silent_ && !answer.empty())
      waiting.push_back({steady_clock::now() + delay_, answer, from});
  }
}

}  // namespace leafgate::test
