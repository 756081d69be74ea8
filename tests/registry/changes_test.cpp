// SPDX-License-Identifier: Apache-2.0
#include "registry/changes.h"

#include "registry/outbox.h"
#include "registry/schema.h"
#include "tests/catch.h"
#include "tests/registry/sync_fixture.h"

using namespace leafgate::registry;
using leafgate::test::fingerprint;

TEST_CASE("changes wait until they are taken, once", "[changes]") {
  Changes changes;
  CHECK_FALSE(changes.waiting());
  changes.certificate(fingerprint(1));
  changes.device("dev1");
  changes.issuer("ab12");
  CHECK(changes.waiting());

  const ChangeBatch batch = changes.take();
  CHECK_FALSE(batch.all);
  CHECK(batch.certificates == std::vector{fingerprint(1)});
  CHECK(batch.devices == std::vector<std::string>{"dev1"});
  CHECK(batch.issuers == std::vector<std::string>{"ab12"});
  CHECK_FALSE(changes.waiting());
  CHECK(changes.take().certificates.empty());
}

TEST_CASE("more changes than there is room for mean everything", "[changes]") {
  Changes changes;
  for (std::size_t i = 0; i < kChangesMax; ++i)
    changes.certificate(fingerprint(i));
  changes.device("one too many");
  const ChangeBatch batch = changes.take();
  CHECK(batch.all);
  CHECK(batch.certificates.empty());
  CHECK(batch.devices.empty());

  changes.certificate(fingerprint(1));
  CHECK_FALSE(changes.take().all);
}

TEST_CASE("everything swallows what came before and after it", "[changes]") {
  Changes changes;
  changes.certificate(fingerprint(1));
  changes.everything();
  changes.certificate(fingerprint(2));
  const ChangeBatch batch = changes.take();
  CHECK(batch.all);
  CHECK(batch.certificates.empty());
}

TEST_CASE("the outbox keeps events in order and of the status only the latest", "[outbox]") {
  Outbox outbox;
  for (const char* kind : {"refused", "ended", "clone"})
    outbox.event({kind, {}});
  outbox.status({{"sessions", "1"}});
  outbox.status({{"sessions", "2"}});

  const Outbox::Letters first = outbox.take(2);
  REQUIRE(first.events.size() == 2);
  CHECK(first.events[0].kind == "refused");
  CHECK(first.events[1].kind == "ended");
  CHECK(first.status == Fields{{"sessions", "2"}});

  const Outbox::Letters second = outbox.take(2);
  REQUIRE(second.events.size() == 1);
  CHECK(second.events[0].kind == "clone");
  CHECK_FALSE(second.status.has_value());
}

TEST_CASE("a full outbox drops new events and counts them", "[outbox]") {
  Outbox outbox(2);
  for (const char* kind : {"refused", "ended", "clone"})
    outbox.event({kind, {}});
  CHECK(outbox.dropped() == 1);
  CHECK(outbox.take(10).events.back().kind == "ended");
}

TEST_CASE("no value in the outbox is longer than a stored value may be", "[outbox]") {
  Outbox outbox;
  outbox.event({"unknown", {{"device", std::string(1000, 'x')}}});
  outbox.status({{"version", std::string(1000, 'x')}});
  const Outbox::Letters letters = outbox.take(1);
  CHECK(letters.events[0].fields[0].second.size() == kEventValueBytesMax);
  CHECK((*letters.status)[0].second.size() == kValueBytesMax);
}
