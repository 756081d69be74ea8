// SPDX-License-Identifier: Apache-2.0
#include "policy/text.h"

#include <string>

#include "tests/catch.h"

namespace leafgate::policy {
namespace {

TEST_CASE("plain text is well-formed UTF-8 of any script", "[policy][text]") {
  for (const auto* text : {"", "dev1", " ~", "Z\xC3\xBCrich", "\xE2\x82\xAC", "\xED\x9F\xBF",
                           "\xEE\x80\x80", "\xF0\x9F\x9A\xAA", "\xF4\x8F\xBF\xBD", "\xC2\xA0"}) {
    INFO(text);
    CHECK(is_plain_text(text));
  }
}

TEST_CASE("control characters and NUL are not plain text", "[policy][text]") {
  for (int c = 0; c < 0x20; ++c)
    CHECK_FALSE(is_plain_text(std::string(1, static_cast<char>(c))));
  CHECK_FALSE(is_plain_text("\x7F"));
  CHECK_FALSE(is_plain_text("\xC2\x80"));
  CHECK_FALSE(is_plain_text("\xC2\x9F"));
  CHECK_FALSE(is_plain_text(std::string("a\0b", 3)));
}

TEST_CASE("ill-formed UTF-8 is not plain text", "[policy][text]") {
  for (const auto* text : {
           "\x80",              // a continuation byte alone
           "\xC3",              // cut short
           "\xE2\x82",          // cut short
           "\xC3\x28",          // not a continuation byte
           "\xC0\xAF",          // overlong `/`
           "\xE0\x80\xAF",      // overlong `/`
           "\xF0\x80\x80\xAF",  // overlong `/`
           "\xC1\xBF",          // overlong U+007F
           "\xED\xA0\x80",      // surrogate
           "\xED\xBF\xBF",      // surrogate
           "\xF4\x90\x80\x80",  // above U+10FFFF
           "\xF8\x88\x80\x80\x80",
           "\xFE",
           "\xFF",
       }) {
    CHECK_FALSE(is_plain_text(text));
  }
}

TEST_CASE("Unicode non-characters are not plain text", "[policy][text]") {
  for (const auto* text :
       {"\xEF\xB7\x90", "\xEF\xB7\xAF", "\xEF\xBF\xBE", "\xEF\xBF\xBF", "\xF0\x9F\xBF\xBE"}) {
    CHECK_FALSE(is_plain_text(text));
  }
}

}  // namespace
}  // namespace leafgate::policy
