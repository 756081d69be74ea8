// SPDX-License-Identifier: Apache-2.0
// Many brokers on one Redis read everything in turns; nobody depends on it.
#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <sstream>

#include "tests/catch.h"
#include "tests/registry/sync_fixture.h"
#include "tests/support/delay_proxy.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Command;
using registry::Schema;
using registry::SyncState;
using std::chrono::seconds;

namespace {

const Schema kSchema;
const policy::Fingerprint kA = fingerprint(1);
const std::string kKeyA = kSchema.cert(kA);
constexpr std::uint64_t kRecords = 5000;

registry::SyncOptions in_turns(const RedisServer& redis, std::string broker = "gateway-1") {
  registry::SyncOptions options = Watcher::options(redis, std::move(broker));
  options.lease_free_keys = kRecords / 2;
  return options;
}

// Another broker's turns, all of them, until further notice.
void take_all_turns(const RedisServer& redis) {
  for (const std::string& key : kSchema.leases())
    redis.cli({"set", key, "somebody", "px", "60000"});
}

void end_turns(const RedisServer& redis) {
  for (const std::string& key : kSchema.leases())
    redis.cli({"del", key});
}

void drop_links(const RedisServer& redis) {
  redis.cli({"client", "kill", "type", "pubsub"});
}

// What Redis is asked from now on, in a file.
class Monitor {
 public:
  explicit Monitor(const RedisServer& redis)
      : process_({{"redis-cli", "-p", std::to_string(redis.port()), "monitor"}, {}, file()}) {
    REQUIRE(eventually([&] { return text().find("OK") != std::string::npos; }));
  }
  std::string text() const { return read_file(file()); }

 private:
  std::string file() const { return dir_ / "monitor"; }

  TempDir dir_;
  Process process_;
};

// By what MONITOR printed: how many clients were, at most, between their first and last SCAN.
std::size_t most_at_once(const std::string& monitor) {
  std::map<std::string, std::pair<std::size_t, std::size_t>> spans;  // by the client's address
  std::istringstream lines(monitor);
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line); ++number) {
    if (line.find("] \"SCAN\"") == std::string::npos) continue;
    const std::string client = line.substr(line.find('['), line.find(']') - line.find('['));
    spans.try_emplace(client, number, number).first->second.second = number;
  }
  std::ptrdiff_t most = 0;
  for (const auto& [unused, span] : spans) {
    const std::size_t first = span.first;
    most = std::max(most, std::count_if(spans.begin(), spans.end(), [&](auto& other) {
                      return other.second.first <= first && first <= other.second.second;
                    }));
  }
  return static_cast<std::size_t>(most);
}

// It has lost its links and finds all turns taken.
void wait_for_a_turn(const RedisServer& redis, const Watcher& watcher) {
  REQUIRE(watcher.settled());
  take_all_turns(redis);
  drop_links(redis);
  REQUIRE(eventually([&] { return watcher.sync.status().state == SyncState::kSyncing; }));
}

}  // namespace

TEST_CASE("of many brokers that lost redis, two at a time read everything", "[sync][lease]") {
  RedisServer redis;
  fill(redis, kRecords);
  std::vector<std::unique_ptr<Watcher>> watchers;
  for (int i = 0; i < 8; ++i)
    watchers.push_back(std::make_unique<Watcher>(in_turns(redis, "gateway-" + std::to_string(i))));
  for (const auto& watcher : watchers)
    REQUIRE(watcher->settled(seconds(60)));

  const Monitor monitor(redis);
  drop_links(redis);
  for (const auto& watcher : watchers)
    CHECK(eventually([&] { return watcher->sync.status().full_syncs == 2; }, seconds(60)));
  const std::size_t most = most_at_once(monitor.text());

  CHECK(most >= 1);
  CHECK(most <= 2);
  for (const auto& watcher : watchers) {
    CHECK(watcher->settled(seconds(60)));
    CHECK(differences(redis, watcher->replica) == "");
  }
}

