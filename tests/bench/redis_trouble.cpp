// SPDX-License-Identifier: Apache-2.0
// What everybody else on the broker feels while Redis is in trouble and devices connect: how long a
// message takes from its publisher through the broker back to it, with Redis healthy, 1 s slow,
// frozen and stopped, side by side in one run.
//
// Exit status: 0 when the figures could be taken, 2 when not.
#include <cstdio>
#include <exception>
#include <string>

#include "tests/bench/site.h"
#include "tests/support/connect_load.h"
#include "tests/support/latency.h"

namespace leafgate::bench {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kPeriod{10};
constexpr milliseconds kMessageInterval{2};
constexpr milliseconds kConnectInterval{20};

class Measurement {
 public:
  Measurement()
      : site_(Line::kThroughProxy),
        admitted_(site_.device("admitted")),
        refused_(site_.device("refused", "inactive")),
        bystander_(site_.connected(site_.device("bystander"), "bystander"), "bystander") {}

  void take(const std::string& redis) {
    test::ConnectLoad load(
        {site_.broker.client(admitted_, "admitted"), site_.broker.client(refused_, "refused")},
        kConnectInterval);
    const test::Distribution felt =
        test::distribution(bystander_.measure(kPeriod, kMessageInterval));
    const test::ConnectLoad::Counts counts = load.stop();
    if (healthy_p99_.count() == 0) healthy_p99_ = felt.p99;
    std::printf("%-10s %8zu %9.3f %9.3f %9.3f %9.2f %10d %9d %7d\n", redis.c_str(), felt.count,
                felt.p50.count(), felt.p99.count(), felt.max.count(), felt.p99 / healthy_p99_,
                counts.accepted, counts.refused, counts.other);
    std::fflush(stdout);
  }

  Site& site() { return site_; }

 private:
  Site site_;
  test::CertFiles admitted_;
  test::CertFiles refused_;
  test::Bystander bystander_;
  test::Latency healthy_p99_{};
};

void run() {
  Measurement measurement;
  Site& site = measurement.site();
  std::printf(
      "a bystander's messages, %d a second, in ms, while a device connects each %d ms\n\n"
      "%-10s %8s %9s %9s %9s %9s %10s %9s %7s\n",
      static_cast<int>(seconds(1) / kMessageInterval), static_cast<int>(kConnectInterval.count()),
      "redis", "messages", "p50", "p99", "max", "p99 ratio", "admitted", "refused", "failed");

  measurement.take("healthy");
  site.proxy->set_delay(milliseconds(500));
  measurement.take("1 s slow");
  site.proxy->set_delay(milliseconds(0));
  site.redis.freeze();
  measurement.take("frozen");
  site.redis.thaw();
  site.redis.kill();
  measurement.take("stopped");
}

}  // namespace
}  // namespace leafgate::bench

int main() {
  try {
    leafgate::bench::run();
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
