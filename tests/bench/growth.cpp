// SPDX-License-Identifier: Apache-2.0
#include <fstream>
#include <iterator>
#include <thread>

#include "tests/bench/gauge.h"
#include "tests/bench/load.h"
#include "tests/bench/sections.h"

namespace leafgate::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Microseconds = std::chrono::duration<double, std::micro>;
using std::chrono::seconds;

constexpr std::size_t kRounds = 5;
constexpr std::size_t kRecordSteps[] = {10'000, 100'000, 1'000'000, 10'000'000};
constexpr std::size_t kSessionSteps[] = {1, 100, 1'000, 10'000};
constexpr std::size_t kConnects = 10 * Visitors::kInFlight;
constexpr milliseconds kWindow{600};
constexpr milliseconds kIdle{3000};
constexpr long kKbForTenMillion = 6'000'000;  // Redis and one broker

std::string in_words(std::size_t number) {
  if (number >= 1'000'000) return std::to_string(number / 1'000'000) + " M";
  if (number >= 1'000) return std::to_string(number / 1'000) + " k";
  return std::to_string(number);
}

long available_kb() {
  std::ifstream memory("/proc/meminfo");
  for (std::string line; std::getline(memory, line);) {
    if (line.rfind("MemAvailable:", 0) == 0) return std::stol(line.substr(13));
  }
  return 0;
}

// Share of a processor, in per mille.
double idle_share(const Contender& contender) {
  const Microseconds before = processor_time(contender.broker->pid());
  const auto start = Clock::now();
  std::this_thread::sleep_for(kIdle);
  const Microseconds passed = Clock::now() - start;
  return 1000 * (processor_time(contender.broker->pid()) - before) / passed;
}

// ---- records

// A broker that has read all of `redis`, and how long after its start.
Contender loaded(Grounds& grounds, Figures& figures, const std::string& name,
                 const test::RedisServer& redis, Distance distance = Distance(0)) {
  const auto start = Clock::now();
  Contender gate = gated_by(grounds, name, redis, distance);
  if (!gate.broker->logged("registry_live", seconds(120)))
    throw std::runtime_error("the records were never read:\n" + gate.broker->log());
  figures.add("first load", name, 0, std::chrono::duration<double>(Clock::now() - start).count());
  return gate;
}

void measure_records(Grounds& grounds, Figures& figures, const Contender& alone,
                     const test::RedisServer& redis, std::size_t records) {
  const std::string ours = "leafgate, " + in_words(records) + " records";
  const std::string far = ours + " 5 ms away";
  const bool goes_far = records == 1'000'000;
  if (goes_far) loaded(grounds, figures, far, redis, Distance(5));
  const Contender gate = loaded(grounds, figures, ours, redis);
  figures.add("memory", ours, 0, double(resident_kb(gate.broker->pid())) / 1e3);

  Visitors to_alone(grounds.visitors);
  Visitors to_gate(grounds.visitors);
  const std::string rival = "Mosquitto, beside " + in_words(records) + " records";
  for (std::size_t round = 0; round < kRounds; ++round) {
    figures.add("broker's time per connect", rival, round,
                to_alone.storm(alone.door(), kConnects).broker_us_each());
    figures.add("broker's time per connect", ours, round,
                to_gate.storm(gate.door(), kConnects).broker_us_each());
  }
  const auto at_most = [&](double million, double ten_million) -> std::optional<Wanted> {
    if (records < 1'000'000) return std::nullopt;
    return Wanted{Wanted::Of::kValue, Wanted::Side::kAtMost,
                  records == 1'000'000 ? million : ten_million};
  };
  figures.row("first load", "s", ours, "", at_most(4, 45));
  if (goes_far) figures.row("first load", "s", far, ours);
  figures.row("memory", "MB", ours, "", records == 10'000'000 ? at_most(0, 600) : std::nullopt);
  figures.row("broker's time per connect", "us", ours, rival);
}

void grow_by_records(Grounds& grounds, Figures& figures) {
  figures.heading("How it grows with records");
  const Contender alone = plain(grounds);
  test::RedisServer redis;
  grounds.register_devices(redis);
  std::size_t filled = Grounds::kVisitors + Grounds::kCrowd + Grounds::kTalkers;
  for (const std::size_t records : kRecordSteps) {
    if (records == 10'000'000 && available_kb() < kKbForTenMillion) {
      std::printf("  too little memory is free for 10 M records: left out\n");
      continue;
    }
    if (records > filled) {
      Grounds::fill(redis, filled, records);
      filled = records;
    }
    measure_records(grounds, figures, alone, redis, records);
  }
}

// ---- sessions

struct Place {
  Contender contender;
  std::unique_ptr<CrowdElsewhere> crowd;
  std::unique_ptr<Visitors> visitors;
  std::unique_ptr<Fanout> fanout;
  long kb_before = 0;
};

Place place(Grounds& grounds, Contender contender) {
  Place made{std::move(contender), nullptr, nullptr, nullptr, 0};
  made.crowd = std::make_unique<CrowdElsewhere>(grounds.crowd, made.contender.door());
  made.visitors = std::make_unique<Visitors>(grounds.visitors);
  made.fanout = std::make_unique<Fanout>(grounds.talkers, made.contender.door(), 1);
  return made;
}

void measure_sessions(Figures& figures, std::vector<Place>& places, std::size_t sessions) {
  const auto named = [&](const Place& place) {
    return place.contender.name + ", " + in_words(sessions) +
           (sessions == 1 ? " session" : " sessions");
  };
  for (Place& place : places)
    place.crowd->grow(sessions);
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (Place& place : places) {
      figures.add("broker's time per connect", named(place), round,
                  place.visitors->storm(place.contender.door(), kConnects).broker_us_each());
      figures.add("broker's time per message", named(place), round,
                  place.fanout->run(kWindow).broker_us_each());
    }
  }
  for (Place& place : places)
    figures.add("idle, of a processor", named(place), 0, idle_share(place.contender));
  const std::string rival = named(places.front());
  for (const char* measure : {"broker's time per connect", "broker's time per message"})
    figures.row(measure, "us", named(places.back()), rival);
  for (const Place& place : places)
    figures.row("idle, of a processor", "per mille", named(place), rival);
}

void grow_by_sessions(Grounds& grounds, Figures& figures) {
  figures.heading("How it grows with sessions");
  std::vector<Place> places;
  places.push_back(place(grounds, plain(grounds)));
  places.push_back(place(grounds, gated(grounds, "leafgate")));
  measure_sessions(figures, places, kSessionSteps[0]);
  for (Place& place : places)
    place.kb_before = resident_kb(place.contender.broker->pid());
  for (const std::size_t sessions : kSessionSteps) {
    if (sessions > kSessionSteps[0]) measure_sessions(figures, places, sessions);
  }
  for (Place& place : places) {
    const long grown = resident_kb(place.contender.broker->pid()) - place.kb_before;
    figures.add("memory of a session", place.contender.name, 0,
                double(grown) / double(*std::rbegin(kSessionSteps) - kSessionSteps[0]));
  }
  for (const Place& place : places)
    figures.row("memory of a session", "kB", place.contender.name, places.front().contender.name);
}

}  // namespace

void measure_growth(Grounds& grounds, Figures& figures) {
  grow_by_records(grounds, figures);
  grow_by_sessions(grounds, figures);
}

}  // namespace leafgate::bench
