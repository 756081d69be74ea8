// SPDX-License-Identifier: Apache-2.0
// What a decision costs the broker's thread, from the event to the answer: a CONNECT with the
// certificate's facts, its fingerprint, the look-up among so many records and the new session; and
// a topic action under five rules.
//
//   decision_cost [--records N] [--sessions N] [--decisions N] [--json]
//
// A connection is measured `hot`, one right after another; `parsed`, each on a certificate that was
// parsed right before, as in a handshake; and `cold`, the same with the caches full of something
// else in between.
//
//   decision_cost … --count connect|topic|topic_first|none
//
// sets everything up and asks for exactly --decisions decisions, for callgrind to count their
// instructions; `none` calls a function that does nothing:
//
//   valgrind --tool=callgrind --collect-atstart=no --toggle-collect=asked_decision
//     build/release/tests/bench/decision_cost --decisions 2048 --count connect
//
// Exit status: 0, or 2 when nothing could be measured.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <exception>
#include <functional>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "tests/bench/loaded_broker.h"

namespace leafgate::bench {
namespace {

using Clock = std::chrono::steady_clock;
using Nanoseconds = std::chrono::duration<double, std::nano>;
using Rule = LoadedBroker::Rule;

constexpr std::size_t kTickEach = 64;      // connections that one turn of the broker's loop brings
constexpr std::size_t kTopicBatch = 1000;  // one event is too short for the clock
constexpr std::size_t kEvicting = std::size_t{8} << 20U;  // bytes; more than any L2
constexpr std::size_t kCacheLine = 64;

struct Options {
  std::size_t records = 1'000'000;
  std::size_t sessions = 1000;
  std::size_t decisions = 20'000;
  bool json = false;
  std::string count;  // empty: time is measured
};

// What happens to a device before it connects, outside of what is measured.
using Before = std::function<void(std::size_t device)>;

struct Percentiles {
  double p50 = 0;
  double p99 = 0;
};

// Nearest rank, in nanoseconds.
Percentiles percentiles(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return {samples[samples.size() / 2], samples[samples.size() * 99 / 100]};
}

void ask(const Question& question) {
  if (asked_decision(question) != MOSQ_ERR_SUCCESS) throw std::runtime_error("refused");
}

// Connects one device after another.
void connect_all(LoadedBroker& broker, std::size_t decisions, const Before& before,
                 const std::function<void(const Question&)>& connect) {
  for (std::size_t i = 0; i < decisions; ++i) {
    const std::size_t device = i % LoadedBroker::kDevices;
    const Question question = broker.connect(device);
    before(device);
    connect(question);
    broker.disconnect(device);
    if (i % kTickEach == 0) broker.tick();
  }
}

Percentiles time_connects(LoadedBroker& broker, std::size_t decisions, const Before& before) {
  std::vector<double> samples;
  connect_all(broker, decisions, before, [&](const Question& question) {
    const auto start = Clock::now();
    ask(question);
    samples.push_back(Nanoseconds(Clock::now() - start).count());
  });
  return percentiles(std::move(samples));
}

class Evicting {
 public:
  void operator()() {
    for (std::size_t at = 0; at < bytes_.size(); at += kCacheLine)
      ++bytes_[at];
  }

