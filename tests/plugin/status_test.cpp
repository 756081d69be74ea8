// SPDX-License-Identifier: Apache-2.0
#include "plugin/status.h"

#include <algorithm>
#include <set>

#include "tests/catch.h"

using leafgate::plugin::Counters;
using leafgate::plugin::Statement;
using leafgate::plugin::Status;
using leafgate::policy::Reason;
using leafgate::policy::Time;
using leafgate::registry::Replica;
using leafgate::registry::SnapshotsStatus;
using leafgate::registry::SyncStatus;
using namespace std::chrono_literals;

namespace {

Counters some_refusals() {
  Counters counters;
  counters.refused[static_cast<std::size_t>(Reason::kInactive)] = 2;
  counters.refused[static_cast<std::size_t>(Reason::kRevoked)] = 3;
  counters.clones = 4;
  return counters;
}

SyncStatus in_sync() {
  SyncStatus sync;
  sync.state = leafgate::registry::SyncState::kLive;
  sync.age = 1999ms;
  sync.connects = 3;
  sync.instance = "abc";
  return sync;
}

Status everything() {
  Status status;
  SnapshotsStatus snapshot;
  snapshot.watermark = Time(10s);
  snapshot.error = "/file: no room";
  add_counters(status, some_refusals());
  add_registry(status, in_sync());
  add_states(status, Replica());
  add_snapshot(status, snapshot, "/file", Time(25s));
  return status;
}

std::string by_topic(const Status& status, const std::string& topic) {
  const auto at = std::find_if(status.begin(), status.end(), [&](const Statement& statement) {
    return statement.topic == topic;
  });
  return at == status.end() ? "(none)" : at->value;
}

std::string by_field(const Status& status, const std::string& field) {
  for (const auto& [name, value] : fields_of(status)) {
    if (name == field) return value;
  }
  return "(none)";
}

}  // namespace

TEST_CASE("what a broker says has one place in the hash and one below $SYS", "[plugin][status]") {
  std::set<std::string> fields;
  std::set<std::string> topics;
  for (const Statement& statement : everything()) {
    INFO(statement.field << " " << statement.topic);
    CHECK_FALSE((statement.field.empty() && statement.topic.empty()));
    if (!statement.field.empty()) CHECK(fields.insert(statement.field).second);
    if (!statement.topic.empty()) CHECK(topics.insert(statement.topic).second);
    CHECK(statement.topic.find_first_of("#+$ ") == std::string::npos);
  }
}

TEST_CASE("refusals are told by reason and in all", "[plugin][status]") {
  const Status status = everything();
  CHECK(by_field(status, "refused") == "5");
  CHECK(by_field(status, "refused_inactive") == "2");
  CHECK(by_topic(status, "refused/revoked") == "3");
  CHECK(by_topic(status, "refused/pending") == "(none)");
  CHECK(by_topic(status, "clones") == "4");
}

TEST_CASE("the age of the copy is told in milliseconds, and in seconds that seldom change",
          "[plugin][status]") {
  const Status status = everything();
  CHECK(by_field(status, "age_ms") == "1999");
  CHECK(by_topic(status, "sync/age_s") == "1");
  CHECK(by_topic(status, "sync/state") == "live");
  CHECK(by_topic(status, "sync/reconnects") == "2");

  Status unknown;
  add_registry(unknown, SyncStatus{});
  CHECK(by_field(unknown, "age_ms").empty());
  CHECK(by_topic(unknown, "sync/age_s").empty());
}

TEST_CASE("which process it is and what failed stay out of $SYS", "[plugin][status]") {
  const Status status = everything();
  CHECK(by_field(status, "instance") == "abc");
  CHECK(by_field(status, "snapshot_error") == "no room");
  CHECK(by_topic(status, "snapshot/age_s") == "15");
  CHECK(std::none_of(status.begin(), status.end(), [](const Statement& statement) {
    return !statement.topic.empty() && (statement.value == "abc" || statement.value == "no room");
  }));
}
