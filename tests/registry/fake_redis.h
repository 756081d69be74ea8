// SPDX-License-Identifier: Apache-2.0
// A server that speaks just enough Redis for a sync to become live on it, and breaks the rules on
// request: errors, nonsense, silence, replies torn into single bytes. For what a real one cannot be
// made to do. All functions may be called from any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "registry/endpoint.h"
#include "registry/resp.h"

namespace leafgate::test {

class FakeRedis {
 public:
  FakeRedis();
  ~FakeRedis();  // closes everything and joins
  FakeRedis(const FakeRedis&) = delete;
  FakeRedis& operator=(const FakeRedis&) = delete;

  registry::Endpoint endpoint() const;

  // The record of one certificate; its key is told to S.
  void set(const std::string& key, const std::string& state);

  // The next `times` commands that begin with this word get these bytes for an answer.
  void misanswer(const std::string& word, std::string bytes, int times);
  // Nothing is written any more on connections that have subscribed, or that have not.
  void mute(bool hearing, bool data);
  // Replies go out byte by byte, each in a packet of its own as far as the kernel lets it.
  void tear(bool on);
  // These bytes on every S.
  void tell(const std::string& bytes);
  void close_subscribers();

  // The words of each command so far, in the order they came, whatever the connection.
  std::vector<std::string> commands() const;

 private:
  struct Peer;

  void accept_peers();
  void serve(Peer& peer);
  std::string answer(Peer& peer, const registry::Command& command);
  std::string execute(Peer& peer, const registry::Command& command);
  std::string client(Peer& peer, const registry::Command& command);
  std::string read_hash(const registry::Command& command) const;
  std::string scan() const;
  std::string keyspace() const;
  void invalidate(const std::string& key);
  void write(Peer& peer, std::string_view bytes);

  int listener_ = -1;
  std::uint16_t port_ = 0;
  std::thread acceptor_;

  mutable std::mutex mutex_;  // guards all below
  bool stopping_ = false;
  std::vector<std::unique_ptr<Peer>> peers_;
  std::map<std::string, std::string> hashes_;
  struct Misanswer {
    std::string bytes;
    int times;
  };
  std::map<std::string, Misanswer> misanswers_;
  bool mute_hearing_ = false;
  bool mute_data_ = false;
  bool torn_ = false;
  std::vector<std::string> commands_;
};

}  // namespace leafgate::test
