// SPDX-License-Identifier: Apache-2.0
// The file that the broker loads.
#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include "tests/catch.h"
#include "tests/support/process.h"

namespace {

std::vector<std::string> last_words(const std::string& text) {
  std::vector<std::string> words;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    words.push_back(line.substr(line.find_last_of(' ') + 1));
  }
  std::sort(words.begin(), words.end());
  return words;
}

}  // namespace

TEST_CASE("gotcha 26: the plugin exports its three functions and nothing else",
          "[plugin][module][gotcha]") {
  const auto nm = leafgate::test::run({"nm", "-D", "--defined-only", LEAFGATE_BUILT_PLUGIN});
  REQUIRE(nm.status == 0);
  CHECK(last_words(nm.out) == std::vector<std::string>{"mosquitto_plugin_cleanup",
                                                       "mosquitto_plugin_init",
                                                       "mosquitto_plugin_version"});
}

TEST_CASE("the plugin takes the broker's functions from the broker and OpenSSL as it does",
          "[plugin][module]") {
  const auto readelf = leafgate::test::run({"readelf", "-d", LEAFGATE_BUILT_PLUGIN});
  REQUIRE(readelf.status == 0);
  CHECK_THAT(readelf.out, !ContainsSubstring("libmosquitto"));
  CHECK_THAT(readelf.out, ContainsSubstring("libcrypto.so"));
}