TEST_CASE("who waits for its turn goes on following what changes", "[sync][lease]") {
  RedisServer redis;
  fill(redis, kRecords);
  Watcher watcher(in_turns(redis));
  wait_for_a_turn(redis, watcher);

  redis.cli({"hset", kKeyA, "state", "inactive"});
  CHECK(watcher.sees(kA, "inactive"));
  redis.cli({"del", kKeyA});
  CHECK(watcher.sees(kA, "none"));
  watcher.outbox.event({"refused", {}});  // and goes on talking
  CHECK(eventually([&] { return redis.cli({"xlen", kSchema.events()}) == "1"; }));
  CHECK(watcher.sync.status().state == SyncState::kSyncing);

  end_turns(redis);
  CHECK(watcher.live());
  CHECK(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("what came and went while a turn was waited for is not taken for something there",
          "[sync][lease]") {
  constexpr std::uint64_t kMany = 60'000;  // more than is asked for until the turn is there
  RedisServer redis;
  fill(redis, kRecords);
  Watcher watcher(in_turns(redis));
  wait_for_a_turn(redis, watcher);

  const auto for_all = [](const std::string& command) {
    return "for i = 1, " + std::to_string(kMany) + " do redis.call('" + command +
           "', 'leafgate:cert:' .. string.format('%064x', i)";
  };
  registry::Client client = redis.client();
  REQUIRE_FALSE(
      client.call({"EVAL", for_all("HSET") + ", 'state', 'active') end", "0"}).value().is_error());
  REQUIRE(eventually([&] { return watcher.replica.size() >= kMany; }, seconds(60)));
  std::vector<Command> commands = {{"MULTI"}, {"EVAL", for_all("DEL") + ") end", "0"}};
  for (const std::string& key : kSchema.leases())
    commands.push_back({"DEL", key});
  commands.push_back({"EXEC"});
  REQUIRE(client.pipeline(commands).ok());

  CHECK(watcher.live());
  CHECK(watcher.settled(seconds(60)));
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("who knows nothing yet waits for its turn too, and no longer than a turn that was left",
          "[sync][lease]") {
  RedisServer redis;
  fill(redis, kRecords);
  std::vector<Command> commands;  // in one go: they end together
  for (const std::string& key : kSchema.leases())
    commands.push_back({"SET", key, "somebody", "PX", "1500"});
  REQUIRE(redis.client().pipeline(commands).ok());
  Watcher watcher(in_turns(redis));

  CHECK(watcher.live());
  // Lived to its end: nobody has overwritten it.
  CHECK(redis.cli({"get", kSchema.leases().back()}).empty());
  CHECK(watcher.settled());
}

TEST_CASE("a flush is seen at once although no turn is free", "[sync][lease]") {
  RedisServer redis;
  fill(redis, kRecords);
  Watcher watcher(in_turns(redis));
  REQUIRE(watcher.settled());

  // The flush takes turns with it: they are taken again in the same moment.
  registry::Client client = redis.client();
  std::vector<Command> commands = {{"MULTI"}, {"FLUSHALL"}};
  for (const std::string& key : kSchema.leases())
    commands.push_back({"SET", key, "somebody", "PX", "60000"});
  commands.push_back({"EXEC"});
  REQUIRE(client.pipeline(commands).ok());

  CHECK(watcher.sees(kA, "none"));
  CHECK(watcher.live());
}

TEST_CASE("a turn lasts as long as the reading, and ends by itself when the reader dies",
          "[sync][lease]") {
  RedisServer redis;
  fill(redis, kRecords);
  DelayProxy proxy(redis.port());
  proxy.set_delay(milliseconds(250));
  registry::SyncOptions options = in_turns(redis);
  options.endpoint.port = static_cast<std::uint16_t>(proxy.port());
  options.answer_deadline = seconds(10);
  auto watcher = std::make_unique<Watcher>(options);
  const std::string mine = watcher->sync.status().instance;
  const auto holder = [&] { return redis.cli({"get", kSchema.leases()[0]}); };
  REQUIRE(eventually([&] { return holder() == mine; }));

  // 20 pages of half a second: longer than a turn lives without its holder.
  std::set<std::string> holders;
  while (!watcher->sync.status().ever_synced)
    holders.insert(holder());
  holders.erase("");  // given back, just before the status says so
  CHECK(holders == std::set<std::string>{mine});

  drop_links(redis);
  REQUIRE(eventually([&] { return holder() == mine; }, seconds(20)));
  watcher.reset();
  CHECK(holder() == mine);
  CHECK(eventually([&] { return holder().empty(); }));
}

TEST_CASE("a turn that nobody gets is not waited for without end", "[sync][lease]") {
  RedisServer redis;
  fill(redis, kRecords);
  for (const std::string& key : kSchema.leases())
    redis.cli({"set", key, "somebody"});  // for good
  registry::SyncOptions options = in_turns(redis);
  options.lease_patience = seconds(1);
  Watcher watcher(options);

  CHECK(watcher.live());
  CHECK(watcher.settled());
  CHECK(watcher.log().find("registry_lease_refused") != std::string::npos);
  CHECK(redis.cli({"get", kSchema.leases()[0]}) == "somebody");
}

TEST_CASE("what is named while a rebuild waits is read, however much it is", "[sync][lease]") {
  RedisServer redis;
  fill(redis, kRecords);
  Watcher watcher(in_turns(redis));
  REQUIRE(watcher.settled());
  take_all_turns(redis);
  // More than is read one by one.
  redis.cli({"eval",
             "for i = 1, 20000 do redis.call('HSET', "
             "'leafgate:cert:' .. string.format('%064x', i), 'state', 'revoked') end",
             "0"});
  policy::Fingerprint last{};
  last.bytes[30] = 20000 / 256;
  last.bytes[31] = 20000 % 256;

  CHECK(watcher.sees(last, "revoked"));
  end_turns(redis);
  CHECK(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("a turn is given back, and kept over a link that was lost", "[sync][lease]") {
  RedisServer redis;
  fill(redis, kRecords);
  Watcher watcher(in_turns(redis));
  REQUIRE(watcher.settled());
  // As if it had died in the middle of its turn.
  const std::string mine = watcher.sync.status().instance;
  take_all_turns(redis);
  redis.cli({"set", kSchema.leases()[1], mine, "px", "60000"});
  drop_links(redis);

  CHECK(eventually([&] { return watcher.sync.status().full_syncs == 2; }));
  CHECK(eventually([&] { return redis.cli({"get", kSchema.leases()[1]}).empty(); }));
  CHECK(redis.cli({"get", kSchema.leases()[0]}) == "somebody");
}

TEST_CASE("comparisons have a turn of their own", "[sync][lease]") {
  RedisServer redis;
  fill(redis, kRecords);
  const std::string key = kSchema.leases().back();
  redis.cli({"set", key, "somebody", "px", "60000"});
  registry::SyncOptions options = in_turns(redis);
  options.reconcile_interval = seconds(1);
  Watcher watcher(options);
  const std::string mine = watcher.sync.status().instance;
  REQUIRE(watcher.settled());

  const Monitor monitor(redis);
  CHECK(eventually([&] { return occurrences(monitor.text(), key + "\" \"" + mine) >= 3; }));
  CHECK(watcher.sync.status().full_syncs == 1);
  CHECK(watcher.settled());

  redis.cli({"del", key});
  CHECK(eventually([&] { return watcher.sync.status().full_syncs > 1; }));
  CHECK(watcher.sync.status().repairs == 0);
}

TEST_CASE("who may not take turns, or cannot, goes without", "[sync][lease]") {
  RedisServer redis;
  fill(redis, kRecords);
  SECTION("for want of a right") {
    redis.cli({"acl", "setuser", "default", "resetkeys", "%R~leafgate:cert:*",
               "%R~leafgate:block:*", "%R~leafgate:meta", "~leafgate:pulse:*"});
    Watcher watcher(in_turns(redis));
    CHECK(watcher.settled());
    CHECK(watcher.log().find("registry_lease_refused") != std::string::npos);
    CHECK(watcher.log().find("redis-acl") != std::string::npos);
  }
  SECTION("because Redis takes no writes") {
    redis.cli({"config", "set", "min-replicas-to-write", "1"});
    Watcher watcher(in_turns(redis));
    CHECK(watcher.live());
    CHECK(watcher.sees(kA, "active"));
  }
}
