// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/oracle.h"

#include "tests/catch.h"

namespace leafgate::test {
namespace {

using std::chrono::seconds;

constexpr seconds kBound{5};

Oracle::Time at(int second) {
  return Oracle::Time() + seconds(second);
}

void turn_on_between_10_and_11(Oracle& oracle) {
  oracle.change_begins(0, true, at(10));
  oracle.change_ended(0, at(11));
}

TEST_CASE("the oracle judges by what the record says after the bound", "[oracle]") {
  Oracle oracle(1, kBound);
  turn_on_between_10_and_11(oracle);
  oracle.served(0, at(16), at(17));
  oracle.not_served(0, at(16), at(17));
  CHECK(oracle.verdict().rightly_served == 1);
  CHECK(oracle.verdict().refused_though_yes == 1);

  oracle.change_begins(0, false, at(20));
  oracle.change_ended(0, at(20));
  oracle.served(0, at(25), at(26));
  oracle.not_served(0, at(25), at(26));
  CHECK(oracle.verdict().served_though_no == 1);
  CHECK(oracle.verdict().rightly_refused == 1);
  CHECK(oracle.verdict().not_judged == 0);
}

TEST_CASE("the oracle judges nothing from a change until the bound after it", "[oracle]") {
  Oracle oracle(1, kBound);
  turn_on_between_10_and_11(oracle);
  oracle.served(0, at(9), at(10));
  oracle.served(0, at(15), at(20));
  oracle.change_begins(0, false, at(30));
  oracle.served(0, at(29), at(30));
  oracle.served(0, at(60), at(61));
  CHECK(oracle.verdict().not_judged == 4);
  CHECK(oracle.verdict().rightly_served == 0);
}

TEST_CASE("a change that changes nothing excuses nothing", "[oracle]") {
  Oracle oracle(1, kBound);
  turn_on_between_10_and_11(oracle);
  oracle.change_begins(0, true, at(20));
  oracle.not_served(0, at(20), at(21));
  oracle.change_ended(0, at(22));
  oracle.not_served(0, at(22), at(23));
  CHECK(oracle.verdict().refused_though_yes == 2);
}

TEST_CASE("a device that nobody turned on is refused from the start", "[oracle]") {
  Oracle oracle(2, kBound);
  oracle.change_begins(1, true, at(1));
  oracle.served(0, at(2), at(3));
  CHECK(oracle.verdict().served_though_no == 1);
}

TEST_CASE("trouble before a change is in force puts the bound off", "[oracle]") {
  Oracle oracle(1, kBound);
  turn_on_between_10_and_11(oracle);
  oracle.trouble_begins(at(15));
  oracle.not_served(0, at(40), at(41));
  CHECK(oracle.verdict().not_judged == 1);
  oracle.trouble_ended(at(20));
  oracle.not_served(0, at(24), at(24));
  CHECK(oracle.verdict().not_judged == 2);
  oracle.not_served(0, at(25), at(25));
  CHECK(oracle.verdict().refused_though_yes == 1);
}

TEST_CASE("trouble after a change is in force excuses nothing", "[oracle]") {
  Oracle oracle(1, kBound);
  turn_on_between_10_and_11(oracle);
  oracle.trouble_begins(at(17));
  oracle.not_served(0, at(18), at(19));
  CHECK(oracle.verdict().refused_though_yes == 1);
}

}  // namespace
}  // namespace leafgate::test
