// SPDX-License-Identifier: Apache-2.0
// Real sentinels: who is taken for the master, and how fast a broker follows when that changes.
#include <sstream>

#include "registry/client.h"
#include "tests/catch.h"
#include "tests/registry/sync_fixture.h"
#include "tests/support/sentinel_trio.h"
#include "tests/support/tls_redis.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Client;
using registry::Command;
using registry::Endpoint;
using registry::Schema;
using registry::SyncState;
using std::chrono::seconds;

namespace {

const Schema kSchema;
const policy::Fingerprint kA = fingerprint(1);
const std::string kKeyA = kSchema.cert(kA);
// From the moment a majority names another master; the promise is two seconds, the rest is for
// machines that have other things to do.
constexpr seconds kSwitch{10};

void wait_for_replica(const SentinelTrio& trio) {
  REQUIRE(eventually([&] { return trio.first.cli({"dbsize"}) == trio.second.cli({"dbsize"}); },
                     seconds(30)));
}

registry::SyncOptions options(const SentinelTrio& trio) {
  registry::SyncOptions options = Watcher::options(trio.first);
  options.endpoint = trio.endpoint();
  return options;
}

// Of a broker's connections here that have subscribed.
bool is_heard_at(const RedisServer& redis) {
  std::istringstream lines(redis.cli({"client", "list", "type", "pubsub"}));
  for (std::string line; std::getline(lines, line);) {
    // Sentinels have subscribed as well, to hear of each other.
    if (line.find(" sub=1 ") != std::string::npos &&
        line.find(" name=sentinel") == std::string::npos) {
      return true;
    }
  }
  return false;
}

}  // namespace

TEST_CASE("a master that dies is replaced by the one the sentinels name", "[sentinel]") {
  SentinelTrio trio;
  fill(trio.first, 1000);
  Watcher watcher(options(trio));
  REQUIRE(watcher.live());
  trio.first.cli({"hset", kKeyA, "state", "inactive"});
  CHECK(watcher.sees(kA, "inactive"));
  wait_for_replica(trio);

  trio.first.kill();
  REQUIRE(trio.majority_names(trio.second));

  CHECK(watcher.live(kSwitch));
  trio.second.cli({"hset", kKeyA, "state", "revoked"});
  CHECK(watcher.sees(kA, "revoked"));
  REQUIRE(watcher.settled());
  CHECK(differences(trio.second, watcher.replica) == "");
  CHECK_THAT(watcher.log(),
             ContainsSubstring("redis://127.0.0.1:" + std::to_string(trio.second.port())));
}

TEST_CASE("a frozen master is left when another is named, and not trusted when it wakes",
          "[sentinel]") {
  SentinelTrio trio;
  fill(trio.first, 1000);
  wait_for_replica(trio);
  registry::SyncOptions patient = options(trio);
  patient.answer_deadline = seconds(300);  // only the sentinels can tell
  Watcher watcher(patient);
  REQUIRE(watcher.live());

  trio.first.freeze();
  REQUIRE(trio.majority_names(trio.second));

  CHECK(eventually([&] { return watcher.sync.status().connects >= 2; }, kSwitch));
  CHECK_THAT(watcher.log(), ContainsSubstring("the sentinels name another master"));
  CHECK(is_heard_at(trio.second));
  // Believes to be the master until a sentinel tells it.
  trio.first.thaw();
  CHECK(eventually([&] { return !is_heard_at(trio.first); }));
  trio.second.cli({"hset", kKeyA, "state", "revoked"});
  CHECK(watcher.sees(kA, "revoked"));
  REQUIRE(watcher.settled());
  CHECK(differences(trio.second, watcher.replica) == "");
  CHECK(watcher.sync.status().connects == 2);
}

