// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/load.h"
#include "tests/bench/sections.h"

namespace leafgate::bench {
namespace {

constexpr milliseconds kWindow{800};
constexpr std::size_t kRounds = 9;

struct Shape {
  const char* name;
  std::size_t subscribers;
};
constexpr Shape kShapes[] = {{"1 to 1", 1}, {"1 to 100", 100}};

void flow(const Contender& contender, const Shape& shape, std::size_t round, Fanout& fanout,
          Figures& figures) {
  const Fanout::Flow flow = fanout.run(kWindow);
  figures.add(std::string("messages/s ") + shape.name, contender.name, round, flow.per_second());
  figures.add(std::string("broker's time per message ") + shape.name, contender.name, round,
              flow.broker_us_each());
}

}  // namespace

void measure_messages(Grounds& grounds, Figures& figures) {
  figures.heading(
      "Messages: QoS 0, 64 bytes, over TLS; with leafgate five topic rules, the last applies");
  std::vector<Contender> all;
  all.push_back(plain(grounds));
  all.push_back(gated(grounds, "leafgate"));
  all.push_back(dynamic_security(grounds));
  for (const Shape& shape : kShapes) {
    std::vector<std::unique_ptr<Fanout>> fanouts;
    for (const Contender& contender : all)
      fanouts.push_back(
          std::make_unique<Fanout>(grounds.talkers, contender.door(), shape.subscribers));
    for (std::size_t round = 0; round < kRounds; ++round) {
      for (std::size_t i = 0; i < all.size(); ++i) {
        const std::size_t at = (i + round) % all.size();
        flow(all[at], shape, round, *fanouts[at], figures);
      }
    }
    constexpr Wanted kNoSlower{Wanted::Of::kRatio, Wanted::Side::kAtLeast, 0.95};
    const std::string rate = std::string("messages/s ") + shape.name;
    const std::string cost = std::string("broker's time per message ") + shape.name;
    for (const Contender& contender : all) {
      const bool ours = contender.name == "leafgate";
      figures.row(rate, "/s", contender.name, "Mosquitto",
                  ours ? std::optional(kNoSlower) : std::nullopt);
    }
    for (const Contender& contender : all)
      figures.row(cost, "us", contender.name, "Mosquitto");
  }
}

}  // namespace leafgate::bench
