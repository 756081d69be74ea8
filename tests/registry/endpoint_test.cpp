// SPDX-License-Identifier: Apache-2.0
#include "registry/endpoint.h"

#include <string>

#include "tests/catch.h"

namespace leafgate::registry {
namespace {

Endpoint tcp(std::string host, std::uint16_t port, int database, std::string user = "") {
  Endpoint endpoint;
  endpoint.host = std::move(host);
  endpoint.port = port;
  endpoint.database = database;
  endpoint.username = std::move(user);
  return endpoint;
}

Endpoint unix_socket(std::string path, int database) {
  Endpoint endpoint = tcp("", 6379, database);
  endpoint.path = std::move(path);
  return endpoint;
}

Endpoint in_tls(Endpoint endpoint) {
  endpoint.tls.emplace();
  return endpoint;
}

Endpoint watched(std::vector<HostPort> servers, std::string service, int database) {
  Endpoint endpoint = tcp("", 6379, database);
  endpoint.sentinels = {std::move(servers), std::move(service), "", ""};
  return endpoint;
}

TEST_CASE("a url names a host or a socket, and is shown as it is understood",
          "[registry][endpoint]") {
  struct Case {
    std::string url;
    Endpoint expected;
    std::string text;
  };
  const auto c = GENERATE(values<Case>({
      {"redis://127.0.0.1:6379/0", tcp("127.0.0.1", 6379, 0), "redis://127.0.0.1:6379/0"},
      {"redis://redis.example", tcp("redis.example", 6379, 0), "redis://redis.example:6379/0"},
      {"redis://h:1/", tcp("h", 1, 0), "redis://h:1/0"},
      {"redis://h:65535/16383", tcp("h", 65535, 16383), "redis://h:65535/16383"},
      {"redis://[::1]:7000/2", tcp("::1", 7000, 2), "redis://[::1]:7000/2"},
      {"redis://[fe80::1]", tcp("fe80::1", 6379, 0), "redis://[fe80::1]:6379/0"},
      {"redis://admin@h", tcp("h", 6379, 0, "admin"), "redis://h:6379/0"},
      {"rediss://h", in_tls(tcp("h", 6379, 0)), "rediss://h:6379/0"},
      {"rediss://op@[::1]:1/2", in_tls(tcp("::1", 1, 2, "op")), "rediss://[::1]:1/2"},
      {"redis-sentinel://a,b:1,[::1]:2/fleet-1",
       watched({{"a", 26379}, {"b", 1}, {"::1", 2}}, "fleet-1", 0),
       "redis-sentinel://a:26379,b:1,[::1]:2/fleet-1"},
      {"redis-sentinel://a/s?db=3", watched({{"a", 26379}}, "s", 3),
       "redis-sentinel://a:26379/s?db=3"},
      {"unix:///run/redis.sock", unix_socket("/run/redis.sock", 0), "unix:///run/redis.sock"},
      {"unix:///run/a:b@c.sock?db=5", unix_socket("/run/a:b@c.sock", 5),
       "unix:///run/a:b@c.sock?db=5"},
  }));
  INFO(c.url);

  const auto endpoint = parse_endpoint(c.url);

  REQUIRE(endpoint.ok());
  CHECK(endpoint.value() == c.expected);
  CHECK(endpoint.value().text() == c.text);
}

TEST_CASE("anything else is refused, and no message repeats it", "[registry][endpoint]") {
  const auto url = GENERATE(
      as<std::string>(), "", "hunter2", "127.0.0.1:6379", "http://hunter2", "redis:/hunter2",
      "redis://", "redis://:6379", "redis://h:0", "redis://h:65536", "redis://h:hunter2",
      "redis://h:", "redis://h:1x", "redis://h/-1", "redis://h/16384", "redis://h/hunter2",
      "redis://h/0/1", "redis://h/0?x=hunter2", "redis://[::1", "redis://[::1]x", "redis://[]",
      "redis://@h", "redis://h h", "redis://h\nx", "unix://run/redis.sock", "unix://",
      "unix:///a?x=hunter2", "unix:///a?db=", "unix:///a?db=x", "unix:///" + std::string(120, 'a'),
      "redis://" + std::string(256, 'h'), "redis://" + std::string(2000, 'h'), "rediss://",
      "rediss://h:hunter2", "rediss://op:hunter2@h", "redis://op:hunter2@h", "redis://:hunter2@h",
      "redis-sentinel://", "redis-sentinel:///s", "redis-sentinel://h", "redis-sentinel://h/",
      "redis-sentinel://h?/s", "redis-sentinel://h,/s", "redis-sentinel://h,h:26379/s",
      "redis-sentinel://h:hunter2/s", "redis-sentinel://h/hunter2/s", "redis-sentinel://h/s?db=x",
      "redis-sentinel://op@h/s", "redis-sentinel://op:hunter2@h/s",
      "redis-sentinel://1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16/s", "redis:/op:hunter2@h",
      "unix://op:hunter2@/a");
  INFO(url);

  const auto endpoint = parse_endpoint(url);

  REQUIRE_FALSE(endpoint.ok());
  CHECK(endpoint.error().kind == ErrorKind::kInvalid);
  CHECK(endpoint.error().message.find("hunter2") == std::string::npos);
  CHECK(endpoint.error().message.find('\n') == std::string::npos);
}

TEST_CASE("a password in a url is refused with what to do instead", "[registry][endpoint]") {
  const auto endpoint = parse_endpoint("redis://op:hunter2@h");
  REQUIRE_FALSE(endpoint.ok());
  CHECK_THAT(endpoint.error().message, ContainsSubstring("password file"));
}

}  // namespace
}  // namespace leafgate::registry
