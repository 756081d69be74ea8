// SPDX-License-Identifier: Apache-2.0
// One connection to Redis that never waits: a stream on a non-blocking socket, RESP on it, and the
// log-in.
//
//   new ──look up, connect──▶ TLS ──▶ AUTH, SELECT ──▶ ready() ──error──▶ dead
//
// The owner polls fd() for events() and calls progress(); it keeps the deadlines. After the first
// error the connection is dead: every later call answers with that error again. One thread at a
// time. No signal is raised when the peer is gone.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "registry/endpoint.h"
#include "registry/resolve.h"
#include "registry/resp.h"
#include "registry/stream.h"

namespace leafgate::registry {

using SteadyTime = std::chrono::steady_clock::time_point;

// Bytes that may wait to be sent. More than any pipeline of ours; a server that does not read for
// so long is not coming back.
inline constexpr std::size_t kUnsentBytesMax = 64U * 1024 * 1024;

class Connection {
 public:
  // Begins to connect. Reads the password file now; whatever goes wrong is told by progress().
  explicit Connection(Endpoint endpoint);
  Connection(Connection&&) noexcept;
  Connection& operator=(Connection&&) noexcept;
  ~Connection();

  // What to poll for. fd() is -1 while a host name is looked up or an address is chosen: call
  // progress() again within kLookupPause then.
  int fd() const noexcept { return stream_ ? stream_->fd() : socket_.fd; }
  short events() const noexcept;
  static constexpr std::chrono::milliseconds kLookupPause{5};

  // Moves connecting and log-in forward and writes what the socket takes; never waits. Errors name
  // the endpoint and what to check: kUnreachable, kRefused (certificates, log-in, database),
  // kInvalid (password file, files for TLS).
  Result<void> progress();
  // Connected, logged in, database selected.
  bool ready() const noexcept { return stage_ == Stage::kReady; }

  // Grows with every step of connecting and with everything the peer says: a peer that is slow is
  // not a peer that is gone.
  std::uint64_t moves() const noexcept { return moves_; }

  // Queues a command; progress() writes it. May be called before ready(): it goes out after the
  // log-in.
  Result<void> send(const Command& command);
  // As send(), for commands already in RESP.
  Result<void> send_encoded(std::string_view bytes);

  // The next reply to what was sent, or the next pushed message, reading what the socket has;
  // nullopt: not there yet.
  Result<std::optional<Reply>> receive();

  // Waits for the socket until `deadline` at most, then does what progress() does. False when the
  // deadline passed first. For callers that have nothing else to do.
  Result<bool> wait(SteadyTime deadline);

 private:
  enum class Stage { kLookup, kConnect, kOpen, kLogin, kReady, kDead };

  // One step of the log-in: what a refusal of it means.
  struct Step {
    std::string what;
    std::string check;
  };

  Error die(Error error);
  void queue_login();
  Result<void> look_up();
  Result<void> connect_next();
  Result<void> finish_connect();
  Result<void> begin_stream();
  Result<void> open_stream();
  Result<void> log_in();
  Result<void> write_some();
  Result<bool> read_some();  // false: nothing there now
  Result<std::optional<Reply>> next_reply();

  Endpoint endpoint_;
  Stage stage_ = Stage::kLookup;
  std::optional<Lookup> lookup_;
  SteadyTime lookup_deadline_;
  std::vector<Address> addresses_;
  std::size_t next_address_ = 0;
  SteadyTime address_deadline_;
  Socket socket_;  // until it is connected
  std::unique_ptr<Stream> stream_;
  std::deque<Step> login_;  // steps not answered yet
  std::string login_bytes_;
  std::string unsent_;
  std::size_t sent_ = 0;  // of unsent_
  std::uint64_t moves_ = 0;
  ReplyReader reader_;
  std::optional<Error> error_;
};

}  // namespace leafgate::registry
