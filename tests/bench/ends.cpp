// SPDX-License-Identifier: Apache-2.0
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "certs/facts.h"
#include "registry/client.h"
#include "tests/bench/gauge.h"
#include "tests/bench/load.h"
#include "tests/bench/message_load.h"
#include "tests/bench/sections.h"
#include "tests/support/latency.h"

namespace leafgate::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::seconds;

constexpr std::size_t kRounds = 5;
constexpr std::size_t kTrials = 40;
constexpr int kMessagesPerSecond = 10000;
constexpr std::size_t kBatch = 100;
constexpr std::size_t kRevoked = 100'000;
constexpr const char* kControl = "$CONTROL/dynamic-security/v1";

using Turn = std::function<void(const std::vector<const Device*>&)>;  // turns devices off

void add(Figures& figures, const std::string& what, std::size_t round,
         const std::vector<test::Latency>& samples) {
  const test::Distribution found = test::distribution(samples);
  figures.add("p50", what, round, found.p50.count());
  figures.add("p99", what, round, found.p99.count());
  figures.add("longest", what, round, found.max.count());
}

// Sessions of a crowd, ended from the first on.
class Ending {
 public:
  Ending(const std::vector<Device>& devices, const Door& door)
      : devices_(devices), crowd_(devices), door_(door) {}

  Crowd& crowd() { return crowd_; }

  // One trial: how long until each of the next `count` was ended.
  std::vector<test::Latency> end(std::size_t count, const Turn& turn_off) {
    std::vector<const Device*> chosen;
    for (std::size_t i = 0; i < count; ++i)
      chosen.push_back(&devices_.at(ended_++));
    const auto start = Clock::now();
    turn_off(chosen);
    return crowd_.ends(count, start, seconds(60));
  }

  // Trials of one each, with so many there at any time.
  std::vector<test::Latency> trials(std::size_t there, const Turn& turn_off) {
    std::vector<test::Latency> all;
    for (std::size_t i = 0; i < kTrials; ++i) {
      if (crowd_.size() < there) crowd_.grow(door_, there);
      // The moment falls anywhere in the broker's 100 ms loop.
      std::this_thread::sleep_for(milliseconds(std::uniform_int_distribution(5, 105)(random_)));
      all.push_back(end(1, turn_off).front());
    }
    return all;
  }

 private:
  const std::vector<Device>& devices_;
  Crowd crowd_;
  const Door door_;
  std::size_t ended_ = 0;
  std::mt19937 random_{1};
};

Turn by_redis(registry::Client& writer, const std::string& state = "inactive") {
  return [&writer, state](const std::vector<const Device*>& devices) {
    std::vector<registry::Command> commands;
    for (const Device* device : devices)
      commands.push_back({"HSET", "leafgate:cert:" + device->fingerprint, "state", state});
    if (!writer.pipeline(commands)) throw std::runtime_error("Redis takes no change");
  };
}

// And so many others, first.
Turn by_revoking(Grounds& grounds, registry::Client& writer, std::size_t others) {
  return [&grounds, others, revoke = by_redis(writer, "revoked")](const auto& devices) {
    Grounds::fill(grounds.redis, 0, others, "revoked");
    revoke(devices);
  };
}

// One write for all of them. A bystander's certificate is younger.
Turn by_issuer(registry::Client& writer, const std::string& block) {
  return [&writer, block](const std::vector<const Device*>&) {
    const auto before = std::chrono::system_clock::now() - std::chrono::minutes(2);
    const std::string seconds_since_1970 =
        std::to_string(std::chrono::system_clock::to_time_t(before));
    if (!writer.call({"HSET", block, "before", seconds_since_1970}))
      throw std::runtime_error("Redis takes no block");
  };
}

std::string block_of_issuer(const Device& device) {
  const auto facts = certs::read_facts(*device.certificate, certs::SanWanted::kNone);
  return "leafgate:block:issuer:" + facts.issuer_key_id;
}

Turn by_control(test::MqttClient& admin) {
  return [&admin](const std::vector<const Device*>& devices) {
    nlohmann::json commands = nlohmann::json::array();
    for (const Device* device : devices)
      commands.push_back({{"command", "disableClient"}, {"username", device->name}});
    admin.publish(kControl, nlohmann::json{{"commands", commands}}.dump());
  };
}

test::MqttClient connected(Grounds& grounds, const Contender& contender, const std::string& name,
                           bool as_admin = false) {
  test::ConnectOptions options = contender.broker->client(grounds.device_in_files(name), name);
  if (as_admin) {
    options.username = "admin";
    options.password = "password";
  }
  test::MqttClient client;
  const bool in =
      test::eventually([&] { return client.connect(options) == test::Connected::kAccepted; });
  if (!in) throw std::runtime_error(name + " was not admitted");
  return client;
}

