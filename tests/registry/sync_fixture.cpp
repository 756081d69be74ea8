// SPDX-License-Identifier: Apache-2.0
#include "tests/registry/sync_fixture.h"

#include <utility>

#include "registry/schema.h"

namespace leafgate::test {
namespace {

using namespace registry;

std::string text_of(const std::optional<policy::CertRecord>& record) {
  if (!record) return "none";
  std::string text(policy::to_string(record->state));
  const auto add = [&text](const char* name, policy::Time time) {
    if (time == policy::kNever) return;
    text += std::string(" ") + name + "=" + std::to_string(time.time_since_epoch().count());
  };
  add("retire_at", record->retire_at);
  add("gone_at", record->gone_at);
  return text;
}

std::string text_of(const std::optional<policy::Block>& block) {
  if (!block) return "none";
  if (!block->before) return "all";
  return "before " + std::to_string(block->before->time_since_epoch().count());
}

// What a slot keeps of a record: the earlier of its two ends.
policy::CertRecord as_kept(policy::CertRecord record) {
  if (record.state != policy::CertState::kRetiring) record.retire_at = policy::kNever;
  if (record.gone_at < record.retire_at) {
    record.retire_at = policy::kNever;
  } else {
    record.gone_at = policy::kNever;
  }
  return record;
}

// An oracle: reads Redis the slow way, without any code of the sync.
class Oracle {
 public:
  explicit Oracle(const RedisServer& redis) : client_(redis.client()) {}

  std::map<std::string, std::string> read() {
    std::map<std::string, std::string> found;
    std::string cursor = "0";
    do {
      const Reply page = call({"SCAN", cursor, "MATCH", schema_.prefix() + "*", "COUNT", "1000"});
      cursor = *page.text_at(0);
      read_page(page[1], found);
    } while (cursor != "0");
    return found;
  }

 private:
  Reply call(const Command& command) { return client_.call(command).value(); }

  void read_page(const Reply& keys, std::map<std::string, std::string>& found) {
    std::vector<std::string> names;
    std::vector<Command> commands;
    for (std::size_t i = 0; i < keys.size(); ++i) {
      names.emplace_back(*keys.text_at(i));
      commands.push_back({"HMGET", names.back(), "state", "retire_at", "revoked_at", "before"});
      commands.push_back({"PEXPIRETIME", names.back()});
    }
    if (commands.empty()) return;
    const std::vector<Reply> replies = client_.pipeline(commands).value();
    for (std::size_t i = 0; i < names.size(); ++i) {
      read_key(names[i], replies[2 * i], *replies[2 * i + 1].integer(), found);
    }
  }

  void read_key(const std::string& key, const Reply& fields, std::int64_t ttl,
                std::map<std::string, std::string>& found) {
    if (ttl == -2) return;
    const KeyName::Kind kind = parse_key(schema_, key).kind;
    if (kind == KeyName::Kind::kDeviceBlock || kind == KeyName::Kind::kIssuerBlock) {
      policy::Block block;
      if (!fields.is_error()) block = parse_block(fields.text_at(3));
      found[key] = text_of(std::optional(block));
    }
    if (kind != KeyName::Kind::kCert) return;
    policy::CertRecord record;
    if (!fields.is_error()) {
      if (!fields.text_at(0) && !fields.text_at(1) && !fields.text_at(2)) return;
      record = parse_record(fields.text_at(0), fields.text_at(1), fields.text_at(2));
    }
    if (ttl >= 0) record.gone_at = policy::Time(milliseconds(ttl));
    found[key] = text_of(std::optional(as_kept(record)));
  }

  Client client_;
  Schema schema_;
};

std::map<std::string, std::string> contents(const Replica& replica) {
  const Schema schema;
  std::map<std::string, std::string> found;
  replica.for_each([&](const policy::Fingerprint& fingerprint, const policy::CertRecord& record) {
    found[schema.cert(fingerprint)] = text_of(std::optional(record));
  });
  replica.for_each_block([&](std::string_view kind, const std::string& id,
                             const policy::Block& block) {
    const std::string key = kind == "device" ? schema.block_device(id) : schema.block_issuer(id);
    found[key] = text_of(std::optional(block));
  });
  return found;
}

std::string look_up(const std::map<std::string, std::string>& map, const std::string& key) {
  const auto at = map.find(key);
  return at == map.end() ? "none" : at->second;
}

}  // namespace

policy::Fingerprint fingerprint(std::uint64_t n) {
  policy::Fingerprint made;
  std::uint64_t state = n;
  for (std::size_t i = 0; i < made.bytes.size(); ++i) {
    if (i % 8 == 0) {  // SplitMix64
      state += 0x9e3779b97f4a7c15ULL;
      n = (state ^ (state >> 30U)) * 0xbf58476d1ce4e5b9ULL;
      n = (n ^ (n >> 27U)) * 0x94d049bb133111ebULL;
      n ^= n >> 31U;
    }
    made.bytes[i] = static_cast<std::uint8_t>(n >> (8 * (i % 8)));
  }
  return made;
}

void fill(const RedisServer& redis, std::uint64_t records) {
  const Schema schema;
  std::vector<Command> commands;
  for (std::uint64_t i = 0; i < records; ++i)
    commands.push_back({"HSET", schema.cert(fingerprint(i)), "state", "active"});
  if (!redis.client().pipeline(commands)) throw std::runtime_error("cannot fill the registry");
}

Watcher::Watcher(const RedisServer& redis, std::string broker)
    : Watcher(options(redis, std::move(broker))) {}

Watcher::Watcher(SyncOptions options, const std::function<void(Replica&)>& before)
    : sync(std::move(options), replica, changes, outbox, log_queue, [this] { ++wakes; }) {
  if (before) before(replica);
  const Result<void> started = sync.start();
  if (!started) throw std::runtime_error(started.error().message);
}

SyncOptions Watcher::options(const RedisServer& redis, std::string broker) {
  SyncOptions options;
  options.endpoint = redis.endpoint();
  options.broker = std::move(broker);
  options.version = "test";
  options.device_id_rule = "cn";
  options.pulse_interval = milliseconds(50);
  return options;
}

bool Watcher::live(milliseconds limit) const {
  return eventually([this] { return sync.status().state == SyncState::kLive; }, limit);
}

bool Watcher::sees(const policy::Fingerprint& fingerprint, std::string_view state,
                   milliseconds limit) const {
  return eventually(
      [&] {
        const auto record = replica.find(fingerprint);
        return (record ? policy::to_string(record->state) : "none") == state;
      },
      limit);
}

bool Watcher::settled(milliseconds limit) const {
  const auto asked = std::chrono::steady_clock::now();
  return eventually(
      [&] {
        const auto age = sync.age();
        return age && std::chrono::steady_clock::now() - *age > asked;
      },
      limit);
}

std::string Watcher::log() {
  log_queue.drain([this](log::Level, const std::string& line) { log_text += line + "\n"; });
  return log_text;
}

std::string differences(const RedisServer& redis, const Replica& replica) {
  const std::map<std::string, std::string> truth = Oracle(redis).read();
  const std::map<std::string, std::string> ours = contents(replica);
  std::map<std::string, std::string> keys = truth;
  keys.insert(ours.begin(), ours.end());

  std::string text;
  int lines = 0;
  for (const auto& [key, unused] : keys) {
    const std::string in_redis = look_up(truth, key);
    const std::string in_replica = look_up(ours, key);
    if (in_redis == in_replica || lines++ >= 10) continue;
    text += key + ": redis " + in_redis + ", replica " + in_replica + "\n";
  }
  return text;
}

}  // namespace leafgate::test
