// SPDX-License-Identifier: Apache-2.0
// The C side: events as the broker sends them, to a plugin that has a real Redis.
#include <fstream>
#include <functional>
#include <memory>
#include <thread>

#include "registry/snapshot.h"
#include "tests/catch.h"
#include "tests/plugin/fake_broker.h"
#include "tests/plugin/world.h"
#include "tests/support/redis_server.h"

extern "C" {
int mosquitto_plugin_version(int count, const int* versions);
int mosquitto_plugin_init(mosquitto_plugin_id_t* identifier, void** userdata,
                          mosquitto_opt* options, int option_count);
int mosquitto_plugin_cleanup(void* userdata, mosquitto_opt* options, int option_count);
}

using leafgate::test::certificate_of;
using leafgate::test::eventually;
using leafgate::test::fake_broker;
using leafgate::test::FakeBroker;
using leafgate::test::RedisServer;
using leafgate::test::TempDir;
using leafgate::test::write_file;

namespace {

// The answer to a CONNECT that is refused for the registry's sake.
#ifdef FAKE_BROKER_2_1
constexpr int kComeBackLater = 0x88;
#else
constexpr int kComeBackLater = MOSQ_ERR_AUTH;
#endif

// A plugin loaded into this process, as the broker does it.
class Loaded {
 public:
  explicit Loaded(const std::string& yaml) {
    fake_broker() = FakeBroker{};
    write_file(config(), yaml);
    code = init({{"config", config()}});
  }
  ~Loaded() { mosquitto_plugin_cleanup(userdata, nullptr, 0); }

  std::string config() const { return dir_ / "leafgate.yaml"; }

  int init(const std::vector<std::pair<std::string, std::string>>& options) {
    std::vector<mosquitto_opt> raw;
    for (const auto& [key, text] : options) {
      raw.push_back({const_cast<char*>(key.c_str()), const_cast<char*>(text.c_str())});
    }
    return mosquitto_plugin_init(nullptr, &userdata, raw.data(), static_cast<int>(raw.size()));
  }

  int tick() {
    mosquitto_evt_tick event{};
    event.now_s = 1'000'000;
    const int rc = fake_broker().call(MOSQ_EVT_TICK, &event);
    CHECK(event.now_s == 0);
    CHECK(event.next_s == 0);
    return rc;
  }
  int connect(mosquitto& client) {
    mosquitto_evt_basic_auth event{};
    event.client = &client;
    return fake_broker().call(MOSQ_EVT_BASIC_AUTH, &event);
  }
  int acl(mosquitto& client, int access, const char* topic) {
    mosquitto_evt_acl_check event{};
    event.client = &client;
    event.access = access;
    event.topic = topic;
    return fake_broker().call(MOSQ_EVT_ACL_CHECK, &event);
  }
  int reload() {
    mosquitto_evt_reload event{};
    return fake_broker().call(MOSQ_EVT_RELOAD, &event);
  }

  int code = -1;
  void* userdata = nullptr;

 private:
  TempDir dir_;
};

std::string yaml_of(const RedisServer& redis, const std::string& rest = "topics: any\n") {
  return "broker: test\nregistry: {url: \"" + redis.url() + "\"}\n" + rest;
}

void activate(RedisServer& redis, const std::string& cn) {
  redis.cli({"HSET", "leafgate:cert:" + leafgate::policy::to_hex(certificate_of(cn).fingerprint),
             "state", "active"});
}

constexpr const char* kAway =
    "broker: test\nregistry: {url: \"redis://127.0.0.1:1/0\", wait_at_start: 0s}\ntopics: any\n";

mosquitto a_client(const std::string& device) {
  mosquitto client;
  client.id = device;
  client.certificate = certificate_of(device).pem;
  return client;
}

}  // namespace

TEST_CASE("the plugin speaks version 5 of the interface and no other", "[plugin][callbacks]") {
  const int offered[] = {5, 4, 3, 2};
  CHECK(mosquitto_plugin_version(4, offered) == 5);
  const int older[] = {4, 3, 2};
  CHECK(mosquitto_plugin_version(3, older) == -1);
}

