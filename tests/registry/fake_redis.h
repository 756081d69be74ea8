// SPDX-License-Identifier: Apache-2.0
// A server that speaks just enough Redis for a sync to become live on it, and breaks the rules on
// request: errors, nonsense, silence, replies torn into single bytes. For what a real one cannot be
// made to do. All functions may be called from any thread.
#pragma once

#include <condition_variable>
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

  // A field of a hash that is not a certificate; nobody is told.
  void set_field(const std::string& key, const std::string& name, const std::string& value);
  // Everything is gone, and nobody is told.
  void flush();
  void tell_of(const std::string& key);

  // A command that begins with this text waits, with all behind it on its connection, until
  // let_go().
  void hold_back(const std::string& text);
  bool holds_one_back() const;
  void let_go();

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
  void wait_for_leave(const std::string& words, std::unique_lock<std::mutex>& lock);
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
  std::map<std::string, std::string> hashes_;  // of certificates: their state
  std::map<std::string, std::map<std::string, std::string>> others_;
  std::string held_back_;  // empty: nothing
  int waiting_ = 0;        // connections with a command held back
  std::condition_variable let_go_;
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
