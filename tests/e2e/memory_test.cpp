// SPDX-License-Identifier: Apache-2.0
// A broker that runs short of memory: the plugin refuses rather than lets in, the broker lives, and
// all is right again when there is memory.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>

#include "tests/catch.h"
#include "tests/e2e/scarce_memory.h"
#include "tests/e2e/world.h"

namespace leafgate::test {
namespace {

constexpr std::size_t kDevices = 16;
constexpr const char* kRules =
    R"([{allow: {publish: ["devices/{device}/#"], subscribe: ["devices/{device}/cmd/#"]}}])";

// The broker's supply of memory, in the test's hands.
class Supply {
 public:
  Supply() : path_(dir_ / "scarcity") {
    write_file(path_, std::string(sizeof(Scarcity), '\0'));
    const int fd = ::open(path_.c_str(), O_RDWR | O_CLOEXEC);
    void* const at = ::mmap(nullptr, sizeof(Scarcity), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    if (at == MAP_FAILED) throw std::runtime_error("cannot map " + path_);
    scarcity_ = static_cast<Scarcity*>(at);
  }
  ~Supply() { ::munmap(scarcity_, sizeof(Scarcity)); }
  Supply(const Supply&) = delete;
  Supply& operator=(const Supply&) = delete;

  BrokerOptions broker() const {
    BrokerOptions options;
    options.topics = kRules;
    options.environment = {{"LD_PRELOAD", LEAFGATE_SCARCE_MEMORY}, {kScarcityVariable, path_}};
    return options;
  }
  void one_in(std::uint32_t so_many) { scarcity_->one_in = so_many; }
  void only_main(bool only) { scarcity_->only_main = only ? 1 : 0; }
  void plenty() { scarcity_->one_in = 0; }
  std::uint32_t failed() const { return scarcity_->failed; }
  // A sanitizer's allocator has taken our place in the broker.
  static bool is_without_effect() { return std::getenv("LEAFGATE_PRELOAD") != nullptr; }

 private:
  TempDir dir_;
  std::string path_;
  Scarcity* scarcity_ = nullptr;
};

struct Device {
  std::string name;
  CertFiles certificate;
  ConnectOptions options;
  bool admitted;
  MqttClient client;
  bool connected = false;
};

class Fleet {
 public:
  explicit Fleet(World& world) : world_(world) {
    for (std::size_t i = 0; i < kDevices; ++i) {
      const std::string name = "scarce" + std::to_string(i);
      const bool admitted = i % 2 == 0;
      const CertFiles certificate = world.device(name, admitted ? "active" : "inactive");
      devices_.push_back({name, certificate, world.options(certificate, name), admitted, {}});
    }
    world.settle();
    for (Device& device : devices_)
      come(device);
  }

  void leave(Device& device) {
    if (device.connected) device.client.disconnect();
    device.connected = false;
  }

  // Connects if it is not, and talks.
  void come(Device& device) {
    if (!device.connected)
      device.connected = device.client.connect(device.options) == Connected::kAccepted;
    if (!device.connected) return;
    device.connected = took(device.client.publish("devices/" + device.name + "/up", "", 1)) &&
                       device.client.subscribe("devices/" + device.name + "/cmd/x");
    if (!device.connected) device.client.drop();
  }

  std::vector<Device>& devices() { return devices_; }

  void turn_around() {
    for (Device& device : devices_) {
      device.admitted = !device.admitted;
      world_.set_state(device.certificate, device.admitted ? "active" : "inactive");
    }
  }

  // Who is in and who is not, at rest.
  void check() {
    std::size_t sessions = 0;
    for (Device& device : devices_) {
      INFO(device.name << " " << device.certificate.fingerprint);
      if (device.connected && !device.admitted) CHECK(device.client.ended());
      device.connected = device.connected && device.client.ping();
      come(device);
      CHECK(device.connected == device.admitted);
      sessions += device.connected ? 1 : 0;
    }
    const auto reported = [&] {
      return world_.redis.cli({"HGET", "leafgate:broker:gateway-1", "sessions"});
    };
    INFO(sessions << " devices are in, the broker reports " << reported());
    CHECK(eventually([&] { return reported() == std::to_string(sessions); },
                     std::chrono::seconds(20)));
  }

 private:
  World& world_;
  std::vector<Device> devices_;
};

TEST_CASE(
    "short of memory a broker lets in nobody that is turned off, and is right again afterwards",
    "[e2e][memory]") {
  Supply supply;
  World world(supply.broker());
  Fleet fleet(world);
  fleet.check();

  std::size_t admitted = 0;
  std::size_t refused = 0;
  for (const std::uint32_t one_in : {1U, 2U, 5U, 10U, 20U, 40U, 80U, 160U, 320U, 640U}) {
    INFO("one allocation of " << one_in << " fails");
    supply.one_in(one_in);
    for (int round = 0; round < 10; ++round) {
      for (Device& device : fleet.devices()) {
        fleet.leave(device);
        fleet.come(device);
        if (!device.admitted) CHECK_FALSE(device.connected);
        if (device.admitted) ++(device.connected ? admitted : refused);
      }
    }
    fleet.turn_around();  // and the sessions that are to end
    for (Device& device : fleet.devices())
      fleet.come(device);
    world.broker.reload();
    supply.plenty();

    world.settle();
    fleet.check();
  }
  std::cout << supply.failed() << " allocations failed; of devices turned on " << admitted
            << " were let in meanwhile, " << refused << " were not\n";
  CHECK(admitted > 0);
  if (!Supply::is_without_effect()) CHECK(refused > 0);
}

TEST_CASE("what Redis says while the broker is short of memory is done when it has some",
          "[e2e][memory]") {
  Supply supply;
  supply.only_main(true);  // the sync hears of it
  World world(supply.broker());
  std::vector<CertFiles> certificates;
  std::vector<MqttClient> clients;
  for (std::size_t i = 0; i < kDevices; ++i) {
    const std::string name = "device" + std::to_string(i);
    certificates.push_back(world.device(name));
    clients.push_back(world.connected(certificates.back(), name));
  }

  for (std::size_t i = 0; i < kDevices; ++i) {
    supply.one_in(1 + i % 4);
    world.set_state(certificates[i], "inactive");
    const std::string name = "device" + std::to_string(i);
    CHECK(eventually([&] { return world.attempt(certificates[i], name) == Connected::kRefused; }));
  }
  if (!Supply::is_without_effect()) CHECK(world.broker.logged("out of memory"));
  supply.plenty();

  for (std::size_t i = 0; i < kDevices; ++i) {
    INFO("device " << i);
    CHECK(clients[i].ended());
  }
}

}  // namespace
}  // namespace leafgate::test
