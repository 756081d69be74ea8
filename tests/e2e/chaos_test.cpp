// SPDX-License-Identifier: Apache-2.0
// Devices that come and go, records that change, a registry connection that breaks: whenever it is
// quiet, a device is in exactly if its record says so.
//
// LEAFGATE_SEED repeats a run; LEAFGATE_CHAOS_ROUNDS makes it longer.
#include <cstdlib>
#include <iostream>
#include <random>
#include <thread>

#include "tests/catch.h"
#include "tests/e2e/world.h"

namespace leafgate::test {
namespace {

constexpr int kDevices = 24;
constexpr int kThreads = 4;
constexpr milliseconds kNoise{1200};

unsigned from_environment(const char* name, unsigned otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? static_cast<unsigned>(std::stoul(value)) : otherwise;
}

struct Device {
  std::string name;
  ConnectOptions options;
  std::string key;
  MqttClient client;
  bool connected = false;
};

// What a device in the field does: connects whenever it is not, and talks.
void act(Device& device, std::mt19937& random) {
  if (!device.connected) {
    device.connected = device.client.connect(device.options) == Connected::kAccepted;
    return;
  }
  if (random() % 16 == 0) {
    device.client.drop();
    device.connected = false;
    return;
  }
  const bool sent = device.client.publish("chaos/" + device.name, "", 1).has_value();
  device.connected = sent && !device.client.ended(milliseconds(0));
}

// A change as anybody may make it; does the record admit after it?
bool change(const World& world, const std::string& key, std::mt19937& random) {
  static const std::vector<std::string> states = {"active",   "active",  "active", "inactive",
                                                  "inactive", "pending", "retired"};
  const auto dice = random() % 10;
  if (dice == 0) {
    world.redis.cli({"DEL", key});
    return false;
  }
  const std::string& state = states[random() % states.size()];
  if (dice == 1) {
    world.redis.cli({"EVAL",
                     "redis.call('DEL', KEYS[1]) redis.call('HSET', KEYS[1], 'state', ARGV[1])",
                     "1", key, state});
  } else {
    world.redis.cli({"HSET", key, "state", state});
  }
  return state == "active";
}

void disturb(World& world, std::mt19937& random) {
  switch (random() % 6) {
    case 0:
      world.registry_proxy.cut();
      std::this_thread::sleep_for(milliseconds(random() % 200));
      world.registry_proxy.mend();
      break;
    case 1:
      world.redis.cli({"CLIENT", "KILL", "TYPE", "pubsub"});
      break;
    case 2:
      world.redis.cli({"CLIENT", "KILL", "TYPE", "normal"});
      break;
    case 3:
      world.redis.freeze();
      std::this_thread::sleep_for(milliseconds(random() % 300));
      world.redis.thaw();
      break;
    case 4:
      world.broker.reload();
      break;
    case 5:
      world.registry_proxy.set_delay(milliseconds(random() % 20));
      break;
  }
}

// Devices act in threads of their own while records change; returns after everybody has stopped.
void make_noise(World& world, std::vector<Device>& devices, std::vector<bool>& admits,
                std::mt19937& random) {
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (unsigned t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t, seed = random()] {
      std::mt19937 own(seed);
      while (!stop)
        act(devices[t + kThreads * (own() % (kDevices / kThreads))], own);
    });
  }
  const auto end = std::chrono::steady_clock::now() + kNoise;
  while (std::chrono::steady_clock::now() < end) {
    const std::size_t which = random() % kDevices;
    admits[which] = change(world, devices[which].key, random);
    if (random() % 40 == 0) disturb(world, random);
  }
  stop = true;
  for (std::thread& thread : threads)
    thread.join();
}

void check_quiet(World& world, std::vector<Device>& devices, const std::vector<bool>& admits) {
  world.registry_proxy.set_delay(milliseconds(0));
  world.settle();
  for (std::size_t i = 0; i < devices.size(); ++i) {
    Device& device = devices[i];
    INFO(device.name << " " << device.options.credential.fingerprint);
    if (device.connected && !admits[i]) CHECK(device.client.ended());
    // A session of before may have been ended by a state that has passed; one that is still there
    // must be its own.
    if (device.connected && admits[i] && !device.client.ping()) CHECK(device.client.ended());
    const Connected expected = admits[i] ? Connected::kAccepted : Connected::kRefused;
    CHECK(device.client.connect(device.options) == expected);
    device.connected = admits[i];
    if (device.connected) CHECK(device.client.ping());
  }
}

TEST_CASE("whenever it is quiet, a device is in exactly if its record is active", "[e2e][chaos]") {
  const unsigned seed = from_environment("LEAFGATE_SEED", std::random_device{}());
  const unsigned rounds = from_environment("LEAFGATE_CHAOS_ROUNDS", 8);
  std::cout << "LEAFGATE_SEED=" << seed << "\n";
  INFO("LEAFGATE_SEED=" << seed);
  std::mt19937 random(seed);
  World world;
  std::vector<Device> devices;
  for (int i = 0; i < kDevices; ++i) {
    const std::string name = "chaos" + std::to_string(i);
    const CertFiles certificate = world.device(name, "inactive");
    devices.push_back({name, world.options(certificate, name), World::key(certificate), {}, false});
  }
  std::vector<bool> admits(kDevices, false);

  for (unsigned round = 0; round < rounds; ++round) {
    INFO("round " << round);
    make_noise(world, devices, admits, random);
    check_quiet(world, devices, admits);
  }
}

}  // namespace
}  // namespace leafgate::test
