// SPDX-License-Identifier: Apache-2.0
// Host names to addresses without waiting: the system's resolver may take many seconds, and has no
// deadline of its own. One object, one thread.
#pragma once

#include <netdb.h>
#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace leafgate::registry {

struct Address {
  sockaddr_storage storage{};
  socklen_t size = 0;
};

// Of the addresses a name may have, no more are tried.
inline constexpr std::size_t kAddressesMax = 8;

// Looks up one name in the background, on a thread of the C library: unlike one of ours it may
// outlive a plugin that is unloaded. Destroying it abandons the look-up. An address in digits is
// known at once.
//
// The C library's thread is unknown to ThreadSanitizer, which crashes on it: use digits there.
class Lookup {
 public:
  Lookup(std::string host, std::uint16_t port);
  Lookup(Lookup&&) noexcept;
  Lookup& operator=(Lookup&&) noexcept;
  ~Lookup();

  // nullopt: not known yet, ask again in some milliseconds. kUnreachable, naming the host, when
  // there is no such name or nobody to ask.
  Result<std::optional<std::vector<Address>>> poll();

 private:
  struct Request;
  class Abandoned;
  static void abandon(std::unique_ptr<Request> request) noexcept;

  std::string host_;
  std::vector<Address> known_;  // the host was an address already
  std::unique_ptr<Request> request_;
  int refused_ = 0;  // an EAI_ code: the look-up could not even begin
};

}  // namespace leafgate::registry
