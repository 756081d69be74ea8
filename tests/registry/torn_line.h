// SPDX-License-Identifier: Apache-2.0
// A line to a server on the loopback address that passes bytes on one by one, and after so many
// from the server goes silent or ends one direction only. For what real networks do to TLS.
#pragma once

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <thread>
#include <vector>

namespace leafgate::test {

class TornLine {
 public:
  enum class End : std::uint8_t {
    kSilence,  // open, and nothing comes any more
    kHalf,     // the client reads an end, and could still write
  };
  // `bytes`: from the server, on each connection, before `end`.
  TornLine(int server_port, std::size_t bytes, End end);
  ~TornLine();  // closes everything and joins
  TornLine(const TornLine&) = delete;
  TornLine& operator=(const TornLine&) = delete;

  int port() const { return port_; }

 private:
  void accept_clients();
  void relay(int client, int server) const;

  const int server_port_;
  const std::size_t bytes_;
  const End end_;
  int listener_ = -1;
  int port_ = 0;
  std::thread acceptor_;

  std::mutex mutex_;  // guards all below
  bool stopping_ = false;
  std::vector<int> sockets_;
  std::vector<std::thread> relays_;
};

}  // namespace leafgate::test
