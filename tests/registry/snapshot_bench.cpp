// SPDX-License-Identifier: Apache-2.0
// Measures the snapshot of a replica with many records: its size, how long it takes to write and to
// read, how long a shard is locked for it, and what a decision feels meanwhile.
//   snapshot_bench [records] [folder]
#include <algorithm>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "registry/snapshot.h"
#include "tests/registry/sync_fixture.h"
#include "tests/support/process.h"

using namespace leafgate;
using registry::Replica;
using std::chrono::steady_clock;

namespace {

double ms_since(steady_clock::time_point start) {
  return std::chrono::duration<double, std::milli>(steady_clock::now() - start).count();
}

const std::string kPrefix = "leafgate:";

double longest_copy_ms(const Replica& replica) {
  std::vector<Replica::Packed> copy;
  double longest = 0;
  for (std::size_t shard = 0; shard < Replica::kShards; ++shard) {
    const auto start = steady_clock::now();
    replica.copy_shard(shard, copy);
    longest = std::max(longest, ms_since(start));
  }
  return longest;
}

// How long look-ups took while `busy`, in microseconds, sorted.
std::vector<double> look_up_while(const Replica& replica, std::size_t records,
                                  const std::atomic<bool>& busy) {
  std::vector<double> us;
  for (std::size_t i = 0; busy; ++i) {
    const policy::Fingerprint key = test::fingerprint(i * 7919 % records);
    const auto start = steady_clock::now();
    if (!replica.find(key)) std::abort();
    us.push_back(ms_since(start) * 1e3);
  }
  std::sort(us.begin(), us.end());
  return us;
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t records = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1'000'000;
  const test::TempDir temporary;
  const std::string path =
      (argc > 2 ? std::string(argv[2]) : temporary.path().string()) + "/snapshot";
  const auto now =
      std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  Replica replica;
  for (std::size_t i = 0; i < records; ++i)
    replica.put(test::fingerprint(i), {policy::CertState::kActive}, 1);
  std::printf("%zu records; longest lock of a shard      %8.3f ms\n", records,
              longest_copy_ms(replica));

  std::atomic<bool> busy{true};
  std::vector<double> us;
  std::thread deciding([&] { us = look_up_while(replica, records, busy); });
  const auto write_start = steady_clock::now();
  const auto written =
      registry::write_snapshot(path, replica, kPrefix, now, [] { return registry::Remembered{}; });
  const double write_ms = ms_since(write_start);
  busy = false;
  deciding.join();
  if (!written) {
    std::printf("%s\n", written.error().message.c_str());
    return 2;
  }
  std::printf("written in %8.0f ms, %.1f MB\n", write_ms, double(written.value().bytes) / 1e6);
  std::printf("look-ups meanwhile: p50 %.2f us  p99.9 %.2f us  max %.0f us  (n %zu)\n",
              us[us.size() / 2], us[us.size() * 999 / 1000], us.back(), us.size());

  Replica loaded;
  const auto read_start = steady_clock::now();
  const auto read = registry::read_snapshot(path, loaded, kPrefix, now);
  std::printf("read in    %8.0f ms, %zu records\n", ms_since(read_start), loaded.size());
  std::remove(path.c_str());
  return read && loaded.size() == records ? 0 : 2;
}
