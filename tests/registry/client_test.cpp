// SPDX-License-Identifier: Apache-2.0
#include "registry/client.h"

#include <chrono>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/support/redis_server.h"

namespace leafgate::test {
namespace {

using namespace std::chrono_literals;
using registry::Client;
using registry::Command;
using registry::Endpoint;

constexpr auto* kPassword = "correct horse";

TEST_CASE("replies stand in the order of the commands", "[registry][client]") {
  RedisServer redis;
  Client client = redis.client();
  std::vector<Command> commands;
  for (int i = 0; i < 5000; ++i)
    commands.push_back({"ECHO", std::to_string(i)});

  const auto replies = client.pipeline(commands);

  REQUIRE(replies.ok());
  REQUIRE(replies.value().size() == commands.size());
  for (std::size_t i = 0; i < commands.size(); ++i) {
    REQUIRE(replies.value()[i].text() == commands[i][1]);
  }
  CHECK(client.pipeline({}).value().empty());
}

TEST_CASE("an error reply is a value and the connection goes on", "[registry][client]") {
  RedisServer redis;
  Client client = redis.client();

  const auto wrong = client.call({"NOSUCHCOMMAND"});

  REQUIRE(wrong.ok());
  REQUIRE(wrong.value().is_error());
  CHECK(to_error(wrong.value()).kind == ErrorKind::kInternal);
  CHECK(client.call({"PING"}).value().text() == "PONG");
}

TEST_CASE("a database of its own is what the endpoint's number selects", "[registry][client]") {
  RedisServer redis;
  Endpoint endpoint = redis.endpoint();
  endpoint.database = 3;

  auto client = Client::connect(endpoint);

  REQUIRE(client.ok());
  REQUIRE(client.value().call({"SET", "here", "yes"}).ok());
  CHECK(redis.cli({"-n", "3", "GET", "here"}) == "yes");
  CHECK(redis.cli({"GET", "here"}).empty());
}

TEST_CASE("a unix socket serves as well", "[registry][client]") {
  TempDir dir;
  RedisServer redis({.arguments = {"--unixsocket", dir / "redis.sock"}});
  const auto endpoint = registry::parse_endpoint("unix://" + (dir / "redis.sock"));
  REQUIRE(endpoint.ok());

  auto client = Client::connect(endpoint.value());

  REQUIRE(client.ok());
  CHECK(client.value().call({"PING"}).value().text() == "PONG");
}

TEST_CASE("who cannot be reached is named with what to check", "[registry][client]") {
  Endpoint endpoint;
  endpoint.port = static_cast<std::uint16_t>(free_port());

  const auto client = Client::connect(endpoint, 2s);

  REQUIRE_FALSE(client.ok());
  CHECK(client.error().kind == ErrorKind::kUnreachable);
  CHECK_THAT(client.error().message, ContainsSubstring(endpoint.text()));
}

TEST_CASE("a frozen Redis is given up after the deadline, at connect and later",
          "[registry][client]") {
  RedisServer redis;
  auto client = Client::connect(redis.endpoint(), 300ms);
  REQUIRE(client.ok());
  redis.freeze();

  const auto late = client.value().call({"PING"});
  const auto none = Client::connect(redis.endpoint(), 300ms);
  redis.thaw();

  REQUIRE_FALSE(late.ok());
  CHECK(late.error().kind == ErrorKind::kUnreachable);
  REQUIRE_FALSE(none.ok());
  CHECK(none.error().kind == ErrorKind::kUnreachable);
  // The late answer must not be taken for that of the next command.
  CHECK_FALSE(client.value().call({"ECHO", "next"}).ok());
}

TEST_CASE("a command that blocks on the server has that time on top", "[registry][client]") {
  RedisServer redis;
  auto client = Client::connect(redis.endpoint(), 300ms);
  REQUIRE(client.ok());

  const auto nothing =
      client.value().call_blocking({"XREAD", "BLOCK", "700", "STREAMS", "s", "$"}, 700ms);

  REQUIRE(nothing.ok());
  CHECK(nothing.value().is_null());
}

TEST_CASE("the password comes from its file, and no message tells it", "[registry][client]") {
  TempDir dir;
  write_file(dir / "good", std::string(kPassword) + "\n");
  write_file(dir / "bad", "wrong horse\n");
  RedisServer redis;
  REQUIRE(redis.cli({"ACL", "SETUSER", "op", "on", ">" + std::string(kPassword), "~*", "+@all"}) ==
          "OK");
  REQUIRE(redis.cli({"ACL", "SETUSER", "default", "off"}) == "OK");
  Endpoint endpoint = redis.endpoint();

  SECTION("the right one") {
    endpoint.username = "op";
    endpoint.password_file = dir / "good";
    auto client = Client::connect(endpoint);
    REQUIRE(client.ok());
    CHECK(client.value().call({"ACL", "WHOAMI"}).value().text() == "op");
  }
  SECTION("a wrong one, and none") {
    endpoint.username = "op";
    endpoint.password_file = dir / "bad";
    const auto wrong = Client::connect(endpoint);
    REQUIRE_FALSE(wrong.ok());
    CHECK(wrong.error().kind == ErrorKind::kRefused);
    CHECK(wrong.error().message.find("horse") == std::string::npos);
    const auto none = Client::connect(redis.endpoint());
    REQUIRE_FALSE(none.ok());
    CHECK(none.error().kind == ErrorKind::kRefused);
  }
  SECTION("a file that is not there") {
    endpoint.password_file = dir / "nowhere";
    const auto missing = Client::connect(endpoint);
    REQUIRE_FALSE(missing.ok());
    CHECK_THAT(missing.error().message, ContainsSubstring("nowhere"));
  }
}

}  // namespace
}  // namespace leafgate::test
