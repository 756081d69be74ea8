// SPDX-License-Identifier: Apache-2.0
// Measures the registry's sync on a private Redis: the first load of many records, the memory they
// take, the time from HSET to a reader of the replica (of every replica, where several brokers are
// played; also while one more loads), and how long after a restart of Redis all of them have proven
// that they are equal to it.
//
//   registry_bench [records] [trials] [brokers]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <memory>
#include <thread>

#include "registry/connection.h"
#include "tests/registry/sync_fixture.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Command;
using std::chrono::steady_clock;

namespace {

double seconds_since(steady_clock::time_point start) {
  return std::chrono::duration<double>(steady_clock::now() - start).count();
}

// Processor time, which other programs on the machine do not distort as they do the clock.
double our_cpu() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return double(time.tv_sec) + double(time.tv_nsec) / 1e9;
}

double redis_cpu(registry::Client& client) {
  const auto reply = client.call({"INFO", "cpu"}).value();
  const std::string info(*reply.text());
  double total = 0;
  for (const char* word : {"used_cpu_sys:", "used_cpu_user:"}) {
    total += std::atof(info.c_str() + info.find(word) + std::string(word).size());
  }
  return total;
}

long resident_kb() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::atol(line.c_str() + 6);
  }
  return 0;
}

void fill(registry::Client& client, std::size_t records) {
  const registry::Schema schema;
  std::vector<Command> batch;
  for (std::size_t i = 0; i < records; ++i) {
    batch.push_back({"HSET", schema.cert(fingerprint(i)), "state", "active", "device",
                     "dev" + std::to_string(i), "version", "1"});
    if (batch.size() < 1000 && i + 1 < records) continue;
    static_cast<void>(client.pipeline(batch));
    batch.clear();
  }
}

void print_percentiles(const char* what, std::vector<double>& us) {
  std::sort(us.begin(), us.end());
  const auto at = [&us](double share) {
    return us[std::min(us.size() - 1, static_cast<std::size_t>(share * double(us.size())))];
  };
  std::printf("%-34s p50 %.0f us  p99 %.0f us  max %.0f us  (%zu trials)\n", what, at(0.5),
              at(0.99), us.back(), us.size());
}

using Watchers = std::vector<std::unique_ptr<Watcher>>;

bool all_see(const Watchers& watchers, const policy::Fingerprint& which, policy::CertState wanted) {
  return std::all_of(watchers.begin(), watchers.end(), [&](const auto& watcher) {
    return watcher->replica.find(which)->state == wanted;
  });
}

void measure_changes(const RedisServer& redis, const Watchers& watchers, std::size_t records,
                     int trials, const char* what) {
  const registry::Schema schema;
  registry::Client client = redis.client();
  std::vector<double> us;
  for (int i = 0; i < trials; ++i) {
    const policy::Fingerprint chosen = fingerprint(static_cast<std::size_t>(i) * 7919 % records);
    const bool off = watchers[0]->replica.find(chosen)->state == policy::CertState::kActive;
    const auto wanted = off ? policy::CertState::kInactive : policy::CertState::kActive;
    const auto start = steady_clock::now();
    static_cast<void>(
        client.call({"HSET", schema.cert(chosen), "state", off ? "inactive" : "active"}));
    while (!all_see(watchers, chosen, wanted))
      std::this_thread::yield();
    us.push_back(seconds_since(start) * 1e6);
    std::this_thread::sleep_for(milliseconds(2));
  }
  print_percentiles(what, us);
}

// What those that are live feel of one that has just started.
void measure_beside_a_load(const RedisServer& redis, const Watchers& watchers, std::size_t records,
                           int trials) {
  const Watcher newcomer(redis, "newcomer");
  measure_changes(redis, watchers, records, trials, "the same, while another broker loads");
  std::printf("the other one was %s then\n",
              newcomer.sync.status().ever_synced ? "done" : "still loading");
}

bool wait_for_all(const Watchers& watchers) {
  return std::all_of(watchers.begin(), watchers.end(), [](const auto& watcher) {
    return watcher->sync.wait_until_synced(std::chrono::minutes(10));
  });
}

// All brokers come back at once, each with what it knew.
void measure_restart(RedisServer& redis, const Watchers& watchers) {
  std::vector<std::uint64_t> before;
  for (const auto& watcher : watchers)
    before.push_back(watcher->sync.status().full_syncs);
  redis.cli({"save"});
  redis.kill();
  redis.restart();
  const auto start = steady_clock::now();
  for (std::size_t i = 0; i < watchers.size(); ++i) {
    eventually([&] { return watchers[i]->sync.status().full_syncs > before[i]; },
               std::chrono::minutes(10));
  }
  std::printf("redis is back -> every broker verified   %.2f s\n", seconds_since(start));
}

}  // namespace

int main(int argc, char** argv) {
  const std::size_t records = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 1'000'000;
  const int trials = argc > 2 ? std::atoi(argv[2]) : 1000;
  const int brokers = argc > 3 ? std::max(1, std::atoi(argv[3])) : 1;
  RedisServer redis;
  registry::Client client = redis.client();
  fill(client, records);

  const long before_kb = resident_kb();
  const double our_cpu_before = our_cpu();
  const double redis_cpu_before = redis_cpu(client);
  const auto start = steady_clock::now();
  Watchers watchers;
  for (int i = 0; i < brokers; ++i)
    watchers.push_back(std::make_unique<Watcher>(redis, "gateway-" + std::to_string(i)));
  if (!wait_for_all(watchers)) {
    std::printf("never synced: %s\n", watchers[0]->sync.status().last_error.c_str());
    return 1;
  }
  const double loaded = seconds_since(start);
  const double table_mb = double(watchers[0]->replica.bytes()) / 1e6;
  std::printf("first load of %zu records by %d brokers  %.2f s\n", watchers[0]->replica.size(),
              brokers, loaded);
  std::printf("processor time                          ours %.2f s, redis %.2f s\n",
              our_cpu() - our_cpu_before, redis_cpu(client) - redis_cpu_before);
  std::printf("tables %.1f MB (%.1f bytes a record), process grew by %.1f MB\n", table_mb,
              table_mb * 1e6 / double(std::max<std::size_t>(records, 1)),
              double(resident_kb() - before_kb) / 1e3);
  measure_changes(redis, watchers, records, trials, "HSET -> visible to every broker");
  measure_beside_a_load(redis, watchers, records, trials);
  measure_restart(redis, watchers);
  return 0;
}
