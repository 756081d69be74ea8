// SPDX-License-Identifier: Apache-2.0
// The one place that knows whether Catch2 v2 (Debian 12) or v3 (Debian 13) is installed.
#pragma once

#ifdef LEAFGATE_CATCH2_V3
#include <catch2/catch_all.hpp>
using Catch::Matchers::ContainsSubstring;
#else
#include <catch2/catch.hpp>
// v3's name for what v2 calls Contains.
inline auto ContainsSubstring(const std::string& text) {
  return Catch::Matchers::Contains(text);
}
#endif
