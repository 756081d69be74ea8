// SPDX-License-Identifier: Apache-2.0
// Chaos with an oracle: several syncs follow one Redis while writers change records in every way
// there is (the command line program and the shell scripts among them), connections are killed and
// the server is frozen, killed and restarted at random. After each round everybody comes to rest,
// and every replica must equal Redis, record by record. Ends with 0 only when no replica differed
// and no audit had to repair anything.
//
// With --with-id the data set has an id, and each flush is confirmed by one that replaces it.
// With --calm there are the writers only: what the audits then had to repair was missed for no
// reason.
//
//   registry_soak [seconds] [--seed N] [--server redis-server|valkey-server] [--with-id] [--calm]
#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "registry/connection.h"
#include "tests/registry/sync_fixture.h"
#include "tests/support/process.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Command;
using registry::Schema;
using std::chrono::seconds;
using std::chrono::steady_clock;

namespace {

constexpr std::uint64_t kRecords = 5000;
constexpr int kWatchers = 3;
constexpr int kWriters = 3;
constexpr milliseconds kRound{6000};

struct Options {
  seconds length{60};
  unsigned seed = std::random_device()();
  std::string server = default_redis();
  bool with_id = false;
  bool calm = false;
};

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word == "--seed" && i + 1 < argc) {
      options.seed = static_cast<unsigned>(std::strtoul(argv[++i], nullptr, 10));
    } else if (word == "--server" && i + 1 < argc) {
      options.server = argv[++i];
    } else if (word == "--with-id") {
      options.with_id = true;
    } else if (word == "--calm") {
      options.calm = true;
    } else if (!word.empty() && word.find_first_not_of("0123456789") == std::string::npos) {
      options.length = seconds(std::atoi(word.c_str()));
    } else {
      std::fprintf(stderr,
                   "usage: %s [seconds] [--seed N] [--server PROGRAM] [--with-id] [--calm]\n",
                   argv[0]);
      std::exit(2);
    }
  }
  return options;
}

// One random change of the kinds people, scripts and Redis itself make.
class Changer {
 public:
  explicit Changer(unsigned seed) : random_(seed) {}