TEST_CASE("a plugin that is loaded admits, ends and cleans up", "[plugin][callbacks]") {
  RedisServer redis;
  activate(redis, "dev1");
  Loaded plugin(yaml_of(redis));
  REQUIRE(plugin.code == MOSQ_ERR_SUCCESS);
  mosquitto dev1 = a_client("dev1");
  fake_broker().by_id["dev1"] = &dev1;
  fake_broker().on_kick = [](mosquitto& who, bool) {
    mosquitto_evt_disconnect event{};
    event.client = &who;
    fake_broker().call(MOSQ_EVT_DISCONNECT, &event);
  };
  plugin.tick();

  CHECK(plugin.connect(dev1) == MOSQ_ERR_SUCCESS);
  CHECK(plugin.acl(dev1, MOSQ_ACL_WRITE, "t") == MOSQ_ERR_SUCCESS);
  redis.cli({"HSET",
             "leafgate:cert:" + leafgate::policy::to_hex(certificate_of("dev1").fingerprint),
             "state", "revoked"});
  CHECK(eventually([&] {
    plugin.tick();
    return !fake_broker().kicks.empty();
  }));
  CHECK(fake_broker().kicks.size() == 1);
  CHECK_FALSE(fake_broker().kicks.at(0).with_will);

  CHECK(mosquitto_plugin_cleanup(plugin.userdata, nullptr, 0) == MOSQ_ERR_SUCCESS);
  CHECK(fake_broker().hooks.empty());
}

TEST_CASE("the broker's own state reaches the registry", "[plugin][callbacks]") {
  RedisServer redis;
  Loaded plugin(yaml_of(redis));

  CHECK(eventually([&] {
    plugin.tick();
    return redis.cli({"HGET", "leafgate:broker:test", "mode"}) == "enforce";
  }));
  CHECK(redis.cli({"HGET", "leafgate:broker:test", "sessions"}) == "0");
}

TEST_CASE("a registry that is away refuses connections and does not stop the broker",
          "[plugin][callbacks]") {
  Loaded plugin(kAway);
  REQUIRE(plugin.code == MOSQ_ERR_SUCCESS);
  plugin.tick();
  mosquitto dev1 = a_client("dev1");

  CHECK(plugin.connect(dev1) == kComeBackLater);
  CHECK(fake_broker().logged("reason=registry_stale"));
}

TEST_CASE("a bad configuration stops the broker with the file and the line",
          "[plugin][callbacks]") {
  Loaded plugin("broker: test\nadmision: {}\ntopics: any\n");
  CHECK(plugin.code != MOSQ_ERR_SUCCESS);
  CHECK(fake_broker().logged("cannot start"));
  CHECK(fake_broker().logged("leafgate.yaml:2"));
  CHECK(fake_broker().hooks.empty());
}

TEST_CASE("options other than config are named as the mistake", "[plugin][callbacks]") {
  Loaded plugin(kAway);
  mosquitto_plugin_cleanup(plugin.userdata, nullptr, 0);

  CHECK(plugin.init({{"confg", plugin.config()}}) != MOSQ_ERR_SUCCESS);
  CHECK(fake_broker().logged("plugin_opt_confg"));
  CHECK(plugin.init({}) != MOSQ_ERR_SUCCESS);
  CHECK(fake_broker().logged("plugin_opt_config /etc"));
  CHECK(plugin.init({{"config", "/a"}, {"config", "/b"}}) != MOSQ_ERR_SUCCESS);
  SECTION("gotcha 30: blanks at the end of the line are not part of the path") {
    CHECK(plugin.init({{"config", plugin.config() + "  "}}) == MOSQ_ERR_SUCCESS);
  }
}

TEST_CASE("a second plugin line for the same file is refused and harms nothing",
          "[plugin][callbacks]") {
  Loaded plugin(kAway);
  void* second = nullptr;
  mosquitto_opt option{const_cast<char*>("config"), const_cast<char*>("/nowhere")};

  CHECK(mosquitto_plugin_init(nullptr, &second, &option, 1) != MOSQ_ERR_SUCCESS);
  CHECK(mosquitto_plugin_cleanup(second, nullptr, 0) == MOSQ_ERR_SUCCESS);  // 2.1 does this

  CHECK(fake_broker().logged("loaded already"));
  CHECK_FALSE(fake_broker().hooks.empty());
  CHECK(plugin.tick() == MOSQ_ERR_SUCCESS);
}

