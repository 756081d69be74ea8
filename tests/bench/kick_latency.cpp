// SPDX-License-Identifier: Apache-2.0
// How long a device stays after somebody turned its certificate off: from sending
// `HSET leafgate:cert:<fingerprint> state inactive` to Redis until the client sees its connection
// closed. Broker, Redis and client run on this machine.
//
// Exit status: 0 when the wanted bounds were met, 1 when not, 2 when nothing could be measured.
#include <cstdio>
#include <exception>
#include <optional>
#include <random>
#include <thread>
#include <vector>

#include "tests/bench/message_load.h"
#include "tests/bench/site.h"
#include "tests/support/latency.h"

namespace leafgate::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr int kTrials = 200;
constexpr int kMessagesPerSecond = 10000;
constexpr test::Latency kWantedP50{1};
constexpr test::Latency kWantedP99{5};

test::Latency trial(Site& site, const test::CertFiles& certificate, milliseconds pause) {
  site.set_state(certificate, "active");
  test::MqttClient client = site.connected(certificate, "device");
  bool ended = false;
  std::thread waiting([&] { ended = client.ended(); });
  // The moment falls anywhere in the broker's 100 ms loop, with the client already waiting.
  std::this_thread::sleep_for(pause);

  const auto sent = Clock::now();
  site.set_state(certificate, "inactive");
  waiting.join();
  if (!ended) throw std::runtime_error("the session did not end");
  return client.ended_at() - sent;
}

bool measure(Site& site, const test::CertFiles& certificate, const char* broker) {
  std::mt19937 random(1);
  std::uniform_int_distribution<int> pause_ms(5, 105);
  std::vector<test::Latency> samples;
  for (int i = 0; i < kTrials; ++i) {
    samples.push_back(trial(site, certificate, milliseconds(pause_ms(random))));
  }
  const test::Distribution felt = test::distribution(samples);
  const bool met = felt.p50 <= kWantedP50 && felt.p99 <= kWantedP99;
  std::printf("%-22s %6zu %9.3f %9.3f %9.3f   %s\n", broker, felt.count, felt.p50.count(),
              felt.p99.count(), felt.max.count(), met ? "met" : "NOT met");
  std::fflush(stdout);
  return met;
}

int run() {
  Site site(Line::kDirect);
  const test::CertFiles certificate = site.device("device");
  const test::CertFiles publisher = site.device("publisher");
  const test::CertFiles subscriber = site.device("subscriber");
  std::printf(
      "from `HSET state inactive` sent to Redis to the client's connection closed, in ms\n"
      "wanted: p50 <= %.0f, p99 <= %.0f\n\n",
      kWantedP50.count(), kWantedP99.count());
  std::printf("%-22s %6s %9s %9s %9s   %s\n", "broker", "trials", "p50", "p99", "max", "bounds");

  const bool idle = measure(site, certificate, "idle");
  MessageLoad load(site.connected(publisher, "publisher"), site.connected(subscriber, "subscriber"),
                   kMessagesPerSecond);
  const bool busy = measure(site, certificate, "10 k messages/s asked");
  std::printf("\nmessages delivered meanwhile: %.0f/s\n", load.delivered_per_s());
  return idle && busy ? 0 : 1;
}

}  // namespace
}  // namespace leafgate::bench

int main() {
  try {
    return leafgate::bench::run();
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