  std::vector<Command> next() {
    const std::string key = any_key();
    switch (random_() % 32) {
      case 0:
        return {{"DEL", key}};
      case 1:
        return {{"UNLINK", key}};
      case 2:
        return {{"RENAME", key, any_key()}};
      case 3:
        return {{"COPY", key, any_key(), "REPLACE"}};
      case 4:
        return {{"PEXPIRE", key, std::to_string(random_() % 3000)}};
      case 5:
        return {{"PEXPIREAT", key, "1999999999999"}};
      case 6:
        return {{"PERSIST", key}};
      case 7:
        return {{"SET", key, "active"}};
      case 8:
        return {{"HDEL", key, "state"}};
      case 9:
        return {{"RENAME", key, "other:" + key}, {"RENAME", "other:" + key, any_key()}};
      case 10:
        return {{"MULTI"}, set_state(key), {"DEL", any_key()}, set_state(any_key()), {"EXEC"}};
      case 11:
        return script();
      case 12:
        return {{"HSET", block(), "before", std::to_string(random_() % 2'000'000'000)}};
      case 13:
        return {{"DEL", block()}};
      case 14:
        return {{"PEXPIRE", block(), std::to_string(random_() % 2000)}};
      case 15:
        return {{"HSET", key, "state", "retiring", "retire_at", std::to_string(random_())}};
      case 16:
        return {{"HSET", key, "revoked_at", random_() % 2 == 0 ? "1" : ""}};
      default:
        return {set_state(key)};
    }
  }

  std::mt19937& random() { return random_; }

 private:
  std::string any_key() { return schema_.cert(fingerprint(random_() % kRecords)); }

  std::string block() {
    const std::string id = std::to_string(random_() % 50);
    return random_() % 2 == 0 ? schema_.block_device("dev" + id) : schema_.block_issuer(id);
  }

  Command set_state(const std::string& key) {
    constexpr std::array kStates{"active", "inactive", "pending", "revoked", "retired", "nonsense"};
    return {"HSET", key, "state", kStates[random_() % kStates.size()]};
  }

  std::vector<Command> script() {
    Command eval{"EVAL", "for i = 2, #ARGV do redis.call('HSET', ARGV[i], 'state', ARGV[1]) end",
                 "0", random_() % 2 == 0 ? "active" : "inactive"};
    for (int i = 0; i < 100; ++i)
      eval.push_back(any_key());
    return {eval};
  }

  std::mt19937 random_;
  Schema schema_;
};

using Watchers = std::vector<std::unique_ptr<Watcher>>;

// The data set's id, as whoever looks after the registry keeps it.
class Keeper {
 public:
  Keeper(RedisServer& redis, const Watchers& watchers, bool with_id)
      : redis_(redis), watchers_(watchers), with_id_(with_id) {}

  // At the start and after a flush: what is there now replaces what was. Nobody is left behind with
  // an older id, which the next one would not name.
  void name_anew() {
    if (!with_id_) return;
    const std::string before = "id-" + std::to_string(number_);
    const std::string id = "id-" + std::to_string(++number_);
    redis_.cli({"hset", Schema().meta(), "id", id, "replaces", before, "confirmed",
                std::to_string(number_)});
    for (const auto& watcher : watchers_)
      eventually([&] { return watcher->sync.remembered().data_set == id; }, seconds(20));
  }

 private:
  RedisServer& redis_;
  const Watchers& watchers_;
  const bool with_id_;
  int number_ = 0;
};

struct Counts {
  std::atomic<std::uint64_t> changes{0};
  std::atomic<std::uint64_t> by_program{0};  // of the command line or a shell script
  std::uint64_t floods = 0;
  std::uint64_t flushes = 0;
  std::uint64_t kills = 0;
  std::uint64_t freezes = 0;
  std::uint64_t restarts = 0;
  std::uint64_t comparisons = 0;
  std::uint64_t differences = 0;
};

// Writes until `done`; a server that is away or frozen is tried again.
void write_changes(const RedisServer& redis, unsigned seed, const std::atomic<bool>& done,
                   Counts& counts) {
  Changer changer(seed);
  while (!done) {
    auto client = registry::Client::connect(redis.endpoint(), seconds(1));
    while (client && !done) {
      std::vector<Command> batch;
      for (std::size_t i = changer.random()() % 20; i < 20; ++i) {
        for (Command& command : changer.next())
          batch.push_back(std::move(command));
      }
      if (!client.value().pipeline(batch)) break;
      counts.changes += batch.size();
      std::this_thread::sleep_for(milliseconds(changer.random()() % 10));
    }
    if (!client) std::this_thread::sleep_for(milliseconds(20));
  }
}

// As people do it, until `done`. The state machine and a server that is away may say no.
void run_programs(const RedisServer& redis, unsigned seed, const std::atomic<bool>& done,
                  Counts& counts) {
  const std::map<std::string, std::string> env = {{"LEAFGATE_REDIS_URL", redis.url()}};
  std::mt19937 random(seed);
  while (!done) {
    const std::string which = policy::to_hex(fingerprint(random() % kRecords));
    static constexpr std::array kVerbs{"activate", "activate", "deactivate", "revoke"};
    const std::string verb = kVerbs[random() % kVerbs.size()];
    std::vector<std::string> argv = {LEAFGATE_CLI, "cert", verb, which};
    if (random() % 2 == 0) argv = {"sh", "scripts/" + verb, which};
    if (run(argv, "", env).status == 0) ++counts.by_program;
  }
}

// One blow against the server or the connections to it.
void strike(RedisServer& redis, Keeper& keeper, std::mt19937& random, Counts& counts) {
  switch (random() % 8) {
    case 0:
      redis.cli({"client", "kill", "type", "pubsub"});
      ++counts.kills;
      break;
    case 1:
    case 2:
      redis.cli({"client", "kill", "type", "normal", "skipme", "yes"});
      ++counts.kills;
      break;
    case 3:
      redis.freeze();
      std::this_thread::sleep_for(milliseconds(random() % 1500));
      redis.thaw();
      ++counts.freezes;
      break;
    case 4:
      redis.kill();
      std::this_thread::sleep_for(milliseconds(random() % 300));
      redis.restart();
      ++counts.restarts;
      break;
    case 5:
      redis.cli({random() % 2 == 0 ? "flushall" : "flushdb", random() % 2 == 0 ? "sync" : "async"});
      keeper.name_anew();
      ++counts.flushes;
      break;
    case 6:
      redis.cli({"-n", "7", "flushdb"});
      ++counts.flushes;
      break;
    default:
      redis.cli({"eval",
                 "for i = 1, 20000 do redis.call('HSET', "
                 "'leafgate:cert:' .. string.format('%064x', i), 'state', ARGV[1]) end",
                 "0", random() % 2 == 0 ? "active" : "revoked"});
      ++counts.floods;
      break;
  }
}

// One round of writing, and of striking unless it is calm; then rest, and the comparison of all
// replicas.
bool round_ends_equal(RedisServer& redis, Keeper& keeper, const Watchers& watchers, bool calm,
                      std::mt19937& random, Counts& counts) {
  std::atomic<bool> done{false};
  std::vector<std::thread> writers;
  for (int i = 0; i < kWriters; ++i) {
    writers.emplace_back(
        [&, seed = static_cast<unsigned>(random())] { write_changes(redis, seed, done, counts); });
  }
  writers.emplace_back(
      [&, seed = static_cast<unsigned>(random())] { run_programs(redis, seed, done, counts); });
  const auto end = steady_clock::now() + kRound;
  while (steady_clock::now() < end) {
    std::this_thread::sleep_for(milliseconds(random() % 1000));
    if (!calm) strike(redis, keeper, random, counts);
  }
  done = true;
  for (std::thread& writer : writers)
    writer.join();

  bool equal = true;
  for (const auto& watcher : watchers) {
    // Short TTLs may still end between the two readings, each of which takes seconds on a machine
    // that does other things as well: what differs must do so for good.
    std::string different = "never came to rest: " + watcher->sync.status().last_error;
    const bool rested =
        watcher->settled(seconds(60)) && eventually(
                                             [&] {
                                               different = differences(redis, watcher->replica);
                                               return different.empty();
                                             },
                                             seconds(60));
    ++counts.comparisons;
    if (rested) continue;
    equal = false;
    ++counts.differences;
    std::printf("%s\n%s", different.c_str(), watcher->log().c_str());
  }
  return equal;
}

void report(const Counts& counts, const Watchers& watchers) {
  std::printf("%llu changes by programs of ours\n",
              static_cast<unsigned long long>(counts.by_program.load()));
  std::printf("%llu changes, %llu floods, %llu flushes, %llu kills, %llu freezes, %llu restarts\n",
              static_cast<unsigned long long>(counts.changes.load()),
              static_cast<unsigned long long>(counts.floods),
              static_cast<unsigned long long>(counts.flushes),
              static_cast<unsigned long long>(counts.kills),
              static_cast<unsigned long long>(counts.freezes),
              static_cast<unsigned long long>(counts.restarts));
  for (const auto& watcher : watchers) {
    const registry::SyncStatus status = watcher->sync.status();
    std::printf("a sync: %llu times live, %llu full scans, %llu invalidations, %llu repairs\n",
                static_cast<unsigned long long>(status.connects),
                static_cast<unsigned long long>(status.full_syncs),
                static_cast<unsigned long long>(status.invalidations),
                static_cast<unsigned long long>(status.repairs));
  }
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  std::printf("%s for %lld s, seed %u\n", options.server.c_str(),
              static_cast<long long>(options.length.count()), options.seed);
  std::fflush(stdout);
  std::mt19937 random(options.seed);
  // With every write on disk before it is answered, what the writers did survives a kill. A short
  // log of them is soon read again.
  RedisServer redis(
      {.binary = options.server,
       .append_only = true,
       .arguments = {"--appendfsync", "always", "--auto-aof-rewrite-min-size", "4mb"}});
  Watchers watchers;
  for (int i = 0; i < kWatchers; ++i) {
    registry::SyncOptions sync = Watcher::options(redis, "gateway-" + std::to_string(i));
    sync.answer_deadline = milliseconds(800);
    sync.reconcile_interval = seconds(2);
    sync.lease_free_keys = kRecords / 10;
    watchers.push_back(std::make_unique<Watcher>(sync));
  }

  Keeper keeper(redis, watchers, options.with_id);
  keeper.name_anew();
  Counts counts;
  bool equal = true;
  const auto end = steady_clock::now() + options.length;
  while (equal && steady_clock::now() < end) {
    equal = round_ends_equal(redis, keeper, watchers, options.calm, random, counts);
  }

  report(counts, watchers);
  std::uint64_t repairs = 0;
  for (const auto& watcher : watchers) {
    const std::uint64_t by_this = watcher->sync.status().repairs;
    if (by_this != 0) std::printf("%s", watcher->log().c_str());
    repairs += by_this;
  }
  std::printf("%llu differences in %llu comparisons, %llu repairs\n",
              static_cast<unsigned long long>(counts.differences),
              static_cast<unsigned long long>(counts.comparisons),
              static_cast<unsigned long long>(repairs));
  return equal && repairs == 0 ? 0 : 1;
}