TEST_CASE("unsubscribing is always allowed, unknown kinds of access never", "[plugin][callbacks]") {
  Loaded plugin(kAway);
  plugin.tick();
  mosquitto stranger = a_client("dev1");

  CHECK(plugin.acl(stranger, MOSQ_ACL_UNSUBSCRIBE, "t") == MOSQ_ERR_SUCCESS);
  CHECK(plugin.acl(stranger, MOSQ_ACL_NONE, "t") == MOSQ_ERR_ACL_DENIED);
  CHECK(plugin.acl(stranger, 0x40, "t") == MOSQ_ERR_ACL_DENIED);
  CHECK(plugin.acl(stranger, MOSQ_ACL_WRITE, nullptr) == MOSQ_ERR_ACL_DENIED);
}

TEST_CASE("gotcha 8: callbacks from another thread touch nothing and decide nothing",
          "[plugin][callbacks][gotcha]") {
  Loaded plugin(kAway);
  plugin.tick();
  const std::size_t lines = fake_broker().log.size();
  mosquitto http_api;
  http_api.id = "http-api";
  http_api.address.reset();

  std::thread([&] {
    CHECK(plugin.connect(http_api) == MOSQ_ERR_PLUGIN_DEFER);
    CHECK(plugin.acl(http_api, MOSQ_ACL_WRITE, "t") == MOSQ_ERR_PLUGIN_DEFER);
  }).join();

  CHECK(fake_broker().log.size() == lines);
}

TEST_CASE("gotcha 21: a reload answers what this version of the broker survives",
          "[plugin][callbacks][gotcha]") {
  Loaded plugin(kAway);
  plugin.tick();
#ifdef FAKE_BROKER_2_1
  CHECK(plugin.reload() == MOSQ_ERR_SUCCESS);
#else
  CHECK(plugin.reload() == MOSQ_ERR_PLUGIN_DEFER);
#endif
}

TEST_CASE("a reload with a bad file keeps the rules and names the line", "[plugin][callbacks]") {
  RedisServer redis;
  activate(redis, "dev1");
  Loaded plugin(yaml_of(redis));
  plugin.tick();
  mosquitto dev1 = a_client("dev1");
  REQUIRE(plugin.connect(dev1) == MOSQ_ERR_SUCCESS);

  write_file(plugin.config(), "broker: test\ntopics: everything\n");
  plugin.reload();
  plugin.tick();

  CHECK(fake_broker().logged("reload_failed"));
  CHECK(fake_broker().logged("leafgate.yaml:2"));
  CHECK(plugin.acl(dev1, MOSQ_ACL_WRITE, "t") == MOSQ_ERR_SUCCESS);
}

TEST_CASE("a reload says which changes need a restart", "[plugin][callbacks]") {
  Loaded plugin(kAway);
  write_file(plugin.config(),
             "broker: other\nregistry: {url: \"redis://127.0.0.1:2/0\"}\ntopics: any\n");

  plugin.reload();

  CHECK(fake_broker().logged("needs_restart key=broker"));
  CHECK(fake_broker().logged("needs_restart key=registry so=\"its change needs a restart"));
}

TEST_CASE("gotcha 10: a disconnect without an id, twice, for nobody we know is no event",
          "[plugin][callbacks][gotcha]") {
  Loaded plugin(kAway);
  mosquitto nobody;
  nobody.id.reset();
  mosquitto_evt_disconnect event{};
  event.client = &nobody;

  CHECK(fake_broker().call(MOSQ_EVT_DISCONNECT, &event) == MOSQ_ERR_SUCCESS);
  CHECK(fake_broker().call(MOSQ_EVT_DISCONNECT, &event) == MOSQ_ERR_SUCCESS);
}

TEST_CASE("the events of 2.1 are asked for where the broker has them", "[plugin][callbacks]") {
  Loaded plugin(kAway);
  const auto has = [](int event) { return fake_broker().hooks.count(event) == 1; };
#ifdef FAKE_BROKER_2_1
  const bool is_2_1 = true;
#else
  const bool is_2_1 = false;
#endif
  CHECK(has(leafgate::plugin::kEventConnect) == is_2_1);
  CHECK(has(leafgate::plugin::kEventClientOffline) == is_2_1);
  CHECK(has(MOSQ_EVT_EXT_AUTH_START));
  CHECK(has(MOSQ_EVT_EXT_AUTH_CONTINUE));
}

