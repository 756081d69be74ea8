// SPDX-License-Identifier: Apache-2.0
// Where Redis is and how to log in there. A plain value; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace leafgate::registry {

// Files are in PEM and read at each connect, so that they can be replaced.
struct Tls {
  std::string ca_file;      // empty: the system's CAs
  std::string cert_file;    // of the client, with its chain; empty: none
  std::string key_file;     // empty exactly when cert_file is
  std::string server_name;  // what the server's certificate is for; empty: the host

  bool operator==(const Tls&) const = default;
};

struct HostPort {
  std::string host;
  std::uint16_t port = 0;

  bool operator==(const HostPort&) const = default;

  std::string text() const;  // `[::1]:6379`
};

// kInvalid when one of them cannot be such.
Result<HostPort> make_host_port(std::string_view host, std::string_view port);

// Those who know where the master is (sentinel.h).
struct Sentinels {
  std::vector<HostPort> servers;  // at least one, each once
  std::string service;            // their name for the master
  std::string username;           // for log-in at the sentinels themselves, as in Endpoint
  std::string password_file;

  bool operator==(const Sentinels&) const = default;
};

struct Endpoint {
  std::string host = "127.0.0.1";  // empty when `path` or `sentinels` is set
  std::uint16_t port = 6379;
  std::string path;  // of a unix socket; empty for TCP
  int database = 0;
  std::string username;       // empty: the `default` user
  std::string password_file;  // read at each connect, so that it can be rotated; empty: none
  std::optional<Tls> tls;     // nullopt: plain; otherwise for sentinels as well
  std::optional<Sentinels> sentinels;

  bool operator==(const Endpoint&) const = default;

  // `redis://127.0.0.1:6379/0`, for logs; never holds a password.
  std::string text() const;
};

// redis://[USER@]HOST[:PORT][/DB], rediss:// for the same in TLS, unix:///PATH[?db=DB] or
// redis-sentinel://HOST[:PORT],…/SERVICE[?db=DB]. kInvalid, with what would be right, for anything
// else; a password in the URL is refused (it would show in logs and process lists).
Result<Endpoint> parse_endpoint(std::string_view url);

// `endpoint` with what it needs for TLS beyond its URL; with sentinels it is this that asks for
// TLS. kInvalid for a URL without TLS, or when of a certificate and its key only one is given.
Result<Endpoint> with_tls(Endpoint endpoint, Tls tls);

}  // namespace leafgate::registry
