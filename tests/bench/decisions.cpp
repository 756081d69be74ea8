// SPDX-License-Identifier: Apache-2.0
// One decision without a broker around it: by the clock, and in instructions, which can be compared
// between machines.
#include <nlohmann/json.hpp>
#include <stdexcept>

#include "tests/bench/sections.h"

namespace leafgate::bench {
namespace {

constexpr std::size_t kRounds = 5;
constexpr std::size_t kCounted = 512;

struct Size {
  const char* name;
  const char* records;
  const char* sessions;
};
constexpr Size kSizes[] = {
    {"1 k records", "1000", "1"},
    {"1 M records", "1000000", "1"},
    {"1 M records, 10 k sessions", "1000000", "10000"},
};

std::string run(std::vector<std::string> argv) {
  const test::Ran ran = test::run(argv, "", {}, std::chrono::minutes(3));
  if (ran.status != 0) throw std::runtime_error("`" + argv.front() + "` failed: " + ran.err);
  return ran.out + ran.err;
}

void take_times(const Size& size, std::size_t round, Figures& figures) {
  const auto found =
      nlohmann::json::parse(run({LEAFGATE_DECISION_COST, "--records", size.records, "--sessions",
                                 size.sessions, "--decisions", "3000", "--json"}));
  const auto us = [&](const char* name) { return found.at(name).get<double>() / 1000; };
  figures.add("certificate to answer", size.name, round, us("connect_hot_p50_ns"));
  figures.add("the same, just parsed", size.name, round, us("connect_parsed_p50_ns"));
  figures.add("the same, caches evicted", size.name, round, us("connect_cold_p50_ns"));
  figures.add("message, last rule of five", size.name, round, us("publish_last_p50_ns"));
}

void measure_times(Figures& figures) {
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (const Size& size : kSizes)
      take_times(size, round, figures);
  }
  for (const Size& size : kSizes) {
    const bool is_million = std::string(size.records) == "1000000";
    const auto wanted = is_million
                            ? std::optional(Wanted{Wanted::Of::kValue, Wanted::Side::kAtMost, 5})
                            : std::nullopt;
    const std::string rival = kSizes[0].name;
    figures.row("certificate to answer", "us", size.name, rival, wanted);
    figures.row("the same, just parsed", "us", size.name, rival, wanted);
    figures.row("the same, caches evicted", "us", size.name, rival);
    figures.row("message, last rule of five", "us", size.name, rival);
  }
}

// Instructions for so many decisions of this kind.
double instructions(const Size& size, const std::string& kind) {
  const std::string said = run(
      {"valgrind", "--tool=callgrind", "--collect-atstart=no", "--toggle-collect=asked_decision",
       "--callgrind-out-file=/dev/null", LEAFGATE_DECISION_COST, "--records", size.records,
       "--sessions", size.sessions, "--decisions", std::to_string(kCounted), "--count", kind});
  const std::string word = "Collected : ";
  const auto at = said.find(word);
  if (at == std::string::npos) throw std::runtime_error("callgrind counted nothing: " + said);
  return std::stod(said.substr(at + word.size()));
}

void count_instructions(Figures& figures) {
  constexpr Size kSmall{"1 k records", "1000", "1"};
  constexpr Size kLarge{"10 k records, 1 k sessions", "10000", "1000"};
  const double around = instructions(kSmall, "none");
  const auto count = [&](const Size& size, const std::string& kind, const std::string& measure) {
    const double each = (instructions(size, kind) - around) / static_cast<double>(kCounted);
    figures.add(measure, size.name, 0, each);
    figures.row(measure, "", size.name, kSmall.name);
  };
  count(kSmall, "connect", "instructions, certificate to answer");
  count(kLarge, "connect", "instructions, certificate to answer");
  count(kSmall, "topic_first", "instructions, message, first rule");
  count(kSmall, "topic", "instructions, message, last rule");
  count(kLarge, "topic", "instructions, message, last rule");
}

}  // namespace

void measure_decisions(Grounds&, Figures& figures) {
  figures.heading("One decision, without a broker around it");
  measure_times(figures);
  count_instructions(figures);
}

}  // namespace leafgate::bench
