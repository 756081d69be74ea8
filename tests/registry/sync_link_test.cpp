// SPDX-License-Identifier: Apache-2.0
// What breaks between a broker and Redis, and how the replica comes out of it.
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/catch.h"
#include "tests/registry/sync_fixture.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Command;
using registry::Schema;
using registry::SyncState;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

const Schema kSchema;
const policy::Fingerprint kA = fingerprint(1);
const policy::Fingerprint kB = fingerprint(2);
const std::string kKeyA = kSchema.cert(kA);
const std::string kKeyB = kSchema.cert(kB);

// The client ids of all connections that are S (they have subscribed) or D (they redirect).
std::vector<std::string> connections(registry::Client& client, std::string_view which) {
  std::vector<std::string> ids;
  const registry::Reply list = client.call({"CLIENT", "LIST"}).value();
  std::istringstream lines{std::string(*list.text())};
  for (std::string line; std::getline(lines, line);) {
    const bool hears = line.find(" sub=1 ") != std::string::npos;
    const bool redirects = line.find(" redir=-1") == std::string::npos;
    if (which == "S" ? !hears : !redirects) continue;
    ids.push_back(line.substr(3, line.find(' ') - 3));
  }
  return ids;
}

// How many were there to kill.
std::size_t kill_connections(registry::Client& client, const std::string& which) {
  std::size_t killed = 0;
  for (const char* const side : {"S", "D"}) {
    if (which != "both" && which != side) continue;
    for (const std::string& id : connections(client, side)) {
      const registry::Reply answer = client.call({"CLIENT", "KILL", "ID", id}).value();
      killed += answer.integer() == 1 ? 1 : 0;
    }
  }
  return killed;
}

registry::SyncOptions impatient(const RedisServer& redis) {
  registry::SyncOptions options = Watcher::options(redis);
  options.answer_deadline = milliseconds(500);
  return options;
}

