// SPDX-License-Identifier: Apache-2.0
// How old is what we know, on machines whose clocks are wrong, or stand still.
#include "registry/watermark.h"

#include "tests/catch.h"

using namespace std::chrono_literals;
using leafgate::registry::Watermark;
using Clocks = Watermark::Clocks;

namespace {

Clocks at(std::chrono::nanoseconds since_boot, std::chrono::milliseconds wall) {
  return {since_boot, leafgate::policy::Time(wall)};
}

}  // namespace

TEST_CASE("what was never heard has no age", "[watermark]") {
  const Watermark watermark;
  CHECK_FALSE(watermark.age(Watermark::now()));
}

TEST_CASE("what was heard is as old as the time since, whatever the wall clock does",
          "[watermark]") {
  Watermark watermark;
  watermark.advance(2s, at(10s, 1000h));
  CHECK(watermark.age(at(10s, 1000h)) == 2s);
  CHECK(watermark.age(at(15s, 900h)) == 7s);
  CHECK(watermark.age(at(15s, 1100h)) == 7s);
  watermark.advance(9s, at(15s, 1000h));  // never back
  CHECK(watermark.age(at(15s, 1000h)) == 7s);
}

TEST_CASE("what a file says grows old by the wall clock as well, until something was heard",
          "[watermark]") {
  Watermark watermark;
  watermark.start(10s, at(5s, 1000h));
  CHECK(watermark.age(at(6s, 1000h + 1s)) == 11s);
  CHECK(watermark.age(at(7s, 1072h)) == 72h + 10s);  // the clock was three days behind
  CHECK(watermark.age(at(8s, 900h)) == 13s);         // and is never a reason to be younger

  watermark.advance(0s, at(9s, 1072h));
  CHECK(watermark.age(at(10s, 1072h)) == 1s);
}
