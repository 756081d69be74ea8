// SPDX-License-Identifier: Apache-2.0
// What is believed of a data set, by what is known of it.
#include "registry/fence.h"

#include "registry/info.h"
#include "tests/catch.h"

using namespace leafgate::registry;
using Absence = Fence::Absence;

namespace {

Meta meta(std::string id, std::uint64_t seq = 0, std::string confirmed = "",
          std::string replaces = "", std::string restored = "") {
  return {std::move(id), seq, std::move(confirmed), std::move(replaces), std::move(restored)};
}

Remembered ours(std::uint64_t seq = 0, std::vector<std::string> regressions = {},
                std::string confirmed = "") {
  return {"ours", seq, std::move(regressions), std::move(confirmed)};
}

}  // namespace

TEST_CASE("without an id absence is believed at once, and a first id is adopted", "[fence]") {
  Fence fence({}, true);
  CHECK(fence.absence() == Absence::kBelieved);
  CHECK_FALSE(fence.take(meta("")));
  CHECK(fence.take(meta("ours", 7)));
  CHECK(fence.absence() == Absence::kUnproven);
  CHECK(fence.remembered() == ours(7));
  CHECK_FALSE(fence.distrusts());
}

TEST_CASE("another id, or none, holds absence until ours returns", "[fence]") {
  for (const char* found : {"theirs", ""}) {
    Fence fence(ours(5), true);
    CHECK(fence.take(meta(found, 1)));
    CHECK(fence.holding());
    CHECK(fence.found_id() == found);
    CHECK(fence.absence() == Absence::kHeld);
    CHECK(fence.distrusts());
    CHECK_FALSE(fence.take(meta(found, 2)));
    CHECK(fence.take(meta("a third")));
    CHECK(fence.remembered() == ours(5));

    CHECK_FALSE(fence.take(meta("ours", 6)));
    CHECK(fence.holding());
    CHECK(fence.returned(fence.returning()));
    CHECK_FALSE(fence.holding());
    CHECK(fence.absence() == Absence::kUnproven);
    CHECK_FALSE(fence.distrusts());
    CHECK(fence.remembered() == ours(6));
  }
}

TEST_CASE("a return of the id ends a HOLD when all that was written before it has been applied",
          "[fence]") {
  Fence fence(ours(5), true);
  fence.take(meta(""));
  CHECK(fence.returning() == 0);
  CHECK_FALSE(fence.returned(0));
  fence.take(meta("ours", 5));
  const std::uint64_t first = fence.returning();
  CHECK(first != 0);
  fence.take(meta("ours", 6));
  CHECK(fence.returning() == first);

  // It went again: what was applied since the first return says nothing of the second.
  fence.take(meta(""));
  CHECK(fence.returning() == 0);
  CHECK_FALSE(fence.returned(first));
  fence.take(meta("ours", 7));
  CHECK_FALSE(fence.returned(first));
  CHECK(fence.holding());
  CHECK(fence.returned(fence.returning()));
  CHECK(fence.remembered() == ours(7));
}

TEST_CASE("a backup that was put back is distrusted until a reconcile is through", "[fence]") {
  Remembered before = ours(5, {}, "3");
  before.restored = "1700000000-4";
  Fence same(before, true);
  CHECK_FALSE(same.take(meta("ours", 5, "3", "", "1700000000-4")));
  CHECK_FALSE(same.distrusts());

  // The backup brought no confirmation, which is none; seq went on.
  Fence fence(before, true);
  CHECK(fence.take(meta("ours", 9, "", "", "1800000000-9")));
  CHECK(fence.distrusts());
  fence.regress({"cert:a", "revoked", "active"});
  CHECK_FALSE(fence.take(meta("ours", 9, "", "", "1800000000-9")));
  fence.reconciled();
  CHECK_FALSE(fence.distrusts());
  CHECK(fence.regressed("cert:a"));
  CHECK(fence.remembered().restored == "1800000000-9");
  CHECK(fence.take(meta("ours", 10, "10", "", "1800000000-9")));
  CHECK_FALSE(fence.regressed("cert:a"));
}

TEST_CASE("a HOLD that a backup ends goes over into the doubt of lost writes", "[fence]") {
  Fence fence(ours(5), true);
  fence.take(meta(""));
  fence.regress({"cert:a", "revoked", "active"});
  fence.take(meta("ours", 9, "", "", "1800000000-9"));
  CHECK(fence.returned(fence.returning()));
  CHECK_FALSE(fence.holding());
  CHECK(fence.distrusts());
}

TEST_CASE("an id that replaces ours is adopted, and one that replaces another is not", "[fence]") {
  Fence fence(ours(5), true);
  CHECK(fence.take(meta("new", 0, "1", "others")));
  CHECK(fence.holding());
  fence.regress({"cert:a", "revoked", "active"});
  CHECK(fence.take(meta("new", 0, "1", "ours")));
  CHECK_FALSE(fence.holding());
  CHECK(fence.remembered() == Remembered{"new", 0, {}, "1"});
}

