// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"

#include <string>
#include <vector>

#include "tests/catch.h"

using leafgate::log::escape;
using leafgate::log::Level;
using leafgate::log::Line;

TEST_CASE("a plain value is written as it is", "[base][log]") {
  CHECK(escape("dev-1.example:7/x@y") == "dev-1.example:7/x@y");
}

TEST_CASE("an empty value is written as empty quotes", "[base][log]") {
  CHECK(escape("") == "\"\"");
}

TEST_CASE("a hostile value can neither end its field nor start a new line", "[base][log]") {
  CHECK(escape("a\" state=active\nleafgate: granted") ==
        R"("a\" state=active\x0aleafgate: granted")");
  CHECK(escape(std::string_view("a\0b", 3)) == R"("a\x00b")");
  CHECK(escape("\xff\x1b[2J\\") == R"("\xff\x1b[2J\\")");
}

TEST_CASE("a long value is cut and says so", "[base][log]") {
  const std::string cut = escape(std::string(10000, 'a'));

  CHECK(cut.size() == leafgate::log::kMaxValue + 5);
  CHECK(cut.substr(cut.size() - 4) == "...\"");
}

TEST_CASE("a line never grows past its limit", "[base][log]") {
  Line line(Level::kWarning, "refused");
  for (int i = 0; i < 100; ++i)
    line.add("k", std::string(300, '\x01'));

  CHECK(line.text().size() <= leafgate::log::kMaxLine);
}

TEST_CASE("a full queue drops new lines and reports how many", "[base][log]") {
  leafgate::log::Queue queue(2);
  for (int i = 0; i < 5; ++i)
    queue.push(Line(Level::kInfo, "event").add("i", i));
  std::vector<std::string> seen;

  queue.drain([&](Level, const std::string& text) { seen.push_back(text); });

  CHECK(seen == std::vector<std::string>{"event i=0", "event i=1", "log_lines_dropped count=3"});
}
