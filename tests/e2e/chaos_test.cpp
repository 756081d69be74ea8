// SPDX-License-Identifier: Apache-2.0
// Devices that come and go, records that change, a registry that breaks: a device is in exactly if
// its record says so, at rest and, give or take the bound, all the time.
//
// LEAFGATE_SEED repeats a run; LEAFGATE_CHAOS_ROUNDS and LEAFGATE_CHAOS_SECONDS make it longer.
#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <random>
#include <thread>

#include "tests/catch.h"
#include "tests/e2e/oracle.h"
#include "tests/e2e/world.h"

namespace leafgate::test {
namespace {

using std::chrono::seconds;
using std::chrono::steady_clock;

constexpr int kDevices = 24;
constexpr int kThreads = 4;
// Of a change: 2 s until a dead link is noticed, half a second of back-off, and a full read; the
// rest is for a machine that does other things as well.
constexpr seconds kBound{5};

unsigned from_environment(const char* name, unsigned otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? static_cast<unsigned>(std::stoul(value)) : otherwise;
}

// One a run, printed.
unsigned seed() {
  static const unsigned chosen = from_environment("LEAFGATE_SEED", std::random_device{}());
  return chosen;
}

// Uniform between nothing and `most`.
milliseconds up_to(milliseconds most, std::mt19937& random) {
  return milliseconds(std::uniform_int_distribution<milliseconds::rep>(0, most.count())(random));
}

struct Device {
  std::string name;
  ConnectOptions options;
  std::string key;
  MqttClient client;
  bool connected = false;
  Oracle::Time served_at;  // when it last saw that it was, while connected
};

RedisOptions on_disk() {
  RedisOptions options;
  options.append_only = true;
  options.arguments = {"--appendfsync", "always"};  // what was answered survives a kill
  return options;
}

class Chaos {
 public:
  explicit Chaos(BrokerOptions options = {});

  struct Pace {
    milliseconds length;
    milliseconds between_changes;
    milliseconds between_troubles;
    milliseconds longest_trouble;
  };
  // Devices act in threads of their own while records change and things break; returns after
  // everybody has stopped.
  void make_noise(const Pace& pace);
  // At rest each device is in or not as its record says.
  void check_quiet();

  Oracle::Verdict verdict() const { return oracle_.verdict(); }
  std::uint64_t changes() const { return changes_; }
  std::uint64_t troubles() const { return troubles_; }

 private:
  void act(std::size_t which, std::mt19937& random);
  void change(std::mt19937& random);
  void write(const Device& device, const std::string& state, std::mt19937& random);
  void trouble(milliseconds longest);

  World world_;
  std::mt19937 random_{seed()};
  std::vector<Device> devices_;
  std::vector<bool> admits_ = std::vector<bool>(kDevices, false);
  Oracle oracle_{kDevices, kBound};
  std::uint64_t changes_ = 0;
  std::uint64_t troubles_ = 0;
};

Chaos::Chaos(BrokerOptions options) : world_(std::move(options), on_disk()) {
  std::cout << "LEAFGATE_SEED=" << seed() << "\n";
  for (int i = 0; i < kDevices; ++i) {
    const std::string name = "chaos" + std::to_string(i);
    const CertFiles certificate = world_.device(name, "inactive");
    devices_.push_back(
        {name, world_.options(certificate, name), World::key(certificate), {}, {}, {}});
  }
}

void Chaos::make_noise(const Pace& pace) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t, own = std::mt19937(random_())]() mutable {
      while (!stop)
        act(t + kThreads * (own() % (kDevices / kThreads)), own);
    });
  }
  threads.emplace_back([&, own = std::mt19937(random_())]() mutable {
    while (!stop) {
      change(own);
      std::this_thread::sleep_for(up_to(2 * pace.between_changes, own));
    }
  });
  // Here, since a server ends with the thread that started it.
  const auto end = steady_clock::now() + pace.length;
  while (steady_clock::now() < end) {
    const auto due = steady_clock::now() + up_to(2 * pace.between_troubles, random_);
    std::this_thread::sleep_until(std::min(due, end));
    if (due < end) trouble(pace.longest_trouble);
  }
  stop = true;
  for (std::thread& thread : threads)
    thread.join();
}

// What a device in the field does: connects whenever it is not, and talks.
void Chaos::act(std::size_t which, std::mt19937& random) {
  Device& device = devices_[which];
  const auto began = steady_clock::now();
  if (!device.connected) {
    device.connected = device.client.connect(device.options) == Connected::kAccepted;
    device.served_at = steady_clock::now();
    device.connected ? oracle_.served(which, began, device.served_at)
                     : oracle_.not_served(which, began, device.served_at);
    return;
  }
  if (random() % 64 == 0) {
    device.client.drop();
    device.connected = false;
    return;
  }
  const std::optional<int> answer = device.client.publish("chaos/" + device.name, "", 1);
  const auto now = steady_clock::now();
  if (answer && *answer < 0x80) {
    oracle_.served(which, began, now);
    device.served_at = now;
    return;
  }
  // Denied, or ended at some moment since it was served.
  oracle_.not_served(which, answer ? began : device.served_at, now);
  device.client.drop();
  device.connected = false;
}