TEST_CASE("a meta without an id replaces nothing", "[fence]") {
  Fence fence(ours(), true);
  CHECK(fence.take(meta("", 0, "1", "ours")));
  CHECK(fence.holding());
}

TEST_CASE("when nothing is held any id is adopted and absence believed", "[fence]") {
  Fence fence(ours(5), false);
  CHECK(fence.absence() == Absence::kBelieved);
  CHECK(fence.take(meta("theirs", 1)));
  CHECK_FALSE(fence.holding());
  CHECK(fence.remembered() == Remembered{"theirs", 1, {}});
  CHECK(fence.take(meta("")));
  CHECK(fence.remembered() == Remembered{});
}

TEST_CASE("a confirmation made while nobody listened ends what was kept before it", "[fence]") {
  const Remembered before = ours(5, {"cert:a"}, "3");
  Fence same(before, true);
  same.take(meta("ours", 5, "3"));
  CHECK(same.regressed("cert:a"));

  Fence confirmed(before, true);
  CHECK(confirmed.take(meta("ours", 6, "6")));
  CHECK_FALSE(confirmed.regressed("cert:a"));
  CHECK(confirmed.remembered().confirmed == "6");

  // A backup of before has an older confirmation, which is none.
  Fence older(before, true);
  CHECK(older.take(meta("ours", 4, "2")));
  CHECK(older.regressed("cert:a"));
}

TEST_CASE("a loss that was not read through is remembered", "[fence]") {
  Fence fence(ours(5), true);
  fence.take(Replication{"history", 100, "", -1});
  const std::uint64_t before = fence.version();
  fence.disconnect();
  CHECK(fence.take(Replication{"other", 90, "history", 90}));
  CHECK(fence.version() > before);
  CHECK(fence.remembered().lost);

  Fence next(fence.remembered(), true);
  CHECK(next.distrusts());
  next.take(meta("ours", 5));
  CHECK(next.distrusts());
  next.reconciled();
  CHECK_FALSE(next.distrusts());
  CHECK_FALSE(next.remembered().lost);
}

TEST_CASE("a seq below the highest seen is distrusted until a reconcile is through", "[fence]") {
  Fence fence(ours(5), true);
  CHECK(fence.take(meta("ours", 4)));
  CHECK(fence.distrusts());
  CHECK(fence.absence() == Absence::kUnproven);
  CHECK_FALSE(fence.take(meta("ours", 4)));
  CHECK(fence.remembered().seq == 5);  // a process that starts now must notice as well
  fence.reconciled();
  CHECK_FALSE(fence.distrusts());
  CHECK(fence.remembered().seq == 4);
  CHECK_FALSE(fence.take(meta("ours", 4)));
}

TEST_CASE("without an id a lower seq says nothing", "[fence]") {
  Fence fence({}, true);
  CHECK_FALSE(fence.take(meta("", 9)));
  CHECK_FALSE(fence.take(meta("", 1)));
  CHECK_FALSE(fence.distrusts());
}

TEST_CASE("the offset of a new link shows what its server lacks", "[fence]") {
  struct Case {
    Replication then;
    Replication now;
    bool lost;
  };
  const std::string a(40, 'a');
  const std::string b(40, 'b');
  const std::vector<Case> cases = {
      {{a, 100, "", -1}, {a, 99, "", -1}, true},
      {{a, 100, "", -1}, {a, 100, "", -1}, false},
      {{a, 100, "", -1}, {a, 101, "", -1}, false},
      {{a, 100, "", -1}, {b, 500, a, 100}, true},   // it follows a up to 99
      {{a, 100, "", -1}, {b, 500, a, 101}, false},  // and here up to 100
      {{a, 100, "", -1}, {b, 1, "", -1}, false},    // no common history: nothing is proven
      {{a, 100, "", -1}, {"", 0, "", -1}, false},
  };
  for (const Case& c : cases) {
    INFO(c.now.id << " " << c.now.offset << ", " << c.now.former_offset);
    Fence fence({}, true);
    CHECK_FALSE(fence.take(c.then));
    fence.disconnect();
    CHECK(fence.take(c.now) == c.lost);
    CHECK(fence.distrusts() == c.lost);
  }
}

TEST_CASE("within one link, and in a HOLD, offsets are not compared", "[fence]") {
  Fence fence(ours(), true);
  fence.take(meta("ours"));
  CHECK_FALSE(fence.take(Replication{"a", 100, "", -1}));
  CHECK_FALSE(fence.take(Replication{"a", 50, "", -1}));
  fence.disconnect();
  fence.take(meta("theirs"));
  CHECK_FALSE(fence.take(Replication{"a", 10, "", -1}));
  fence.take(meta("ours"));
  fence.returned(fence.returning());
  CHECK(fence.take(Replication{"a", 20, "", -1}));
}