 private:
  std::vector<unsigned char> bytes_ = std::vector<unsigned char>(kEvicting);
};

// Each event is another session's.
double time_topics(LoadedBroker& broker, const Options& options, int access, Rule rule) {
  std::vector<double> samples;
  std::size_t session = 0;
  for (std::size_t batch = 0; batch * kTopicBatch < options.decisions * 10; ++batch) {
    const auto start = Clock::now();
    for (std::size_t i = 0; i < kTopicBatch; ++i) {
      ask(broker.topic(session, access, rule));
      session = session + 1 == options.sessions ? 0 : session + 1;
    }
    samples.push_back(Nanoseconds(Clock::now() - start).count() / kTopicBatch);
  }
  return percentiles(std::move(samples)).p50;
}

nlohmann::ordered_json measure(LoadedBroker& broker, const Options& options) {
  const std::size_t fewer = std::max<std::size_t>(options.decisions / 10, 1);  // these take long
  Evicting evict;
  const Percentiles hot = time_connects(broker, options.decisions, [](std::size_t) {});
  const Percentiles parsed =
      time_connects(broker, fewer, [&](std::size_t device) { broker.parse(device); });
  const Percentiles cold = time_connects(broker, fewer, [&](std::size_t device) {
    broker.parse(device);
    evict();
  });
  const auto topic = [&](int access, Rule rule) {
    return time_topics(broker, options, access, rule);
  };
  return {{"records", options.records},
          {"sessions", options.sessions},
          {"connect_hot_p50_ns", hot.p50},
          {"connect_hot_p99_ns", hot.p99},
          {"connect_parsed_p50_ns", parsed.p50},
          {"connect_parsed_p99_ns", parsed.p99},
          {"connect_cold_p50_ns", cold.p50},
          {"connect_cold_p99_ns", cold.p99},
          {"publish_first_p50_ns", topic(MOSQ_ACL_WRITE, Rule::kFirst)},
          {"publish_last_p50_ns", topic(MOSQ_ACL_WRITE, Rule::kLast)},
          {"receive_first_p50_ns", topic(MOSQ_ACL_READ, Rule::kFirst)},
          {"receive_last_p50_ns", topic(MOSQ_ACL_READ, Rule::kLast)}};
}

void print(const nlohmann::ordered_json& figures, bool as_json) {
  if (as_json) {
    std::printf("%s\n", figures.dump().c_str());
    return;
  }
  for (const auto& [name, figure] : figures.items())
    std::printf("%s %.0f  ", name.c_str(), figure.get<double>());
  std::printf("\n");
}

int do_nothing(int, void*, void*) {
  return MOSQ_ERR_SUCCESS;
}

void count_topics(LoadedBroker& broker, const Options& options, Rule rule) {
  for (std::size_t i = 0; i < options.decisions; ++i) {
    const int access = i % 2 == 0 ? MOSQ_ACL_WRITE : MOSQ_ACL_READ;
    ask(broker.topic(i % options.sessions, access, rule));
  }
}

void count(LoadedBroker& broker, const Options& options) {
  if (options.count == "connect") {
    connect_all(
        broker, options.decisions, [](std::size_t) {}, ask);
  } else if (options.count == "topic") {
    count_topics(broker, options, Rule::kLast);
  } else if (options.count == "topic_first") {
    count_topics(broker, options, Rule::kFirst);
  } else {
    for (std::size_t i = 0; i < options.decisions; ++i)
      ask({.hook = {do_nothing, nullptr}});
  }
}

std::size_t number(const std::string& text, std::size_t at_least) {
  std::size_t used = 0;
  const unsigned long value = std::stoul(text, &used);
  if (used != text.size() || value < at_least) {
    throw std::invalid_argument("`" + text + "`: a number of at least " + std::to_string(at_least));
  }
  return value;
}

Options parse(const std::vector<std::string>& arguments) {
  Options options;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& name = arguments[i];
    if (name == "--json") {
      options.json = true;
      continue;
    }
    if (i + 1 == arguments.size()) throw std::invalid_argument("`" + name + "`: value missing");
    const std::string& value = arguments[++i];
    if (name == "--records") {
      options.records = number(value, LoadedBroker::kDevices + LoadedBroker::kCrowd);
    } else if (name == "--sessions") {
      options.sessions = number(value, 1);
    } else if (name == "--decisions") {
      options.decisions = number(value, 1);
    } else if (name == "--count" && (value == "connect" || value == "topic" ||
                                     value == "topic_first" || value == "none")) {
      options.count = value;
    } else {
      throw std::invalid_argument("`" + name + " " + value + "`: see the head of this source");
    }
  }
  return options;
}

void run(const Options& options) {
  LoadedBroker broker(options.records, options.sessions);
  if (options.count.empty()) {
    print(measure(broker, options), options.json);
  } else {
    count(broker, options);
  }
}

}  // namespace
}  // namespace leafgate::bench

int main(int argc, char** argv) {
  try {
    leafgate::bench::run(leafgate::bench::parse({argv + 1, argv + argc}));
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
