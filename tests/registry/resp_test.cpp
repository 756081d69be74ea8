// SPDX-License-Identifier: Apache-2.0
#include "registry/resp.h"

#include <random>
#include <string>

#include "tests/catch.h"

using namespace leafgate;
using namespace leafgate::registry;
using namespace std::string_view_literals;

namespace {

Result<void> feed(ReplyReader& reader, std::string_view bytes) {
  return reader.feed({bytes.data(), bytes.size()});
}

// The only reply in `bytes`.
Reply only(std::string_view bytes) {
  ReplyReader reader;
  REQUIRE(feed(reader, bytes).ok());
  auto reply = reader.next();
  REQUIRE(reply.ok());
  REQUIRE(reply.value().has_value());
  Reply taken = *reply.value();
  REQUIRE_FALSE(reader.next().value().has_value());
  return taken;
}

// True when `bytes`, or a limit they break, end the stream with an error.
bool breaks_off(std::string_view bytes) {
  ReplyReader reader;
  if (!feed(reader, bytes).ok()) return true;
  while (true) {
    const auto reply = reader.next();
    if (!reply.ok()) return true;
    if (!reply.value()) return false;
  }
}

constexpr std::string_view kHash =
    "*3\r\n$6\r\nactive\r\n$-1\r\n*2\r\n:42\r\n*1\r\n$5\r\na\0b\r\n\r\n"sv;

}  // namespace

TEST_CASE("a command is an array of bulk strings, whatever its words hold", "[resp]") {
  std::string bytes;
  encode({"SET", "a b", std::string("x\r\n\0y", 5), ""}, bytes);
  CHECK(bytes == "*4\r\n$3\r\nSET\r\n$3\r\na b\r\n$5\r\nx\r\n\0y\r\n$0\r\n\r\n"sv);
}

TEST_CASE("each kind of reply is recognised as itself only", "[resp]") {
  const Reply status = only("+OK\r\n");
  CHECK(status.text() == "OK");
  CHECK_FALSE(status.is_error());

  const Reply error = only("-WRONGTYPE not a hash\r\n");
  CHECK(error.is_error());
  CHECK(error.text() == "WRONGTYPE not a hash");
  CHECK_FALSE(error.is_array());

  const Reply integer = only(":-9223372036854775808\r\n");
  CHECK(integer.is_integer());
  CHECK(integer.integer() == INT64_MIN);
  CHECK_FALSE(integer.text().has_value());

  CHECK(only("$-1\r\n").is_null());
  CHECK(only("*-1\r\n").is_null());
  CHECK(only("$0\r\n\r\n").text() == "");

  const Reply empty = only("*0\r\n");
  CHECK(empty.is_array());
  CHECK(empty.size() == 0);
}

TEST_CASE("a nested reply keeps every value in its place", "[resp]") {
  const std::string bytes(kHash.data(), kHash.size());
  const Reply reply = only(bytes);
  REQUIRE(reply.size() == 3);
  CHECK(reply.text_at(0) == "active");
  CHECK_FALSE(reply.text_at(1).has_value());
  CHECK(reply[1].is_null());
  REQUIRE(reply[2].size() == 2);
  CHECK(reply[2][0].integer() == 42);
  CHECK(reply[2][1].text_at(0) == std::string_view("a\0b\r\n", 5));
  CHECK_FALSE(reply.text_at(3).has_value());
}

TEST_CASE("a reply torn at any byte is the same reply", "[resp]") {
  for (std::size_t cut = 0; cut <= kHash.size(); ++cut) {
    INFO("torn before byte " << cut);
    ReplyReader reader;
    REQUIRE(feed(reader, kHash.substr(0, cut)).ok());
    if (cut < kHash.size()) {
      const auto early = reader.next();
      REQUIRE(early.ok());
      REQUIRE_FALSE(early.value().has_value());
    }
    REQUIRE(feed(reader, kHash.substr(cut)).ok());
    const auto reply = reader.next();
    REQUIRE(reply.ok());
    REQUIRE(reply.value().has_value());
    CHECK((*reply.value())[2][0].integer() == 42);
  }
}

TEST_CASE("a reply that is kept does not change when the next one is read", "[resp]") {
  ReplyReader reader;
  REQUIRE(feed(reader, "+first\r\n+second\r\n+third\r\n").ok());
  const Reply first = *reader.next().value();
  const Reply second = *reader.next().value();
  { const Reply third = *reader.next().value(); }
  CHECK(first.text() == "first");
  CHECK(second.text() == "second");
}

TEST_CASE("an element keeps the whole reply alive", "[resp]") {
  std::optional<Reply> element;
  {
    ReplyReader reader;
    REQUIRE(feed(reader, "*1\r\n$5\r\nalive\r\n").ok());
    element = (*reader.next().value())[0];
  }
  CHECK(element->text() == "alive");
}

TEST_CASE("bytes that are not RESP2 end the stream", "[resp]") {
  for (const std::string_view bytes :
       {"?what\r\n", "HTTP/1.1 400 Bad Request\r\n", "*-5\r\n", "$-7\r\n", "$abc\r\n", "*x\r\n",
        ":12a\r\n", "\r\n", "*1\r\n\r\n"}) {
    INFO(bytes);
    CHECK(breaks_off(bytes));
  }
}

TEST_CASE("a reply larger than the limits ends the stream and not the memory", "[resp]") {
  SECTION("a bulk string of 2 GB is given up before it has come") {
    ReplyReader reader;
    REQUIRE(feed(reader, "$2000000000\r\n").ok());
    const std::string chunk(1024UL * 1024, 'x');
    std::size_t fed = 0;
    bool broken = false;
    while (!broken && fed <= 2 * kBufferedBytesMax) {
      broken = !feed(reader, chunk).ok() || !reader.next().ok();
      fed += chunk.size();
    }
    CHECK(broken);
    CHECK(fed <= kBufferedBytesMax + chunk.size());
  }
  SECTION("a bulk string over its own limit") {
    const std::string body(kBulkBytesMax + 1, 'x');
    CHECK(breaks_off("$" + std::to_string(body.size()) + "\r\n" + body + "\r\n"));
  }
  SECTION("an array of two thousand million") {
    CHECK(breaks_off("*2000000000\r\n"));
  }
  SECTION("arrays that add up") {
    std::string bytes = "*1000\r\n";
    for (int i = 0; i < 1000; ++i)
      bytes += "*100000\r\n";
    CHECK(breaks_off(bytes));
  }
  SECTION("arrays within arrays without end") {
    std::string bytes;
    for (int i = 0; i < 1000; ++i)
      bytes += "*1\r\n";
    CHECK(breaks_off(bytes));
  }
}

TEST_CASE("no sequence of bytes does more harm than an error", "[resp]") {
  std::mt19937 random(20260727);  // fixed: a failure must come again
  const std::string_view alphabet = "*$:+-0123456789\r\nab,#_(%~>|=!";
  for (int round = 0; round < 20000; ++round) {
    ReplyReader reader;
    bool alive = true;
    for (int piece = 0; alive && piece < 4; ++piece) {
      std::string bytes;
      for (std::size_t i = random() % 24; i > 0; --i)
        bytes += alphabet[random() % alphabet.size()];
      alive = feed(reader, bytes).ok();
      while (alive) {
        const auto reply = reader.next();
        alive = reply.ok();
        if (!alive || !reply.value()) break;
        CHECK(reply.value()->size() <= kReplyNodesMax);
      }
    }
  }
}
