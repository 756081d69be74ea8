// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>

#include "tests/bench/gauge.h"
#include "tests/bench/load.h"
#include "tests/bench/sections.h"

namespace leafgate::bench {
namespace {

constexpr const char* kRate = "connects/s";
constexpr const char* kCost = "broker's time per connect";
constexpr const char* kResumed = "share that was resumed";
constexpr std::size_t kInFlight = 32;
constexpr milliseconds kWindow{600};
// Those that must not differ from Mosquitto alone are compared more often than those that do.
constexpr std::size_t kRounds = 15;
constexpr std::size_t kEvery = 3;

struct Entry {
  Contender contender;
  bool resumes = false;
  bool often = false;

  std::string name() const { return contender.name + (resumes ? ", resumed" : ""); }
};

std::vector<Entry> entries(Grounds& grounds) {
  std::vector<Entry> all;
  const auto add = [&all](Contender contender, bool often = false, bool resumes = false) {
    all.push_back({std::move(contender), resumes, often});
  };
  add(plain(grounds), true);
  add(gated(grounds, "leafgate"), true);
  add(gated(grounds, "leafgate, Redis 5 ms away", Distance(5)), true);
  add(gated_frozen(grounds), true);
  add(plain(grounds, Settings::kDefault));
  add(plain(grounds, Settings::kDefault), false, true);
  add(gated(grounds, "leafgate, Mosquitto's defaults", Distance(0), Settings::kDefault), false,
      true);
  add(asking(grounds, "asks Redis"));
  add(asking(grounds, "asks Redis 1 ms away", Distance(1)));
  add(asking(grounds, "asks Redis 5 ms away", Distance(5)));
  add(with_crl(grounds, 10'000));
  add(with_crl(grounds, 100'000));
  add(dynamic_security(grounds));
  return all;
}

void visit(Entry& entry, Visitors& visitors, std::size_t round, Figures& figures) {
  const pid_t broker = entry.contender.broker->pid();
  std::chrono::duration<double, std::micro> before{};
  std::chrono::duration<double, std::micro> spent{};
  const Storm storm = visitors.storm(
      entry.contender.door(), kInFlight, kWindow, [&] { before = processor_time(broker); },
      [&] { spent = processor_time(broker) - before; });
  if (storm.refused > 0 || storm.failed > 0)
    throw std::runtime_error(entry.name() + " did not admit everybody:\n" +
                             entry.contender.broker->log());
  figures.add(kRate, entry.name(), round, storm.per_second());
  figures.add(kCost, entry.name(), round, spent.count() / static_cast<double>(storm.accepted));
  figures.add(kResumed, entry.name(), round,
              static_cast<double>(storm.resumed) / static_cast<double>(storm.accepted));
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
                  std::to_string(kInFlight) + " connections under way");
  std::vector<Entry> all = entries(grounds);
  std::vector<std::unique_ptr<Visitors>> visitors;
  for (const Entry& entry : all) {
    visitors.push_back(std::make_unique<Visitors>(grounds.visitors));
    if (entry.resumes) visitors.back()->resume();
  }
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const std::size_t at = (i + round) % all.size();  // nobody always comes after the same one
      if (all[at].often || round % kEvery == 0) visit(all[at], *visitors[at], round, figures);
    }
  }
  add_rows(all, figures);
}

}  // namespace leafgate::bench