TEST_CASE("a regression stands until its key is written or the loss is confirmed", "[fence]") {
  Fence fence(ours(5, {"cert:a"}, "1"), true);
  CHECK_FALSE(fence.take(meta("ours", 5, "1")));
  CHECK(fence.regressed("cert:a"));
  CHECK(fence.take(meta("ours", 4, "1")));
  fence.regress({"cert:b", "revoked", "active"});
  fence.regress({"block:device:d", "all", "none"});
  CHECK(fence.take_new().size() == 2);
  CHECK(fence.take_new().empty());
  fence.reconciled();
  CHECK(fence.regressions() == 3);

  fence.written("cert:b");
  CHECK_FALSE(fence.regressed("cert:b"));
  CHECK(fence.remembered() == ours(4, {"block:device:d", "cert:a"}, "1"));

  CHECK(fence.take(meta("ours", 4, "2")));
  CHECK(fence.regressions() == 0);
  CHECK_FALSE(fence.distrusts());
}

TEST_CASE("a confirmation that went with the lost writes confirms nothing", "[fence]") {
  Fence fence(ours(5, {"cert:a"}, "2"), true);
  CHECK_FALSE(fence.take(meta("ours", 5, "2")));
  CHECK(fence.take(meta("ours", 3, "1")));
  CHECK(fence.distrusts());
  CHECK(fence.regressed("cert:a"));
  CHECK(fence.take(meta("ours", 3, "3")));
  CHECK_FALSE(fence.distrusts());
  CHECK(fence.remembered() == ours(3, {}, "3"));
}

TEST_CASE("what a HOLD kept goes with it, and what was kept before stays", "[fence]") {
  Fence fence(ours(0, {"cert:a"}), true);
  fence.take(meta("theirs"));
  fence.regress({"cert:b", "inactive", "active"});
  CHECK(fence.regressions() == 2);
  fence.take(meta("ours"));
  CHECK(fence.returned(fence.returning()));
  CHECK(fence.remembered() == ours(0, {"cert:a"}));
}

TEST_CASE("regressions that cannot be remembered leave the next reconcile in doubt, and so on",
          "[fence]") {
  Fence fence(ours(5), true);
  fence.take(meta("ours", 4));
  const auto reconcile = [&](std::size_t settled) {
    for (std::size_t i = settled; i < Fence::kRegressionsMax + 5; ++i) {
      const std::string key = "cert:" + std::to_string(i);
      if (!fence.regressed(key)) fence.regress({key, "revoked", "active"});
    }
    fence.reconciled();
  };
  reconcile(0);
  CHECK(fence.regressions() == Fence::kRegressionsMax);
  CHECK(fence.distrusts());
  CHECK(fence.remembered().lost);

  // Somebody decides about one, then about more than had no place.
  fence.written("cert:0");
  CHECK(fence.distrusts());
  reconcile(1);
  CHECK(fence.distrusts());
  for (std::size_t i = 1; i < 10; ++i)
    fence.written("cert:" + std::to_string(i));
  reconcile(10);
  CHECK_FALSE(fence.distrusts());
  CHECK(fence.regressions() == Fence::kRegressionsMax - 5);
  CHECK(fence.regressed("cert:" + std::to_string(Fence::kRegressionsMax + 4)));
}

TEST_CASE("a confirmation ends also what cannot be remembered", "[fence]") {
  Fence fence(ours(5), true);
  fence.take(meta("ours", 4));
  for (std::size_t i = 0; i <= Fence::kRegressionsMax; ++i)
    fence.regress({"cert:" + std::to_string(i), "revoked", "active"});
  fence.reconciled();
  CHECK(fence.take(meta("ours", 4, "1")));
  CHECK_FALSE(fence.distrusts());
  CHECK(fence.regressions() == 0);
}

TEST_CASE("INFO replication is read as Redis writes it, and nonsense says nothing", "[fence]") {
  const Replication found = parse_replication(
      "# Replication\r\nrole:master\r\nconnected_slaves:1\r\n"
      "slave0:ip=127.0.0.1,port=1,state=online,offset=42,lag=0\r\nmaster_replid:aaa\r\n"
      "master_replid2:bbb\r\nmaster_repl_offset:42\r\nsecond_repl_offset:17\r\n");
  CHECK(found.id == "aaa");
  CHECK(found.offset == 42);
  CHECK(found.former_id == "bbb");
  CHECK(found.former_offset == 17);
  CHECK(parse_replication("").id.empty());
  CHECK(parse_replication("master_repl_offset:x").offset == 0);
}
