// SPDX-License-Identifier: Apache-2.0
#include "plugin/notices.h"

#include <malloc.h>

#include <algorithm>

#include "tests/catch.h"
#include "tests/plugin/fake_broker.h"

using leafgate::plugin::kRepeatAfter;
using leafgate::plugin::Notices;
using leafgate::plugin::Session;
using leafgate::plugin::Subject;
using leafgate::policy::Fingerprint;
using leafgate::policy::Reason;
using leafgate::registry::Event;
using leafgate::registry::Outbox;
using leafgate::test::fake_broker;
using leafgate::test::FakeBroker;
using namespace std::chrono_literals;

namespace {

Subject subject(std::uint8_t certificate, std::string client_id = "dev1") {
  Fingerprint fingerprint;
  fingerprint.bytes[0] = certificate;
  return {fingerprint, "dev1", std::move(client_id), "192.0.2.1"};
}

std::string value(const Event& event, std::string_view field) {
  const auto at = std::find_if(event.fields.begin(), event.fields.end(),
                               [&](const auto& pair) { return pair.first == field; });
  return at == event.fields.end() ? "(none)" : at->second;
}

struct Fixture {
  Fixture() { fake_broker() = FakeBroker{}; }

  std::chrono::milliseconds uptime{0};
  Outbox outbox;
  Notices notices{outbox, [this] { return uptime; }};
};

}  // namespace

TEST_CASE("a refusal is told at once and its repetitions with their number", "[plugin][notices]") {
  Fixture f;
  CHECK(f.notices.refused(subject(1), {.reason = Reason::kInactive}));
  for (int i = 0; i < 5; ++i) {
    CHECK_FALSE(f.notices.refused(subject(1), {.reason = Reason::kInactive}));
  }
  f.notices.flush();
  CHECK(fake_broker().log.size() == 1);

  f.uptime += kRepeatAfter;
  f.notices.flush();

  REQUIRE(fake_broker().log.size() == 2);
  CHECK_THAT(fake_broker().log[1].second, ContainsSubstring("repeated=5"));
  const auto events = f.outbox.take(10).events;
  REQUIRE(events.size() == 2);
  CHECK(value(events[0], "count") == "1");
  CHECK(value(events[1], "count") == "5");
  CHECK(f.notices.counters().refused[static_cast<std::size_t>(Reason::kInactive)] == 6);
}

TEST_CASE("a refusal that stopped is forgotten and told anew when it comes back",
          "[plugin][notices]") {
  Fixture f;
  f.notices.refused(subject(1), {.reason = Reason::kInactive});
  f.uptime += kRepeatAfter;
  f.notices.flush();

  CHECK(f.notices.refused(subject(1), {.reason = Reason::kInactive}));
}

TEST_CASE("refusals of other certificates and for other reasons are told by themselves",
          "[plugin][notices]") {
  Fixture f;
  CHECK(f.notices.refused(subject(1), {.reason = Reason::kInactive}));
  CHECK(f.notices.refused(subject(2), {.reason = Reason::kInactive}));
  CHECK(f.notices.refused(subject(1), {.reason = Reason::kRevoked}));
}

TEST_CASE("a flood of different strangers is counted and neither listed nor kept",
          "[plugin][notices]") {
  Fixture f;
  for (int i = 0; i < 10000; ++i) {
    const Subject stranger{std::nullopt, "", "x", "192.0.2." + std::to_string(i)};
    f.notices.refused(stranger, {.reason = Reason::kNoCertificate});
  }
  f.notices.flush();

  CHECK(fake_broker().log.size() == 4096 + 1);
  CHECK(fake_broker().logged("refusals_not_listed count=5904"));
}

TEST_CASE("of a stranger's long client id and topic only what a line shows is kept",
          "[plugin][notices]") {
  Fixture f;
  const std::string longest(65535, 'x');
  const auto before = mallinfo2().uordblks;
  for (int i = 0; i < 4096; ++i) {
    const Subject stranger{std::nullopt, "", longest, "192.0.2." + std::to_string(i)};
    f.notices.refused(stranger, {.reason = Reason::kNoCertificate, .topic = longest});
    f.outbox.take(1);
    fake_broker().log.clear();
  }
  CHECK(mallinfo2().uordblks < before + (std::size_t{8} << 20U));
}

