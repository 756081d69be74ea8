// SPDX-License-Identifier: Apache-2.0
#include "registry/endpoint.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <utility>

namespace leafgate::registry {
namespace {

constexpr std::string_view kForms =
    "redis://[USER@]HOST[:PORT][/DB], rediss:// for the same in TLS, unix:///PATH[?db=DB] and "
    "redis-sentinel://HOST[:PORT],HOST[:PORT]/SERVICE[?db=DB] are understood";
constexpr std::size_t kSentinelsMax = 15;
constexpr std::size_t kUrlBytesMax = 1024;
constexpr std::size_t kHostBytesMax = 255;        // RFC 1035 §2.3.4
constexpr std::size_t kSocketPathBytesMax = 107;  // sun_path of unix(7), without its NUL
constexpr int kDatabaseMax = 16383;

// No message quotes the URL: a password may be anywhere in one that is not understood.
Error invalid(std::string message) {
  return Error{ErrorKind::kInvalid, std::move(message)};
}

// Printable ASCII without space: everything else is a mistake or an attempt to forge a log line.
bool is_plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c <= '~'; });
}

std::optional<int> parse_number(std::string_view text, int smallest, int largest) {
  int number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = parsed.ec == std::errc() && parsed.ptr == text.data() + text.size();
  if (!whole || number < smallest || number > largest) return std::nullopt;
  return number;
}

Result<int> parse_database(std::string_view text) {
  const auto number = parse_number(text, 0, kDatabaseMax);
  if (!number) return invalid("the database is not a number from 0 to 16383");
  return *number;
}

// HOST[:PORT], with an IPv6 address in brackets (RFC 3986 §3.2.2).
Result<HostPort> parse_authority(std::string_view text, std::string_view default_port) {
  std::string_view host = text;
  std::string_view port = default_port;
  if (text.starts_with('[')) {
    const std::size_t close = text.find(']');
    if (close == std::string_view::npos)
      return invalid("the bracket before an IPv6 address is not closed");
    host = text.substr(1, close - 1);
    const std::string_view rest = text.substr(close + 1);
    if (!rest.empty() && rest.front() != ':') return invalid("after `]` comes `:PORT` or nothing");
    if (!rest.empty()) port = rest.substr(1);
  } else if (const std::size_t colon = text.find(':'); colon != std::string_view::npos) {
    host = text.substr(0, colon);
    port = text.substr(colon + 1);
  }
  return make_host_port(host, port);
}

Result<Endpoint> parse_tcp(std::string_view rest) {
  Endpoint endpoint;
  const std::size_t slash = rest.find('/');
  std::string_view authority = rest.substr(0, slash);
  if (const std::size_t at = authority.rfind('@'); at != std::string_view::npos) {
    endpoint.username = std::string(authority.substr(0, at));
    if (endpoint.username.empty()) return invalid("there is no user name before `@`");
    authority.remove_prefix(at + 1);
  }
  if (slash != std::string_view::npos && slash + 1 < rest.size()) {
    auto database = parse_database(rest.substr(slash + 1));
    if (!database) return database.error();
    endpoint.database = database.value();
  }
  Result<HostPort> server = parse_authority(authority, "6379");
  if (!server) return server.error();
  endpoint.host = std::move(server.value().host);
  endpoint.port = server.value().port;
  return endpoint;
}

// `?db=DB` or nothing.
Result<Endpoint> with_query(Endpoint endpoint, std::string_view query) {
  constexpr std::string_view kDatabase = "?db=";
  if (query.empty()) return endpoint;
  if (!query.starts_with(kDatabase)) return invalid("of queries only `?db=DB` is understood");
  auto database = parse_database(query.substr(kDatabase.size()));
  if (!database) return database.error();
  endpoint.database = database.value();
  return endpoint;
}

Result<Endpoint> parse_unix(std::string_view rest) {
  Endpoint endpoint;
  endpoint.host.clear();
  const std::size_t question = rest.find('?');
  endpoint.path = std::string(rest.substr(0, question));
  if (!endpoint.path.starts_with('/') || endpoint.path.size() > kSocketPathBytesMax) {
    return invalid("the path of a unix socket starts with `/` and has at most 107 bytes");
  }
  return with_query(std::move(endpoint), rest.substr(std::min(question, rest.size())));
}

Result<std::vector<HostPort>> parse_sentinels(std::string_view list) {
  std::vector<HostPort> servers;
  while (true) {
    const std::size_t comma = list.find(',');
    Result<HostPort> server = parse_authority(list.substr(0, comma), "26379");
    if (!server) return server.error();
    // One that is asked twice would have two votes.
    if (std::find(servers.begin(), servers.end(), server.value()) != servers.end())
      return invalid("a sentinel is named twice");
    servers.push_back(std::move(server).value());
    if (servers.size() > kSentinelsMax) return invalid("there are more than 15 sentinels");
    if (comma == std::string_view::npos) return servers;
    list.remove_prefix(comma + 1);
  }
}