namespace {

constexpr const char* kPrefix = "leafgate:";

// A snapshot that knows dev1 as active and dev2 as revoked, of `age` ago.
std::string write_snapshot(const TempDir& dir, std::chrono::milliseconds age) {
  using namespace leafgate;
  registry::Replica replica;
  replica.put(certificate_of("dev1").fingerprint, {policy::CertState::kActive}, 1);
  replica.put(certificate_of("dev2").fingerprint, {policy::CertState::kRevoked}, 1);
  const auto now =
      std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  const std::string path = dir / "snapshot";
  REQUIRE(registry::write_snapshot(path, replica, kPrefix, now - age,
                                   [] { return registry::Remembered{}; }));
  return path;
}

// Redis is away.
std::string yaml_with(const std::string& snapshot, const std::string& rest = "") {
  return "broker: test\nregistry: {url: \"redis://127.0.0.1:1/0\", wait_at_start: 0s, snapshot: "
         "\"" +
         snapshot + "\"}\ntopics: any\n" + rest;
}

}  // namespace

TEST_CASE("with a snapshot the fleet is known although the registry is away",
          "[plugin][callbacks][snapshot]") {
  const TempDir dir;
  Loaded plugin(yaml_with(write_snapshot(dir, std::chrono::minutes(1))));
  REQUIRE(plugin.code == MOSQ_ERR_SUCCESS);
  plugin.tick();
  mosquitto dev1 = a_client("dev1");
  mosquitto dev2 = a_client("dev2");
  mosquitto dev3 = a_client("dev3");

  CHECK(plugin.connect(dev1) == MOSQ_ERR_SUCCESS);
  CHECK(plugin.connect(dev2) == MOSQ_ERR_AUTH);
  CHECK(plugin.connect(dev3) == MOSQ_ERR_AUTH);
  CHECK(fake_broker().logged("snapshot_loaded"));
  CHECK(fake_broker().logged("certificates=2"));
  CHECK(fake_broker().logged("reason=revoked"));
  CHECK(fake_broker().logged("reason=unknown_certificate"));
}

TEST_CASE("a snapshot older than max_staleness admits nobody, unless `serve` says so",
          "[plugin][callbacks][snapshot]") {
  const auto [policy, code] = GENERATE(table<std::string, int>({{"refuse_new", kComeBackLater},
                                                                {"disconnect", kComeBackLater},
                                                                {"serve", MOSQ_ERR_SUCCESS}}));
  const TempDir dir;
  Loaded plugin(yaml_with(write_snapshot(dir, std::chrono::hours(2)),
                          "freshness: {max_staleness: 1h, when_stale: " + policy + "}\n"));
  plugin.tick();
  mosquitto dev1 = a_client("dev1");

  CHECK(plugin.connect(dev1) == code);
  CHECK(fake_broker().logged("admits nobody until Redis is there") == (code == kComeBackLater));
  CHECK(fake_broker().logged("reason=registry_stale") == (code == kComeBackLater));
}

TEST_CASE("a damaged snapshot is refused by name and nobody is admitted by it",
          "[plugin][callbacks][snapshot]") {
  const TempDir dir;
  const std::string path = write_snapshot(dir, std::chrono::minutes(1));
  std::fstream(path).seekp(60) << "xxxx";
  Loaded plugin(yaml_with(path, "freshness: {when_stale: serve}\n"));
  REQUIRE(plugin.code == MOSQ_ERR_SUCCESS);
  plugin.tick();
  mosquitto dev1 = a_client("dev1");

  CHECK(plugin.connect(dev1) == kComeBackLater);
  CHECK(fake_broker().logged("snapshot_unusable error=\"" + path + ": damaged"));
  CHECK(fake_broker().logged("reason=registry_stale"));
}

TEST_CASE("a broker that stops leaves a snapshot of what it knew",
          "[plugin][callbacks][snapshot]") {
  const TempDir dir;
  RedisServer redis;
  activate(redis, "dev1");
  {
    Loaded plugin("broker: test\nregistry: {url: \"" + redis.url() + "\", snapshot: \"" +
                  (dir / "snapshot") + "\"}\ntopics: any\n");
    REQUIRE(plugin.code == MOSQ_ERR_SUCCESS);
    CHECK(fake_broker().logged("snapshot_unusable"));  // there is none yet
    plugin.tick();
  }
  leafgate::registry::Replica replica;
  const auto now =
      std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  CHECK(leafgate::registry::read_snapshot(dir / "snapshot", replica, kPrefix, now));
  CHECK(replica.find(certificate_of("dev1").fingerprint).has_value());
}
