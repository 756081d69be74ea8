// SPDX-License-Identifier: Apache-2.0
// Topic actions run for each message, once for each of its receivers: what a session may do is
// decided without asking for memory.
#include "tests/catch.h"
#include "tests/plugin/allocations.h"
#include "tests/plugin/world.h"

namespace leafgate::test {
namespace {

constexpr const char* kRules = R"(
  - allow: {publish: ["devices/{device}/events/#"], subscribe: ["devices/{device}/events/+"]}
  - allow: {publish: ["sites/+/{device}/#"], subscribe: ["devices/{device}/cmd/#"]}
)";

using policy::Access;

// How many allocations the answer took; it must be yes.
unsigned taken_by(World& world, mosquitto& who, Access access, std::string_view topic) {
  const unsigned before = allocations();
  const plugin::Verdict verdict = world.gate.topic(&who, {.access = access, .topic = topic});
  const unsigned taken = allocations() - before;
  CHECK(verdict.decision.allow);
  return taken;
}

TEST_CASE("what a session may do is decided without asking for memory", "[plugin][gate]") {
  World world("", kRules);
  world.record("dev1", policy::CertState::kActive);
  mosquitto& dev1 = world.client("dev1");
  const unsigned before = allocations();
  REQUIRE(world.connect(dev1) == MOSQ_ERR_SUCCESS);
  REQUIRE(allocations() > before);  // they are counted

  CHECK(taken_by(world, dev1, Access::kPublish, "devices/dev1/events/of/the/day") == 0);
  CHECK(taken_by(world, dev1, Access::kPublish, "sites/north/dev1/temperature") == 0);
  CHECK(taken_by(world, dev1, Access::kReceive, "devices/dev1/cmd/restart/now/please") == 0);
  CHECK(taken_by(world, dev1, Access::kSubscribe, "devices/dev1/cmd/#") == 0);
  CHECK(taken_by(world, dev1, Access::kSubscribe, "$share/workers/devices/dev1/cmd/#") == 0);
}

TEST_CASE("with `topics: defer` and `topics: any` neither", "[plugin][gate]") {
  for (const char* const topics : {"defer", "any"}) {
    World world("", topics);
    world.record("dev1", policy::CertState::kActive);
    mosquitto& dev1 = world.client("dev1");
    static_cast<void>(world.connect(dev1));

    CHECK(taken_by(world, dev1, Access::kPublish, "a/topic/of/more/than/a/few/letters") == 0);
    CHECK(taken_by(world, dev1, Access::kReceive, "a/topic/of/more/than/a/few/letters") == 0);
  }
}

}  // namespace
}  // namespace leafgate::test