// HOST[:PORT],…/SERVICE[?db=DB]
Result<Endpoint> parse_sentinel(std::string_view rest) {
  const std::size_t slash = rest.find('/');
  const std::size_t question = std::min(rest.find('?'), rest.size());
  if (slash >= question) return invalid("after the sentinels comes `/SERVICE`");
  Result<std::vector<HostPort>> servers = parse_sentinels(rest.substr(0, slash));
  if (!servers) return servers.error();
  const std::string_view service = rest.substr(slash + 1, question - slash - 1);
  // As Sentinel itself has it.
  const bool known = std::all_of(service.begin(), service.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '.' || c == '-' || c == '_';
  });
  if (service.empty() || !known) return invalid("the service is not a name of A-Z a-z 0-9 . - _");
  Endpoint endpoint;
  endpoint.host.clear();
  endpoint.sentinels = {std::move(servers).value(), std::string(service), "", ""};
  return with_query(std::move(endpoint), rest.substr(question));
}

bool has_password(std::string_view url) {
  const std::size_t at = url.rfind('@');
  if (at == std::string_view::npos || url.starts_with("unix:///")) return false;
  const std::size_t scheme = url.find("://");
  const std::size_t start = scheme == std::string_view::npos ? 0 : scheme + 3;
  return start < at && url.substr(start, at - start).find(':') != std::string_view::npos;
}

Result<Endpoint> parse_plain(std::string_view url) {
  constexpr std::string_view kTcp = "redis://";
  constexpr std::string_view kTls = "rediss://";
  constexpr std::string_view kUnix = "unix://";
  constexpr std::string_view kSentinel = "redis-sentinel://";
  if (url.starts_with(kTcp)) return parse_tcp(url.substr(kTcp.size()));
  if (url.starts_with(kUnix)) return parse_unix(url.substr(kUnix.size()));
  if (url.starts_with(kTls)) {
    Result<Endpoint> endpoint = parse_tcp(url.substr(kTls.size()));
    if (endpoint) endpoint.value().tls.emplace();
    return endpoint;
  }
  if (url.starts_with(kSentinel)) return parse_sentinel(url.substr(kSentinel.size()));
  return invalid("it does not start in one of these ways");
}

}  // namespace

std::string HostPort::text() const {
  const bool v6 = host.find(':') != std::string::npos;
  return (v6 ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

Result<HostPort> make_host_port(std::string_view host, std::string_view port) {
  const bool named = !host.empty() && host.size() <= kHostBytesMax && is_plain(host);
  if (!named || host.find('@') != std::string_view::npos)
    return invalid("there is no host name of 1 to 255 bytes");
  const auto number = parse_number(port, 1, 65535);
  if (!number) return invalid("the port is not a number from 1 to 65535");
  return HostPort{std::string(host), static_cast<std::uint16_t>(*number)};
}

std::string Endpoint::text() const {
  const std::string query = database == 0 ? "" : "?db=" + std::to_string(database);
  if (!path.empty()) return "unix://" + path + query;
  if (!sentinels) {
    return (tls ? "rediss://" : "redis://") + HostPort{host, port}.text() + "/" +
           std::to_string(database);
  }
  std::string servers;
  for (const HostPort& server : sentinels->servers)
    servers += (servers.empty() ? "" : ",") + server.text();
  return "redis-sentinel://" + servers + "/" + sentinels->service + query;
}

Result<Endpoint> parse_endpoint(std::string_view url) {
  if (url.size() > kUrlBytesMax || !is_plain(url)) {
    return invalid("the url of Redis is too long or holds a space or control character: " +
                   std::string(kForms));
  }
  if (has_password(url)) {
    return invalid(
        "a password in the url of Redis would show in logs and process lists: put it into a file "
        "and name "
        "it as the password file");
  }
  auto endpoint = parse_plain(url);
  if (endpoint) return endpoint;
  return invalid("the url of Redis is not usable: " + endpoint.error().message + ": " +
                 std::string(kForms));
}

Result<Endpoint> with_tls(Endpoint endpoint, Tls tls) {
  if (!endpoint.tls && !endpoint.sentinels)
    return invalid("TLS needs a url that starts with `rediss://` or `redis-sentinel://`");
  if (tls.cert_file.empty() != tls.key_file.empty()) {
    return invalid("a client certificate needs both its file and its key's file");
  }
  endpoint.tls = std::move(tls);
  return endpoint;
}

}  // namespace leafgate::registry
