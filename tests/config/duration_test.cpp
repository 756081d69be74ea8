// SPDX-License-Identifier: Apache-2.0
#include "config/duration.h"

#include <string>

#include "tests/catch.h"

namespace leafgate::config {
namespace {

using namespace std::chrono_literals;

TEST_CASE("durations are read with each of their units", "[config][duration]") {
  CHECK(parse_duration("500ms") == 500ms);
  CHECK(parse_duration("10s") == 10s);
  CHECK(parse_duration("5m") == 5min);
  CHECK(parse_duration("1h") == 1h);
  CHECK(parse_duration("2d") == 48h);
  CHECK(parse_duration("0s") == 0s);
  CHECK(parse_duration("999999999d") == 999999999 * 24h);
}

TEST_CASE("anything else is not a duration", "[config][duration]") {
  for (const auto* text : {"", "10", "s", "10 s", " 10s", "10s ", "-1s", "+1s", "1.5h", "10S", "1w",
                           "1h30m", "1000000000s", "10sec", "0x1s"}) {
    INFO(text);
    CHECK_FALSE(parse_duration(text));
  }
  CHECK_FALSE(parse_duration(std::string("1s\0", 3)));
}

}  // namespace
}  // namespace leafgate::config