TEST_CASE("a planned failover is followed there and back", "[sentinel]") {
  SentinelTrio trio;
  fill(trio.first, 100);
  wait_for_replica(trio);
  Watcher watcher(options(trio));
  REQUIRE(watcher.live());
  const RedisServer* target = &trio.second;
  for (const std::string state : {"inactive", "revoked"}) {
    REQUIRE(eventually(
        [&] {
          return trio.sentinels[0].cli({"sentinel", "failover", "fleet"}) == "OK\n";
        },
        seconds(60)));
    REQUIRE(trio.majority_names(*target));
    CHECK(eventually([&] { return is_heard_at(*target); }, kSwitch));
    target->cli({"hset", kKeyA, "state", state});
    CHECK(watcher.sees(kA, state));
    target = &trio.first;
  }
  REQUIRE(watcher.settled());
  CHECK(differences(trio.first, watcher.replica) == "");
}

TEST_CASE("without a majority a live link is kept, which is said once", "[sentinel]") {
  SentinelTrio trio;
  fill(trio.first, 100);
  registry::SyncOptions impatient = options(trio);
  impatient.answer_deadline = milliseconds(500);
  Watcher watcher(impatient);
  REQUIRE(watcher.live());

  trio.sentinels[0].freeze();
  trio.sentinels[1].freeze();

  REQUIRE(eventually([&] { return !watcher.sync.status().last_error.empty(); }));
  CHECK_THAT(watcher.sync.status().last_error, ContainsSubstring("no majority"));
  CHECK(watcher.settled());
  trio.first.cli({"hset", kKeyA, "state", "revoked"});
  CHECK(watcher.sees(kA, "revoked"));
  CHECK(watcher.sync.status().state == SyncState::kLive);
  CHECK(watcher.sync.status().connects == 1);

  trio.sentinels[0].thaw();
  CHECK(eventually([&] { return watcher.sync.status().last_error.empty(); }, seconds(30)));
  trio.sentinels[1].thaw();
  const std::string log = watcher.log();
  CHECK(occurrences(log, "sentinels_away") == 1);
  CHECK(occurrences(log, "sentinels_back") == 1);
}

TEST_CASE("without a majority nobody is dialled", "[sentinel]") {
  SentinelTrio trio;
  fill(trio.first, 100);
  trio.sentinels[0].freeze();
  trio.sentinels[1].freeze();
  registry::SyncOptions impatient = options(trio);
  impatient.answer_deadline = milliseconds(500);
  Watcher watcher(impatient);

  REQUIRE(eventually([&] { return !watcher.sync.status().last_error.empty(); }));
  CHECK_THAT(watcher.sync.status().last_error,
             ContainsSubstring("no majority") && ContainsSubstring("does not answer"));
  CHECK_FALSE(watcher.sync.status().ever_synced);
  const auto client = Client::connect(trio.endpoint(), milliseconds(300));
  REQUIRE_FALSE(client.ok());
  CHECK(client.error().kind == ErrorKind::kUnreachable);
  CHECK_THAT(client.error().message, ContainsSubstring("no majority"));

  trio.sentinels[0].thaw();
  CHECK(watcher.live());
  trio.sentinels[1].thaw();
}

TEST_CASE("one sentinel that names another server is outvoted", "[sentinel]") {
  SentinelTrio trio;
  RedisServer stranger;
  trio.sentinels[0].cli({"sentinel", "remove", "fleet"});
  trio.sentinels[0].cli(
      {"sentinel", "monitor", "fleet", "127.0.0.1", std::to_string(stranger.port()), "2"});
  REQUIRE(trio.sentinels[0].named() == std::to_string(stranger.port()));

  Watcher watcher(options(trio));
  REQUIRE(watcher.live());
  CHECK(is_heard_at(trio.first));
  auto client = Client::connect(trio.endpoint());
  REQUIRE(client.ok());
  REQUIRE(client.value().call({"SET", "here", "yes"}).ok());
  CHECK(trio.first.cli({"get", "here"}) == "yes");

  // Two that disagree are no majority of two.
  Endpoint two = trio.endpoint();
  two.sentinels->servers.pop_back();
  const auto split = Client::connect(two);
  REQUIRE_FALSE(split.ok());
  CHECK_THAT(split.error().message,
             ContainsSubstring(std::to_string(stranger.port())) && ContainsSubstring("names"));
}

