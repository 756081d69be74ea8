// SPDX-License-Identifier: Apache-2.0
#include "admin/text.h"

#include "tests/catch.h"

using namespace leafgate;
using namespace leafgate::admin;
using namespace std::chrono_literals;

namespace {

const policy::Time kNow{std::chrono::seconds(1'800'000'000)};  // 2027-01-15T08:00:00Z

}  // namespace

TEST_CASE("a time is written as a date, a moment, a distance or Unix seconds", "[admin][text]") {
  CHECK(parse_time("now", kNow).value() == kNow);
  CHECK(parse_time("+30d", kNow).value() == kNow + 720h);
  CHECK(parse_time("-1h", kNow).value() == kNow - 1h);
  CHECK(parse_time("1800000000", kNow).value() == kNow);
  CHECK(parse_time("2027-01-15T08:00:00Z", policy::Time()).value() == kNow);
  CHECK(parse_time("2027-01-15", policy::Time()).value() == kNow - 8h);
  CHECK(parse_time("2028-02-29", kNow).ok());
  CHECK(format_time(parse_time("9999-12-31T23:59:59Z", kNow).value()) == "9999-12-31T23:59:59Z");
}

TEST_CASE("what is not a time is refused with examples of what would be", "[admin][text]") {
  const auto* text =
      GENERATE("", "+", "-", "tomorrow", "2027-13-01", "2027-02-29", "2027-01-15T24:00:00Z",
               "2027-01-15T08:00:00", "2027-01-15 08:00:00Z", "253402300800", "-1", "1.5", "0x10",
               "+99999999999d", "-30000d", "+999999999d", "99999999999999999999");
  INFO(text);
  const auto time = parse_time(text, kNow);

  REQUIRE_FALSE(time.ok());
  CHECK(time.error().kind == ErrorKind::kInvalid);
  CHECK_THAT(time.error().message, ContainsSubstring("2026-11-22T10:00:00Z"));
}

TEST_CASE("a formatted time is read back as the same second", "[admin][text]") {
  const auto seconds = GENERATE(0L, 1L, 951'782'400L, 1'800'000'000L, 4'102'444'799L);
  const policy::Time time{std::chrono::seconds(seconds)};

  CHECK(parse_time(format_time(time), kNow).value() == time);
  CHECK(unix_seconds(time) == std::to_string(seconds));
}

TEST_CASE("a time without end is called never", "[admin][text]") {
  CHECK(format_time(policy::kNever) == "never");
}

TEST_CASE("printable text holds nothing a terminal obeys", "[admin][text]") {
  std::string hostile;
  for (int byte = 0; byte < 256; ++byte)
    hostile += static_cast<char>(byte);

  for (const char c : printable(hostile))
    CHECK((c >= 0x20 && c < 0x7f));
  CHECK(printable("\x1b]0;owned\x07") == "\\x1b]0;owned\\x07");
  CHECK(printable("plain, with `quotes` and \\") == "plain, with `quotes` and \\");
}

TEST_CASE("a CSV line is cut at commas outside quotes", "[admin][text]") {
  CHECK(split_csv("a,b,,d").value() == std::vector<std::string>{"a", "b", "", "d"});
  CHECK(split_csv("\"a,b\",\"say \"\"hi\"\"\"").value() ==
        std::vector<std::string>{"a,b", "say \"hi\""});
  CHECK(split_csv("").value() == std::vector<std::string>{""});
  CHECK_FALSE(split_csv("\"open").ok());
  CHECK_FALSE(split_csv("in\"side").ok());
}
