// SPDX-License-Identifier: Apache-2.0
// Where Redis is and how to log in there. A plain value; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace leafgate::registry {

struct Endpoint {
  std::string host = "127.0.0.1";  // empty when `path` is set
  std::uint16_t port = 6379;
  std::string path;  // of a unix socket; empty for TCP
  int database = 0;
  std::string username;       // empty: the `default` user
  std::string password_file;  // read at each connect, so that it can be rotated; empty: none

  bool operator==(const Endpoint&) const = default;

  // `redis://127.0.0.1:6379/0`, for logs; never holds a password.
  std::string text() const;
};

// redis://[USER@]HOST[:PORT][/DB] or unix:///PATH[?db=DB]. kInvalid, with what would be right, for
// anything else; a password in the URL is refused (it would show in logs and process lists).
Result<Endpoint> parse_endpoint(std::string_view url);

}  // namespace leafgate::registry