// Changes a record in each way while nobody listens.
void change_unheard(const RedisServer& redis) {
  redis.cli({"hset", kSchema.cert(fingerprint(10)), "state", "revoked"});
  redis.cli({"del", kSchema.cert(fingerprint(11))});
  redis.cli({"hset", kSchema.cert(fingerprint(100'000)), "state", "active"});
  redis.cli({"hset", "leafgate:block:device:dev1", "note", "x"});
}

bool saw_unheard_changes(const Watcher& watcher) {
  return watcher.sees(fingerprint(10), "revoked") && watcher.sees(fingerprint(11), "none") &&
         watcher.sees(fingerprint(100'000), "active") &&
         eventually([&] { return watcher.replica.device_block("dev1").has_value(); });
}

}  // namespace

TEST_CASE("a link that loses one connection drops both and comes back", "[sync]") {
  RedisServer redis;
  fill(redis, 1000);
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  const std::string which = GENERATE("S", "D", "both");
  INFO(which);

  registry::Client client = redis.client();
  REQUIRE(kill_connections(client, which) >= 1);
  change_unheard(redis);

  CHECK(eventually([&] { return watcher.sync.status().connects >= 2; }));
  CHECK(saw_unheard_changes(watcher));
  REQUIRE(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
  CHECK(eventually([&] {
    return connections(client, "S").size() == 1 && connections(client, "D").size() == 1;
  }));
}

TEST_CASE("a link killed at any moment of arming or scanning ends in the truth", "[sync]") {
  RedisServer redis;
  fill(redis, 5000);
  Watcher watcher(redis);
  const std::string which = GENERATE("S", "D", "both");
  INFO(which);
  std::size_t killed = 0;
  registry::Client client = redis.client();
  // The moments differ by themselves: each kill comes as soon as there is somebody to kill.
  for (int round = 0; round < 25; ++round) {
    REQUIRE(eventually([&] {
      const std::size_t now = kill_connections(client, which);
      killed += now;
      return now > 0;
    }));
    const std::string key = kSchema.cert(fingerprint(static_cast<std::uint64_t>(round)));
    REQUIRE(client.call({"HSET", key, "state", round % 2 == 0 ? "inactive" : "revoked"}).ok());
  }
  INFO(killed << " killed, " << watcher.sync.status().connects << " times live");
  REQUIRE(watcher.live());
  REQUIRE(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
  CHECK(watcher.sync.status().repairs == 0);
}

TEST_CASE("while there is no Redis the replica serves and grows older", "[sync]") {
  RedisServer redis({.append_only = true, .arguments = {}});
  fill(redis, 1000);
  Watcher watcher(redis);
  REQUIRE(watcher.live());

  redis.kill();

  REQUIRE(eventually([&] {
    return watcher.sync.status().state == SyncState::kDown ||
           !watcher.sync.status().last_error.empty();
  }));
  const auto older = *watcher.sync.age();
  CHECK(eventually([&] { return *watcher.sync.age() > older + milliseconds(100); }));
  CHECK(watcher.sync.status().ever_synced);
  CHECK(watcher.replica.find(kA)->state == policy::CertState::kActive);

  redis.restart();
  change_unheard(redis);

  CHECK(saw_unheard_changes(watcher));
  REQUIRE(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
  CHECK(eventually([&] { return watcher.sync.status().last_error.empty(); }));
  // However often it was tried, each reason stands in the log once.
  const std::string log = watcher.log();
  CHECK(occurrences(log, "registry_down") >= 1);
  CHECK(occurrences(log, "Connection refused") <= 1);
}

TEST_CASE("a Redis that restarts with its data is read anew", "[sync]") {
  const bool append_only = GENERATE(true, false);
  INFO(append_only);
  RedisOptions kept;
  kept.append_only = append_only;
  RedisServer redis(kept);
  fill(redis, 100);
  Watcher watcher(redis);
  REQUIRE(watcher.settled());
  change_unheard(redis);
  redis.cli({"save"});
  redis.kill();
  redis.restart();

  CHECK(eventually([&] { return watcher.sync.status().full_syncs >= 2; }));
  CHECK(saw_unheard_changes(watcher));
  REQUIRE(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
}

TEST_CASE("a Redis that comes back empty leaves nobody admitted", "[sync]") {
  RedisServer redis;
  fill(redis, 1000);
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.kill();
  redis.restart();
  CHECK(watcher.sees(kA, "none"));
  CHECK(eventually([&] { return watcher.replica.size() == 0; }));
}

TEST_CASE("a Redis frozen for less than the deadline is waited for", "[sync]") {
  RedisServer redis;
  fill(redis, 1000);
  Watcher watcher(redis);
  REQUIRE(watcher.live());

  redis.freeze();
  // Longer than a few pulses, and far from the two seconds of the deadline.
  REQUIRE(eventually([&] { return *watcher.sync.age() > milliseconds(400); }));
  redis.thaw();
  redis.cli({"hset", kKeyA, "state", "revoked"});

  CHECK(watcher.sees(kA, "revoked"));
  CHECK(watcher.settled());
  CHECK(watcher.sync.status().connects == 1);
}

TEST_CASE("a Redis frozen for longer is left, and found again", "[sync]") {
  RedisServer redis;
  fill(redis, 1000);
  Watcher watcher(impatient(redis));
  REQUIRE(watcher.live());

  redis.freeze();
  REQUIRE(eventually([&] { return watcher.sync.status().state != SyncState::kLive; }));
  CHECK_THAT(watcher.sync.status().last_error, ContainsSubstring("does not answer"));
  CHECK(watcher.replica.find(kA)->state == policy::CertState::kActive);
  redis.thaw();
  change_unheard(redis);

  CHECK(saw_unheard_changes(watcher));
  REQUIRE(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
  CHECK(watcher.sync.status().connects >= 2);
}

TEST_CASE("a Redis that is not there yet is found when it comes", "[sync]") {
  RedisServer redis({.append_only = true, .arguments = {}});
  redis.cli({"hset", kKeyA, "state", "active"});
  redis.stop();
  Watcher watcher(redis);
  REQUIRE(eventually([&] { return !watcher.sync.status().last_error.empty(); }));
  CHECK_FALSE(watcher.sync.wait_until_synced(milliseconds(50)));
  CHECK_FALSE(watcher.sync.age().has_value());
  CHECK_FALSE(watcher.sync.status().ever_synced);

  redis.restart();

  CHECK(watcher.sync.wait_until_synced(seconds(20)));
  CHECK(watcher.sync.age().has_value());
  CHECK(watcher.sees(kA, "active"));
}

#if !defined(__SANITIZE_THREAD__)  // see registry/resolve.h
TEST_CASE("a name nobody knows is an error that names it, and stopping does not wait for it",
          "[sync]") {
  RedisServer redis;
  registry::SyncOptions options = Watcher::options(redis);
  options.endpoint.host = "no-such-host.invalid";
  Watcher watcher(options);
  CHECK(eventually([&] {
    return watcher.sync.status().last_error.find("no-such-host.invalid") != std::string::npos;
  }));
}

TEST_CASE("localhost is found by name, on whichever address Redis listens", "[sync]") {
  RedisServer redis;
  registry::SyncOptions options = Watcher::options(redis);
  options.endpoint.host = "localhost";
  Watcher watcher(options);
  CHECK(watcher.live());
}
#endif

TEST_CASE("a unix socket serves as well", "[sync]") {
  TempDir dir;
  RedisServer redis({.arguments = {"--unixsocket", dir / "redis.sock"}});
  redis.cli({"hset", kKeyA, "state", "active"});
  registry::SyncOptions options = Watcher::options(redis);
  options.endpoint.host.clear();
  options.endpoint.path = dir / "redis.sock";
  Watcher watcher(options);
  REQUIRE(watcher.live());
  CHECK(watcher.sees(kA, "active"));
  redis.cli({"hset", kKeyA, "state", "inactive"});
  CHECK(watcher.sees(kA, "inactive"));
}

TEST_CASE("the password file is read at each log-in, and its content appears nowhere", "[sync]") {
  RedisServer redis;
  TempDir dir;
  fill(redis, 100);
  redis.cli({"acl", "setuser", "broker", "on", ">first-secret", "~*", "&*", "+@all"});
  registry::SyncOptions options = Watcher::options(redis);
  options.endpoint.username = "broker";
  options.endpoint.password_file = dir / "password";
  write_file(dir / "password", "first-secret\n");
  Watcher watcher(options);
  REQUIRE(watcher.live());

  // Shut out: the record changes while nobody can listen.
  redis.cli({"acl", "setuser", "broker", "resetpass", ">second-secret"});
  redis.cli({"client", "kill", "user", "broker"});
  REQUIRE(eventually(
      [&] { return watcher.sync.status().last_error.find("WRONGPASS") != std::string::npos; }));
  change_unheard(redis);
  write_file(dir / "password", "second-secret\n");

  CHECK(saw_unheard_changes(watcher));
  REQUIRE(watcher.settled());
  CHECK(differences(redis, watcher.replica) == "");
  CHECK(occurrences(watcher.log(), "secret") == 0);

  ::unlink((dir / "password").c_str());
  redis.cli({"client", "kill", "user", "broker"});
  CHECK(eventually(
      [&] { return watcher.sync.status().last_error.find("password file") != std::string::npos; }));
}

TEST_CASE("the rights we ship for a broker are enough, and enough to leave TTLs unread", "[sync]") {
  RedisServer redis;
  TempDir dir;
  fill(redis, 3000);
  redis.cli({"xadd", "leafgate:log", "*", "seq", "1"});
  redis.cli({"xadd", "leafgate:events", "*", "kind", "x"});
  redis.cli({"zadd", "leafgate:index:device", "0", "dev1/x"});
  redis.cli({"hset", "leafgate:block:device:dev1", "note", "x"});
  // As in the file, without its first word and with a password: `user leafgate-broker on …`.
  std::istringstream words(read_file("deploy/redis-acl/broker.acl"));
  std::vector<std::string> command{"acl", "setuser"};
  std::string word;
  for (words >> word; words >> word;)
    command.push_back(word);
  command.push_back(">secret");
  REQUIRE(redis.cli(command) == "OK");
  write_file(dir / "password", "secret");
  registry::SyncOptions options = Watcher::options(redis);
  options.endpoint.username = "leafgate-broker";
  options.endpoint.password_file = dir / "password";

  Watcher watcher(options);

  REQUIRE(watcher.live());
  CHECK(differences(redis, watcher.replica) == "");
  const std::string stats = redis.cli({"info", "commandstats"});
  const std::string calls = "cmdstat_pexpiretime:calls=";
  REQUIRE(stats.find(calls) != std::string::npos);
  CHECK(std::stoi(stats.substr(stats.find(calls) + calls.size())) < 3100);  // 3000 by differences()
  CHECK(stats.find("cmdstat_multi:calls=1,") != std::string::npos);
  watcher.outbox.status({{"sessions", "1"}});
  watcher.outbox.event({"refused", {}});
  CHECK(eventually([&] { return redis.cli({"xlen", "leafgate:events"}) == "2"; }));
  CHECK(eventually([&] {
    return redis.cli({"hget", "leafgate:broker:gateway-1", "sessions"}) == "1";
  }));
  CHECK_THAT(watcher.log(), !ContainsSubstring("refused"));
}

TEST_CASE("a right that is taken away while live ends the link and is named", "[sync]") {
  RedisServer redis;
  TempDir dir;
  fill(redis, 100);
  write_file(dir / "password", "secret");
  redis.cli({"acl", "setuser", "broker", "on", ">secret", "~*", "&*", "+@all"});
  registry::SyncOptions options = Watcher::options(redis);
  options.endpoint.username = "broker";
  options.endpoint.password_file = dir / "password";
  Watcher watcher(options);
  REQUIRE(watcher.live());
  const std::vector<std::string> change =
      GENERATE(std::vector<std::string>{"resetkeys", "~leafgate:pulse:*", "~leafgate:meta"},
               std::vector<std::string>{"-scan", "-set"}, std::vector<std::string>{"resetchannels"},
               std::vector<std::string>{"-client"});
  INFO(change[0]);

  std::vector<std::string> command{"acl", "setuser", "broker"};
  command.insert(command.end(), change.begin(), change.end());
  redis.cli(command);
  redis.cli({"client", "kill", "type", "pubsub"});

  CHECK(eventually([&] {
    const std::string error = watcher.sync.status().last_error;
    return error.find("NOPERM") != std::string::npos &&
           error.find("redis-acl") != std::string::npos;
  }));
  CHECK(watcher.sync.status().state != SyncState::kLive);
  redis.cli({"acl", "setuser", "broker", "~*", "&*", "+@all"});
  redis.cli({"hset", kKeyA, "state", "revoked"});
  CHECK(watcher.sees(kA, "revoked"));
}

TEST_CASE("a master that becomes a replica is left", "[sync]") {
  RedisServer redis;
  fill(redis, 100);
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.cli({"replicaof", "127.0.0.1", std::to_string(free_port())});
  CHECK(eventually([&] {
    return watcher.sync.status().last_error.find("must lead to the master") != std::string::npos;
  }));
  CHECK(watcher.replica.size() == 100);
  redis.cli({"replicaof", "no", "one"});
  CHECK(watcher.live());
  CHECK(watcher.settled());
}

TEST_CASE("a master that becomes a replica is left although it goes on taking writes", "[sync]") {
  RedisServer redis;
  fill(redis, 100);
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.cli({"config", "set", "replica-read-only", "no"});
  redis.cli({"replicaof", "127.0.0.1", std::to_string(free_port())});
  CHECK(eventually([&] {
    return watcher.sync.status().last_error.find("this redis is a replica") != std::string::npos;
  }));
}

TEST_CASE("while Redis takes no writes changes arrive but nothing is called fresh", "[sync]") {
  RedisServer redis;
  fill(redis, 1000);
  Watcher watcher(redis);
  REQUIRE(watcher.live());

  redis.cli({"config", "set", "maxmemory", "1"});
  REQUIRE(eventually(
      [&] { return watcher.sync.status().last_error.find("OOM") != std::string::npos; }));
  const auto older = *watcher.sync.age();
  REQUIRE(eventually([&] { return *watcher.sync.age() > older + milliseconds(300); }));
  redis.cli({"del", kKeyA});  // takes no memory: allowed
  CHECK(watcher.sees(kA, "none"));
  CHECK(watcher.sync.status().state == SyncState::kLive);
  CHECK(watcher.sync.status().connects == 1);
  CHECK(*watcher.sync.age() > older);

  SECTION("a broker that starts meanwhile reads what is there") {
    Watcher second(redis, "gateway-2");
    REQUIRE(second.live());
    CHECK(second.sees(kB, "active"));
    CHECK(differences(redis, second.replica) == "");
  }
  redis.cli({"config", "set", "maxmemory", "0"});
  CHECK(watcher.settled());
  CHECK(eventually([&] { return watcher.sync.status().last_error.empty(); }));
}

TEST_CASE("a Redis that cannot save refuses even PING, and is read all the same", "[sync]") {
  RedisServer redis({.arguments = {"--save", "3600 1", "--dbfilename", "taken"}});
  fill(redis, 1000);
  Watcher watcher(redis);
  REQUIRE(watcher.live());

  // A folder where the file is to go is as good as a full disk.
  const std::string said = redis.cli({"config", "get", "dir"});
  const std::filesystem::path taken =
      std::filesystem::path(said.substr(said.find('\n') + 1)) / "taken";
  std::filesystem::create_directory(taken);
  redis.cli({"bgsave"});
  REQUIRE(eventually(
      [&] { return watcher.sync.status().last_error.find("MISCONF") != std::string::npos; }));
  const auto older = *watcher.sync.age();
  REQUIRE(eventually([&] { return *watcher.sync.age() > older + milliseconds(300); }));
  CHECK(watcher.sync.status().state == SyncState::kLive);
  CHECK(watcher.sync.status().connects == 1);

  Watcher second(redis, "gateway-2");
  REQUIRE(second.live());
  CHECK(second.sees(kB, "active"));
  CHECK(registry::Client::connect(redis.endpoint(), std::chrono::seconds(2)).ok());

  std::filesystem::remove(taken);
  redis.cli({"bgsave"});
  CHECK(watcher.settled());
  CHECK(eventually([&] { return watcher.sync.status().last_error.empty(); }));
}

TEST_CASE("too few replicas are a reason not to call anything fresh", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  redis.cli({"config", "set", "min-replicas-to-write", "1"});
  REQUIRE(eventually(
      [&] { return watcher.sync.status().last_error.find("NOREPLICAS") != std::string::npos; }));
  const auto older = *watcher.sync.age();
  CHECK(eventually([&] { return *watcher.sync.age() > older + milliseconds(300); }));
  redis.cli({"config", "set", "min-replicas-to-write", "0"});
  CHECK(watcher.settled());
}

TEST_CASE("stopping is quick whatever Redis does", "[sync]") {
  RedisServer redis;
  fill(redis, 1000);
  const std::string what = GENERATE("live", "frozen", "away", "scanning");
  INFO(what);
  auto watcher = std::make_unique<Watcher>(redis);
  if (what != "scanning") REQUIRE(watcher->live());
  if (what == "frozen") redis.freeze();
  if (what == "away") redis.kill();

  const auto start = steady_clock::now();
  watcher.reset();
  // Far below every deadline and back-off of the sync.
  CHECK(steady_clock::now() - start < milliseconds(1500));
  if (what == "frozen") redis.thaw();
}

TEST_CASE("no signal of the process is handled by the sync's thread", "[sync]") {
  RedisServer redis;
  Watcher watcher(redis);
  REQUIRE(watcher.live());
  std::string blocked;
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    if (read_file(task.path() / "comm") != "leafgate-sync\n") continue;
    std::istringstream status(read_file(task.path() / "status"));
    for (std::string line; std::getline(status, line);) {
      if (line.rfind("SigBlk:", 0) == 0) blocked = line.substr(8);
    }
  }
  // All 64, without SIGKILL, SIGSTOP and the two that the C library keeps for itself.
  CHECK(blocked == "fffffffe7ffbfeff");
}
