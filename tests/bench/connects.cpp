// SPDX-License-Identifier: Apache-2.0
#include <optional>

#include "tests/bench/load.h"
#include "tests/bench/sections.h"

namespace leafgate::bench {
namespace {

constexpr const char* kRate = "connects/s";
constexpr const char* kCost = "broker's time per connect";
constexpr const char* kResumed = "share that was resumed";
constexpr std::size_t kConnects = 10 * Visitors::kInFlight;  // of one turn
constexpr std::size_t kRounds = 5;
// Those that must not differ from Mosquitto alone are compared more often.
constexpr std::size_t kCloseRounds = 50;

struct Entry {
  Contender contender;
  bool resumes = false;
  std::unique_ptr<Visitors> visitors;

  std::string name() const { return contender.name + (resumes ? ", resumed" : ""); }
};

void enter(Grounds& grounds, Contender contender, std::vector<Entry>& all, bool resumes = false) {
  all.push_back({std::move(contender), resumes, std::make_unique<Visitors>(grounds.visitors)});
  if (resumes) all.back().visitors->resume();
}

// Those that must not differ from Mosquitto alone, which comes first.
void enter_close(Grounds& grounds, std::vector<Entry>& all) {
  enter(grounds, plain(grounds), all);
  enter(grounds, gated(grounds, "leafgate"), all);
  enter(grounds, gated(grounds, "leafgate, Redis 5 ms away", Distance(5)), all);
  enter(grounds, gated_frozen(grounds), all);
}

void enter_others(Grounds& grounds, std::vector<Entry>& all) {
  const std::string ours = "leafgate, Mosquitto's defaults";
  enter(grounds, plain(grounds, Settings::kDefault), all);
  enter(grounds, plain(grounds, Settings::kDefault), all, true);
  enter(grounds, gated(grounds, ours, Distance(0), Settings::kDefault), all, true);
  enter(grounds, asking(grounds, "asks Redis"), all);
  enter(grounds, asking(grounds, "asks Redis 1 ms away", Distance(1)), all);
  enter(grounds, asking(grounds, "asks Redis 5 ms away", Distance(5)), all);
  enter(grounds, with_crl(grounds, 10'000), all);
  enter(grounds, with_crl(grounds, 100'000), all);
  enter(grounds, dynamic_security(grounds), all);
}

void visit(Entry& entry, std::size_t round, Figures& figures) {
  const Storm storm = entry.visitors->storm(entry.contender.door(), kConnects);
  if (storm.refused > 0 || storm.failed > 0)
    throw std::runtime_error(entry.name() + " did not admit everybody:\n" +
                             entry.contender.broker->log());
  figures.add(kRate, entry.name(), round, storm.per_second());
  figures.add(kCost, entry.name(), round, storm.broker_us_each());
  figures.add(kResumed, entry.name(), round,
              static_cast<double>(storm.resumed) / static_cast<double>(storm.accepted));
}

// Nobody always comes after the same one.
void go_round(std::vector<Entry>& all, std::size_t round, Figures& figures) {
  for (std::size_t i = 0; i < all.size(); ++i)
    visit(all[(i + round) % all.size()], round, figures);
}

void add_rows(const std::vector<Entry>& all, Figures& figures) {
  constexpr Wanted kNoSlower{Wanted::Of::kRatio, Wanted::Side::kAtLeast, 0.98};
  const std::string rival = all.front().name();
  for (const Entry& entry : all) {
    const bool ours = entry.contender.name.rfind("leafgate", 0) == 0 && !entry.resumes;
    figures.row(kRate, "/s", entry.name(), rival, ours ? std::optional(kNoSlower) : std::nullopt);
  }
  figures.row(kRate, "/s", "leafgate", "Mosquitto, its defaults",
              Wanted{Wanted::Of::kRatio, Wanted::Side::kAtLeast, 1.3});
  figures.row(kRate, "/s", "leafgate, Mosquitto's defaults, resumed",
              "Mosquitto, its defaults, resumed");
  for (const Entry& entry : all)
    figures.row(kCost, "us", entry.name(), rival);
  for (const Entry& entry : all) {
    if (entry.resumes) figures.row(kResumed, "", entry.name());
  }
}

}  // namespace

void measure_connects(Grounds& grounds, Figures& figures) {
  figures.heading("Connecting: TLS 1.3 with a certificate each, " +
                  std::to_string(Grounds::kRecords / 1000) + " k records, " +
                  std::to_string(Visitors::kInFlight) + " connections under way");
  std::vector<Entry> all;
  enter_close(grounds, all);
  for (std::size_t round = 0; round < kCloseRounds; ++round)
    go_round(all, round, figures);
  enter_others(grounds, all);
  for (std::size_t round = kCloseRounds; round < kCloseRounds + kRounds; ++round)
    go_round(all, round, figures);
  add_rows(all, figures);
}

}  // namespace leafgate::bench