// A change as anybody may make it.
void Chaos::change(std::mt19937& random) {
  static const std::vector<std::string> states = {"active",   "active",  "active",  "inactive",
                                                  "inactive", "pending", "retired", ""};
  const std::size_t which = random() % kDevices;
  const std::string& state = states[random() % states.size()];
  oracle_.change_begins(which, state == "active", steady_clock::now());
  write(devices_[which], state, random);
  oracle_.change_ended(which, steady_clock::now());
  admits_[which] = state == "active";
  ++changes_;
}

// Until Redis, which may be away, has answered.
void Chaos::write(const Device& device, const std::string& state, std::mt19937& random) {
  const std::string& fingerprint = device.options.credential.fingerprint;
  const std::string verb = state == "active" ? "activate" : "deactivate";
  const bool has_verb = state == "active" || state == "inactive";
  if (has_verb && random() % 4 == 0) {
    const Ran ran = run({LEAFGATE_CLI, "cert", verb, fingerprint}, "",
                        {{"LEAFGATE_REDIS_URL", world_.redis.url()}});
    if (ran.status == 0) return;  // else the record's state does not allow it, or Redis is away
  }
  std::vector<std::string> command = {"HSET", device.key, "state", state};
  if (state.empty()) command = {"DEL", device.key};
  if (!state.empty() && random() % 4 == 0) {
    command = {"EVAL",
               "redis.call('DEL', KEYS[1]) return redis.call('HSET', KEYS[1], 'state', ARGV[1])",
               "1", device.key, state};
  }
  const bool written = eventually(
      [&] {
        const std::string answer = world_.redis.cli(command);
        return answer == "0" || answer == "1";
      },
      seconds(60));
  if (!written) throw std::runtime_error("Redis never took a change");
}

void Chaos::trouble(milliseconds longest) {
  const auto wait = [&] { std::this_thread::sleep_for(up_to(longest, random_)); };
  ++troubles_;
  // Two kinds that keep nothing from the broker.
  const auto dice = random_() % 7;
  if (dice == 0) return world_.broker.reload();
  if (dice == 1) return world_.registry_proxy.set_delay(milliseconds(random_() % 20));

  oracle_.trouble_begins(steady_clock::now());
  switch (dice) {
    case 2:
      world_.registry_proxy.cut();
      wait();
      world_.registry_proxy.mend();
      break;
    case 3:
      world_.redis.cli({"CLIENT", "KILL", "TYPE", "pubsub"});
      break;
    case 4:
      world_.redis.cli({"CLIENT", "KILL", "TYPE", "normal"});
      break;
    case 5:
      world_.redis.freeze();
      wait();
      world_.redis.thaw();
      break;
    default:
      world_.redis.kill();
      wait();
      world_.redis.restart();
      break;
  }
  oracle_.trouble_ended(steady_clock::now());
}

void Chaos::check_quiet() {
  world_.registry_proxy.set_delay(milliseconds(0));
  world_.settle();
  for (std::size_t i = 0; i < devices_.size(); ++i) {
    Device& device = devices_[i];
    INFO(device.name << " " << device.options.credential.fingerprint);
    if (device.connected && !admits_[i]) CHECK(device.client.ended());
    // A session of before may have been ended by a state that has passed; one that is still there
    // must be its own.
    if (device.connected && admits_[i] && !device.client.ping()) CHECK(device.client.ended());
    const Connected expected = admits_[i] ? Connected::kAccepted : Connected::kRefused;
    CHECK(device.client.connect(device.options) == expected);
    device.connected = admits_[i];
    device.served_at = steady_clock::now();
    if (device.connected) CHECK(device.client.ping());
  }
}

TEST_CASE("whenever it is quiet, a device is in exactly if its record is active", "[e2e][chaos]") {
  const unsigned rounds = from_environment("LEAFGATE_CHAOS_ROUNDS", 8);
  Chaos chaos;
  for (unsigned round = 0; round < rounds; ++round) {
    INFO("LEAFGATE_SEED=" << seed() << ", round " << round);
    chaos.make_noise({milliseconds(1200), milliseconds(1), milliseconds(300), milliseconds(300)});
    chaos.check_quiet();
  }
}

TEST_CASE(
    "over the whole time no device is served, or refused, against its record for longer than the "
    "bound",
    "[e2e][chaos]") {
  const unsigned length = from_environment("LEAFGATE_CHAOS_SECONDS", 30);
  INFO("LEAFGATE_SEED=" << seed());
  Chaos chaos;
  chaos.make_noise({seconds(length), milliseconds(400), seconds(4), seconds(3)});
  const Oracle::Verdict verdict = chaos.verdict();
  std::cout << length << " s, " << chaos.changes() << " changes, " << chaos.troubles()
            << " troubles: " << text(verdict) << "\n";

  CHECK(verdict.served_though_no == 0);
  CHECK(verdict.refused_though_yes == 0);
  CHECK(verdict.rightly_served > 0);
  CHECK(verdict.rightly_refused > 0);
  chaos.check_quiet();
}

TEST_CASE("a broker that refuses nobody does not pass the test before this one", "[e2e][chaos]") {
  BrokerOptions options;
  options.admission = "mode: report";
  Chaos chaos(options);
  chaos.make_noise({seconds(3), milliseconds(500), seconds(60), milliseconds(1)});

  CHECK(chaos.verdict().served_though_no > 0);
  CHECK(chaos.verdict().refused_though_yes == 0);
}

}  // namespace
}  // namespace leafgate::test