TEST_CASE("the repetitions of thousands are told a hundred at a time, and all of them",
          "[plugin][notices]") {
  Fixture f;
  const auto everybody_tries = [&] {
    for (int i = 0; i < 1000; ++i) {
      const Subject stranger{std::nullopt, "", "x", "192.0.2." + std::to_string(i)};
      f.notices.refused(stranger, {.reason = Reason::kNoCertificate});
    }
  };
  everybody_tries();
  everybody_tries();
  fake_broker().log.clear();
  f.uptime += kRepeatAfter;

  f.notices.flush();
  CHECK(fake_broker().log.size() == 100);
  for (int i = 1; i < 10; ++i)
    f.notices.flush();
  CHECK(fake_broker().log.size() == 1000);
  f.notices.flush();
  CHECK(fake_broker().log.size() == 1000);
}

TEST_CASE("hostile names can end neither a field nor a line", "[plugin][notices]") {
  Fixture f;
  const std::string hostile = "a b\" reason=granted\nstarted";
  f.notices.refused(subject(1, hostile),
                    {.reason = Reason::kTopicNotAllowed, .action = "publish", .topic = "x\ny z"});

  const std::string& line = fake_broker().log.at(0).second;
  CHECK(line.find('\n') == std::string::npos);
  CHECK_THAT(line, ContainsSubstring(R"(client_id="a b\" reason=granted\x0Astarted")") ||
                       ContainsSubstring(R"(client_id="a b\" reason=granted\x0astarted")"));
}

TEST_CASE("a client id or a topic of any length leaves the fingerprint and the address in the line",
          "[plugin][notices]") {
  Fixture f;
  std::string accents;
  while (accents.size() < 206)
    accents += "é";
  const Subject who = subject(1, accents);
  f.notices.refused(who, {.reason = Reason::kInactive});
  f.notices.refused(
      who, {.reason = Reason::kTopicNotAllowed, .action = "publish", .topic = accents + accents});
  f.notices.ended(who, Reason::kInactive);

  REQUIRE(fake_broker().log.size() == 3);
  for (const auto& [level, line] : fake_broker().log) {
    INFO(line);
    CHECK_THAT(line, ContainsSubstring(" fingerprint=" + to_hex(*who.fingerprint)) &&
                         ContainsSubstring(" address=192.0.2.1"));
  }
}

TEST_CASE("values of events are cut to what the registry stores", "[plugin][notices]") {
  Fixture f;
  f.notices.refused(subject(1, std::string(500, 'x')), {.reason = Reason::kInactive});

  const auto events = f.outbox.take(10).events;
  REQUIRE(events.size() == 1);
  for (const auto& [field, text] : events[0].fields)
    CHECK(text.size() <= 64);
}

TEST_CASE("a certificate is first seen once, until its record changes", "[plugin][notices]") {
  Fixture f;
  Session one;
  one.facts.fingerprint = *subject(1).fingerprint;
  Session two;
  two.facts.fingerprint = *subject(2).fingerprint;
  f.notices.admitted(one);
  f.notices.admitted(one);
  f.notices.admitted(two);
  CHECK(f.outbox.take(10).events.size() == 2);

  f.notices.forget(one.facts.fingerprint);
  f.notices.admitted(one);
  CHECK(f.outbox.take(10).events.size() == 1);
  CHECK(f.notices.counters().admitted == 4);
}

TEST_CASE("a clone is told once a minute", "[plugin][notices]") {
  Fixture f;
  f.notices.clone(subject(1), "takeovers");
  f.notices.clone(subject(1), "takeovers");
  CHECK(f.outbox.take(10).events.size() == 1);

  f.uptime += 1min;
  f.notices.clone(subject(1), "takeovers");
  CHECK(f.outbox.take(10).events.size() == 1);
  CHECK(f.notices.counters().clones == 3);
}
