// SPDX-License-Identifier: Apache-2.0
// Redis behind a name, and a name server that takes its time or says nothing.
#include <iostream>

#include "tests/catch.h"
#include "tests/registry/name_server.h"
#include "tests/registry/sync_fixture.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Schema;
using std::chrono::seconds;

namespace {

const policy::Fingerprint kA = fingerprint(1);
const std::string kKeyA = Schema().cert(kA);

// ctest looks for this text.
bool skipped() {
  if (enter_own_network()) return false;
  std::cout << "no network namespace to be had: nothing was tested with slow name servers\n";
  return true;
}

registry::SyncOptions by_name(const RedisServer& redis) {
  registry::SyncOptions options = Watcher::options(redis);
  options.endpoint.host = "redis.leafgate.test";
  return options;
}

}  // namespace

TEST_CASE("a name server that takes longer than Redis may is waited for", "[sync][resolver]") {
  if (skipped()) return;
  NameServer names(seconds(4));  // the resolver asks again after five
  RedisServer redis;
  redis.cli({"hset", kKeyA, "state", "active"});
  Watcher watcher(by_name(redis));

  REQUIRE(watcher.live(seconds(60)));
  CHECK(watcher.sees(kA, "active"));
  redis.cli({"hset", kKeyA, "state", "inactive"});
  CHECK(watcher.sees(kA, "inactive"));
  CHECK(names.queries() > 0);
}

TEST_CASE("a silent name server is named, and Redis is found when it answers again",
          "[sync][resolver]") {
  if (skipped()) return;
  NameServer names(milliseconds(0));
  names.be_silent(true);
  RedisServer redis;
  Watcher watcher(by_name(redis));

  CHECK(eventually(
      [&] {
        const std::string error = watcher.sync.status().last_error;
        return error.find("look") != std::string::npos &&
               error.find("redis.leafgate.test") != std::string::npos;
      },
      seconds(60)));
  INFO(watcher.sync.status().last_error);
  names.be_silent(false);
  CHECK(watcher.live(seconds(60)));
}

TEST_CASE("a sync that ends while a name is looked up does not wait for the name server",
          "[sync][resolver]") {
  if (skipped()) return;
  NameServer names(milliseconds(0));
  names.be_silent(true);
  RedisServer redis;
  unsigned asked_at_the_end = 0;
  {
    Watcher watcher(by_name(redis));
    REQUIRE(eventually([&] { return names.queries() > 0; }));
  }
  asked_at_the_end = names.queries();

  // The resolver asks once more after 5 s: the look-up went on without us.
  CHECK(eventually([&] { return names.queries() > asked_at_the_end; }, seconds(60)));
}