TEST_CASE("a service nobody knows and a server that is no master are named", "[sentinel]") {
  RedisServer master;
  const RedisServer replica(
      {.arguments = {"--replicaof", "127.0.0.1 " + std::to_string(master.port())}});
  const Sentinel sentinel(master.port());
  Endpoint endpoint =
      registry::parse_endpoint("redis-sentinel://127.0.0.1:" + std::to_string(sentinel.port()) +
                               "/fleet?db=2")
          .value();
  REQUIRE(eventually([&] { return sentinel.named() == std::to_string(master.port()); }));
  CHECK(Client::connect(endpoint).ok());

  master.cli({"replicaof", "127.0.0.1", std::to_string(replica.port())});
  const auto demoted = Client::connect(endpoint);
  REQUIRE_FALSE(demoted.ok());
  CHECK_THAT(demoted.error().message, ContainsSubstring("this redis is a replica"));

  endpoint.sentinels->service = "flotilla";
  const auto unknown = Client::connect(endpoint);
  REQUIRE_FALSE(unknown.ok());
  CHECK_THAT(unknown.error().message, ContainsSubstring("knows no `flotilla`"));
}

TEST_CASE("sentinels may want a log-in of their own", "[sentinel]") {
  const RedisServer redis;
  const Sentinel sentinel(redis.port(),
                          "user watcher on >secret resetchannels &+switch-master -@all +subscribe "
                          "+sentinel|get-master-addr-by-name\nuser default off\n");
  const TempDir dir;
  write_file(dir / "password", "secret\n");
  write_file(dir / "wrong", "hunter2\n");
  Endpoint endpoint =
      registry::parse_endpoint("redis-sentinel://127.0.0.1:" + std::to_string(sentinel.port()) +
                               "/fleet")
          .value();
  REQUIRE(eventually([&] {
    const auto none = Client::connect(endpoint);
    return !none.ok() && none.error().message.find("NOAUTH") != std::string::npos;
  }));
  endpoint.sentinels->username = "watcher";
  endpoint.sentinels->password_file = dir / "wrong";
  const auto wrong = Client::connect(endpoint);
  REQUIRE_FALSE(wrong.ok());
  CHECK_THAT(wrong.error().message,
             ContainsSubstring("login refused") && !ContainsSubstring("hunter2"));

  endpoint.sentinels->password_file = dir / "password";
  registry::SyncOptions options = Watcher::options(redis);
  options.endpoint = endpoint;
  Watcher watcher(options);
  CHECK(watcher.live());
  CHECK(Client::connect(endpoint).ok());
}

TEST_CASE("with TLS both the sentinel and the master it names are checked", "[sentinel][tls]") {
  TlsRedis redis;
  fill(redis.server, 100);
  const int port = free_port();
  const Sentinel sentinel(redis.port, redis.sentinel_settings(port));
  Endpoint endpoint =
      registry::parse_endpoint("redis-sentinel://127.0.0.1:" + std::to_string(port) + "/fleet")
          .value();
  endpoint = registry::with_tls(endpoint, *redis.endpoint().tls).value();
  registry::SyncOptions options = Watcher::options(redis.server);
  options.endpoint = endpoint;
  Watcher watcher(options);
  REQUIRE(watcher.live());
  CHECK(watcher.replica.size() == 100);
  CHECK_THAT(watcher.log(), ContainsSubstring(redis.url()));

  const Pki stranger("another CA");
  endpoint.tls->ca_file = stranger.ca_file();
  const auto refused = Client::connect(endpoint);
  REQUIRE_FALSE(refused.ok());
  CHECK_THAT(refused.error().message, ContainsSubstring("certificate"));
}
