// SPDX-License-Identifier: Apache-2.0
#include <thread>

#include "tests/bench/gauge.h"
#include "tests/bench/load.h"
#include "tests/bench/sections.h"
#include "tests/support/latency.h"

namespace leafgate::bench {
namespace {

constexpr int kConnectsPerSecond = 100;
constexpr milliseconds kWindow{2000};
constexpr milliseconds kFrozen{1000};
constexpr std::size_t kRounds = 5;

struct Entry {
  std::string name;
  Contender* contender = nullptr;
  int connects_per_second = kConnectsPerSecond;
  bool freezes = false;  // Redis, for the first half of the time
};

class Bystanders {
 public:
  Bystanders(Grounds& grounds, Figures& figures)
      : grounds_(grounds),
        figures_(figures),
        visitors_(grounds.visitors),
        certificate_(grounds.device_in_files("bystander")) {}

  void take(const Entry& entry, std::size_t round) {
    test::MqttClient client;
    test::ConnectOptions options = entry.contender->broker->client(certificate_, "bystander");
    if (client.connect(options) != test::Connected::kAccepted)
      throw std::runtime_error(entry.name + " did not admit the bystander:\n" +
                               entry.contender->broker->log());
    test::Bystander bystander(std::move(client), "broadcast/bystander/data");
    test::Distribution felt;
    if (entry.freezes) grounds_.redis.freeze();
    std::thread watching([&] {
      put_this_thread_first();
      felt = test::distribution(bystander.measure(kWindow));
    });
    if (entry.freezes) {
      visitors_.arrive(entry.contender->door(), entry.connects_per_second, kFrozen);
      grounds_.redis.thaw();
    } else if (entry.connects_per_second > 0) {
      visitors_.arrive(entry.contender->door(), entry.connects_per_second, kWindow);
    }
    watching.join();
    figures_.add("p50", entry.name, round, felt.p50.count());
    figures_.add("p99", entry.name, round, felt.p99.count());
    figures_.add("longest", entry.name, round, felt.max.count());
  }

 private:
  Grounds& grounds_;
  Figures& figures_;
  Visitors visitors_;
  test::CertFiles certificate_;
};

}  // namespace

void measure_bystanders(Grounds& grounds, Figures& figures) {
  figures.heading("What a bystander's messages take, 500 a second, while " +
                  std::to_string(kConnectsPerSecond) + " devices a second connect");
  Contender alone = plain(grounds);
  Contender ours = gated(grounds, "leafgate");
  Contender far = gated(grounds, "leafgate", Distance(5));
  Contender asks = asking(grounds, "asks");
  Contender asks_near = asking(grounds, "asks", Distance(1));
  Contender asks_far = asking(grounds, "asks", Distance(5));
  Contender crl = with_crl(grounds, 100'000);
  const std::vector<Entry> all = {
      {"Mosquitto, nobody connects", &alone, 0},
      {"Mosquitto", &alone},
      {"leafgate", &ours},
      {"leafgate, Redis 5 ms away", &far},
      {"leafgate, Redis frozen 1 s", &ours, kConnectsPerSecond, true},
      {"asks Redis", &asks},
      {"asks Redis 1 ms away", &asks_near},
      {"asks Redis 5 ms away", &asks_far},
      {"asks Redis frozen 1 s", &asks, kConnectsPerSecond, true},
      {"crlfile of 100 k", &crl},
  };
  Bystanders bystanders(grounds, figures);
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < all.size(); ++i)
      bystanders.take(all[(i + round) % all.size()], round);
  }
  for (const char* measure : {"p50", "p99", "longest"}) {
    for (const Entry& entry : all)
      figures.row(measure, "ms", entry.name, "Mosquitto");
  }
}

}  // namespace leafgate::bench
