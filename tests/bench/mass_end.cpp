// SPDX-License-Identifier: Apache-2.0
// What everybody else on the broker feels while thousands of sessions are ended at once: how long a
// message takes from its publisher through the broker back to it.  mass_end [sessions]
//
// Exit status: 0 when the wanted bound was met, 1 when not, 2 when nothing could be measured.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <thread>

#include "certs/certificate.h"
#include "certs/facts.h"
#include "tests/bench/crowd.h"
#include "tests/bench/site.h"
#include "tests/support/latency.h"

namespace leafgate::bench {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kDevices = 100;
constexpr test::Latency kWantedMax{50};
constexpr const char* kAdmission = "client_id: device_or_suffix\ncertificate_in_use: allow";

class Measurement {
 public:
  explicit Measurement(std::size_t sessions)
      : site_(Line::kDirect, kAdmission), each_(sessions / kDevices) {
    for (std::size_t i = 0; i < kDevices; ++i) {
      test::CertSpec spec;
      spec.cn = "crowd" + std::to_string(i);
      spec.not_before = "-3h";  // a block with `before` tells them from the bystander
      devices_.push_back({spec.cn, site_.pki.issue(spec)});
    }
  }

  // True when the bystander's longest wait was short enough.
  bool take(const char* what, const std::function<void()>& end_them) {
    for (const Crowd::Device& device : devices_)
      site_.set_state(device.certificate, "active");
    test::Bystander bystander(site_.connected(bystander_, "bystander"), "bystander");
    site_.connected(devices_.back().certificate, devices_.back().name).disconnect();
    Crowd crowd(site_.broker, devices_, each_);
    print("before", test::distribution(bystander.measure(seconds(3))), 0);

    seconds period(10);
    bool ended = false;
    test::Latency took{};
    std::thread operators_doing([&] {
      std::this_thread::sleep_for(seconds(1));
      const auto start = Clock::now();
      end_them();
      ended = crowd.all_ended(seconds(60));
      took = Clock::now() - start;
    });
    const test::Distribution felt = test::distribution(bystander.measure(period));
    operators_doing.join();
    if (!ended) throw std::runtime_error("not all sessions were ended");
    print(what, felt, took.count());
    return felt.max <= kWantedMax;
  }

  void deactivate() {
    for (const Crowd::Device& device : devices_)
      site_.set_state(device.certificate, "inactive");
  }

  void block_issuer() {
    const auto pem = test::read_file(devices_.front().certificate.certificate);
    const auto certificates = certs::from_pem_or_der(pem);
    const auto facts = certs::read_facts(*certificates.value().front(), certs::SanWanted::kNone);
    const auto before = std::chrono::system_clock::now() - std::chrono::hours(2);
    site_.redis.cli({"HSET", "leafgate:block:issuer:" + facts.issuer_key_id, "before",
                     std::to_string(std::chrono::system_clock::to_time_t(before))});
  }

 private:
  void print(const char* what, const test::Distribution& felt, double took_ms) const {
    std::printf("%-22s %8zu %9.3f %9.3f %9.3f %9.0f\n", what, each_ * kDevices, felt.p50.count(),
                felt.p99.count(), felt.max.count(), took_ms);
    std::fflush(stdout);
  }

  Site site_;
  const std::size_t each_;
  std::vector<Crowd::Device> devices_;
  test::CertFiles bystander_ = site_.device("bystander");
};

int run(std::size_t sessions) {
  Measurement measurement(sessions);
  std::printf("a bystander's messages in ms, 500 a second; wanted: max <= %.0f\n\n",
              kWantedMax.count());
  std::printf("%-22s %8s %9s %9s %9s %9s\n", "", "sessions", "p50", "p99", "max", "all ended");
  const bool records = measurement.take("100 records off", [&] { measurement.deactivate(); });
  const bool issuer = measurement.take("issuer blocked", [&] { measurement.block_issuer(); });
  return records && issuer ? 0 : 1;
}

}  // namespace
}  // namespace leafgate::bench

int main(int argc, char** argv) {
  try {
    return leafgate::bench::run(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 5000);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
