// SPDX-License-Identifier: Apache-2.0
// Each allocation that the table of sessions makes fails once: nothing half done is left behind.
#include <new>

#include "tests/catch.h"
#include "tests/plugin/allocations.h"
#include "tests/plugin/fake_broker.h"
#include "tests/plugin/sessions_fixture.h"

namespace leafgate::test {
namespace {

using plugin::Session;
using plugin::Sessions;
using policy::Reason;

// Runs `act` on a table of its own with its first, second, third … allocation failing, until it
// makes fewer; `check` is told whether it threw. How many times it did fail.
template <typename Act, typename Check>
unsigned with_each_failing(Act act, Check check) {
  for (unsigned n = 0;; ++n) {
    INFO("allocation " << n);
    Sessions sessions;
    mosquitto client;
    mosquitto other;
    sessions.insert(a_session(client, "dev1"));
    Session second = a_session(other, "dev2", 2);
    bool threw = false;
    bool failed = false;
    {
      const FailingAllocation scarcity(n);
      try {
        act(sessions, client, std::move(second));
      } catch (const std::bad_alloc&) {
        threw = true;
      }
      failed = scarcity.failed();
    }
    check(sessions, client, other, threw);
    if (!failed) return n;
  }
}

TEST_CASE("without memory a session is in every index or in none", "[plugin][sessions]") {
  const unsigned failures = with_each_failing(
      [](Sessions& sessions, mosquitto&, Session second) { sessions.insert(std::move(second)); },
      [](Sessions& sessions, mosquitto&, mosquitto& other, bool threw) {
        const std::size_t expected = threw ? 0 : 1;
        CHECK((sessions.find(&other) != nullptr) == !threw);
        CHECK((sessions.holder("dev2") != nullptr) == !threw);
        CHECK(of_certificate(sessions, 2).size() == expected);
        CHECK(of_device(sessions, "dev2").size() == expected);
        CHECK(sessions.size() == 1 + expected);
      });
  CHECK(failures > 3);
}

TEST_CASE("without memory one that is refused while it is in does not stay in",
          "[plugin][sessions]") {
  const unsigned failures = with_each_failing(
      [](Sessions& sessions, mosquitto&, Session second) {
        second.condemned = Reason::kRevoked;
        sessions.insert(std::move(second));
      },
      [](Sessions& sessions, mosquitto&, mosquitto& other, bool threw) {
        CHECK((sessions.find(&other) != nullptr) == !threw);
        if (!threw) CHECK(sessions.take_condemned() == std::vector<const mosquitto*>{&other});
      });
  CHECK(failures > 3);
}

TEST_CASE("without memory a session that leaves is gone, and so is its will",
          "[plugin][sessions]") {
  const unsigned failures = with_each_failing(
      [](Sessions& sessions, mosquitto& client, Session) { sessions.leave(&client); },
      [](Sessions& sessions, mosquitto& client, mosquitto& other, bool threw) {
        CHECK_FALSE(threw);
        CHECK(sessions.size() == 0);
        CHECK(of_certificate(sessions, 1).empty());
        const auto gone = sessions.gone(&client);
        REQUIRE(gone);
        // Nobody can tell any more who was turned away.
        if (gone->session == nullptr) CHECK(sessions.gone(&other));
        sessions.forget_gone();
        CHECK_FALSE(sessions.gone(&client));
      });
  CHECK(failures > 0);
}

TEST_CASE("without memory one that is turned away still is", "[plugin][sessions]") {
  const unsigned failures = with_each_failing(
      [](Sessions& sessions, mosquitto& client, Session) { sessions.turn_away(&client); },
      [](Sessions& sessions, mosquitto& client, mosquitto&, bool threw) {
        CHECK_FALSE(threw);
        const auto gone = sessions.gone(&client);
        REQUIRE(gone);
        CHECK(gone->session == nullptr);
      });
  CHECK(failures > 0);
}

TEST_CASE("without memory a session that is condemned waits to be ended, or is not condemned",
          "[plugin][sessions]") {
  const unsigned failures = with_each_failing(
      [](Sessions& sessions, mosquitto& client, Session) {
        sessions.condemn(*sessions.find(&client), Reason::kInactive);
      },
      [](Sessions& sessions, mosquitto& client, mosquitto&, bool threw) {
        CHECK(sessions.find(&client)->condemned.has_value() == !threw);
        CHECK(sessions.any_condemned() == !threw);
      });
  CHECK(failures > 0);
}

TEST_CASE("without memory a session has its old device or the new one, in the index as well",
          "[plugin][sessions]") {
  const unsigned failures = with_each_failing(
      [](Sessions& sessions, mosquitto& client, Session) {
        sessions.set_device(*sessions.find(&client), "a-name-too-long-to-be-kept-in-place");
      },
      [](Sessions& sessions, mosquitto& client, mosquitto&, bool) {
        const Session& session = *sessions.find(&client);
        CHECK(of_device(sessions, session.device) == std::vector{&session});
      });
  CHECK(failures > 1);
}

}  // namespace
}  // namespace leafgate::test
