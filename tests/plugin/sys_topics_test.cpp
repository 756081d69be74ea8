// SPDX-License-Identifier: Apache-2.0
#include "plugin/sys_topics.h"

#include "tests/catch.h"
#include "tests/plugin/fake_broker.h"

using leafgate::plugin::SysTopics;
using leafgate::test::fake_broker;
using leafgate::test::FakeBroker;

TEST_CASE("a broker's state is published as retained messages, each value when it changes",
          "[plugin][sys]") {
  fake_broker() = FakeBroker{};
  SysTopics topics;

  topics.publish({{"sync", "sync/state", "live"},
                  {"certificates_active", "certificates/active", "3"},
                  {"instance", "", "abc"}});
  REQUIRE(fake_broker().published.size() == 2);
  CHECK(fake_broker().published[0].topic == "$SYS/broker/leafgate/sync/state");
  CHECK(fake_broker().published[0].payload == "live");
  CHECK(fake_broker().published[0].retain);
  CHECK(fake_broker().published[0].qos == 0);
  CHECK(fake_broker().published[1].topic == "$SYS/broker/leafgate/certificates/active");

  topics.publish(
      {{"sync", "sync/state", "live"}, {"certificates_active", "certificates/active", "4"}});
  REQUIRE(fake_broker().published.size() == 3);
  CHECK(fake_broker().published[2].payload == "4");
}

TEST_CASE("a value that is gone takes its message away, one that never was sends none",
          "[plugin][sys]") {
  fake_broker() = FakeBroker{};
  SysTopics topics;

  topics.publish({{"", "sync/age_s", ""}});
  CHECK(fake_broker().published.empty());
  topics.publish({{"", "sync/age_s", "5"}});
  topics.publish({{"", "sync/age_s", ""}});
  REQUIRE(fake_broker().published.size() == 2);
  CHECK(fake_broker().published[1].payload.empty());
}

TEST_CASE("a value the broker does not take is published the next time", "[plugin][sys]") {
  fake_broker() = FakeBroker{};
  SysTopics topics;

  fake_broker().refuses_messages = true;
  topics.publish({{"stale", "stale", "1"}});
  fake_broker().refuses_messages = false;
  topics.publish({{"stale", "stale", "1"}});
  CHECK(fake_broker().published.size() == 1);
}