constexpr Wanted kMedian{Wanted::Of::kValue, Wanted::Side::kAtMost, 1};
constexpr Wanted kNinetyNine{Wanted::Of::kValue, Wanted::Side::kAtMost, 5};
constexpr Wanted kAllEnded{Wanted::Of::kValue, Wanted::Side::kAtMost, 10'000};
constexpr Wanted kLongestPause{Wanted::Of::kValue, Wanted::Side::kAtMost, 50};

// A crowd of one is another each time: visitors, of whom there are enough.
void measure_one(Grounds& grounds, Figures& figures) {
  const std::string idle = "leafgate, idle";
  const std::string busy = "leafgate, 10 k messages/s";
  const std::string rival = "dynamic-security, idle";
  Contender ours = gated(grounds, "leafgate");
  Contender other = dynamic_security(grounds);
  registry::Client writer = grounds.redis.client();
  test::MqttClient admin = connected(grounds, other, "admin", true);
  Ending ending(grounds.visitors, ours.door());
  Ending ending_other(grounds.visitors, other.door());
  for (std::size_t round = 0; round < kRounds; ++round) {
    add(figures, idle, round, ending.trials(1, by_redis(writer)));
    add(figures, rival, round, ending_other.trials(1, by_control(admin)));
    const MessageLoad load(connected(grounds, ours, "publisher"),
                           connected(grounds, ours, "subscriber"), kMessagesPerSecond);
    add(figures, busy, round, ending.trials(1, by_redis(writer)));
  }
  for (const std::string& which : {idle, busy, rival}) {
    const bool is_ours = which != rival;
    figures.row("p50", "ms", which, rival, is_ours ? std::optional(kMedian) : std::nullopt);
    figures.row("p99", "ms", which, rival, is_ours ? std::optional(kNinetyNine) : std::nullopt);
    figures.row("longest", "ms", which, rival);
  }
}

// What a bystander feels while `end_them` runs, and how long that takes.
void measure_all(Grounds& grounds, Figures& figures, const Contender& ours, const std::string& what,
                 const std::function<std::vector<test::Latency>()>& end_them) {
  test::Bystander bystander(connected(grounds, ours, "bystander"), "broadcast/bystander/data");
  test::Distribution felt;
  std::thread watching([&] {
    put_this_thread_first();
    felt = test::distribution(bystander.measure(seconds(4)));
  });
  std::this_thread::sleep_for(milliseconds(200));
  std::vector<test::Latency> took;
  try {
    took = end_them();
  } catch (...) {
    watching.join();
    throw;
  }
  watching.join();
  figures.add("until the last was ended", what, 0, test::distribution(took).max.count());
  figures.add("a bystander's longest wait", what, 0, felt.max.count());
}

void measure_many(Grounds& grounds, Figures& figures) {
  const std::string size = std::to_string(Grounds::kCrowd / 1000) + " k sessions";
  const std::string among = "leafgate, among " + size;
  const std::string hundred = std::to_string(kBatch) + " of " + size;
  const std::string each = "all " + size + ", each certificate off";
  const std::string issuer = "all " + size + ", their issuer blocked";
  const std::string revoked = "all " + size + ", of 100 k revoked";
  const std::string block = block_of_issuer(grounds.crowd.front());
  Contender ours = gated(grounds, "leafgate");
  registry::Client writer = grounds.redis.client();
  const std::map<std::string, Turn> turns = {
      {each, by_redis(writer)},
      {issuer, by_issuer(writer, block)},
      {revoked, by_revoking(grounds, writer, kRevoked - Grounds::kCrowd)}};
  for (const std::string& how : {each, issuer, revoked}) {
    grounds.register_devices(grounds.redis);
    Ending ending(grounds.crowd, ours.door());
    ending.crowd().grow(ours.door(), grounds.crowd.size());
    for (std::size_t round = 0; how == each && round < kRounds; ++round) {
      add(figures, among, round, ending.trials(0, by_redis(writer)));
      figures.add("until the last was ended", hundred, round,
                  test::distribution(ending.end(kBatch, by_redis(writer))).max.count());
    }
    measure_all(grounds, figures, ours, how,
                [&] { return ending.end(ending.crowd().size(), turns.at(how)); });
    grounds.redis.cli({"del", block});
  }
  figures.row("p50", "ms", among, "", kMedian);
  figures.row("p99", "ms", among, "", kNinetyNine);
  figures.row("longest", "ms", among);
  figures.row("until the last was ended", "ms", hundred);
  for (const std::string& how : {each, issuer, revoked}) {
    figures.row("until the last was ended", "ms", how, "", kAllEnded);
    figures.row("a bystander's longest wait", "ms", how, "", kLongestPause);
  }
}

}  // namespace

void measure_ends(Grounds& grounds, Figures& figures) {
  figures.heading("From the change of a state to the end of the session");
  measure_one(grounds, figures);
  measure_many(grounds, figures);
  grounds.register_devices(grounds.redis);
}

}  // namespace leafgate::bench
