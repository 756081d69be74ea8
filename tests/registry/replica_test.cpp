// SPDX-License-Identifier: Apache-2.0
#include "registry/replica.h"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "tests/catch.h"
#include "tests/registry/sync_fixture.h"

using namespace leafgate;
using namespace leafgate::registry;
using leafgate::test::fingerprint;
using policy::CertRecord;
using policy::CertState;
using policy::Fingerprint;
using policy::Time;

namespace {

Time at(std::int64_t ms) {
  return Time(std::chrono::milliseconds(ms));
}

CertRecord record(CertState state, Time retire_at = policy::kNever, Time gone_at = policy::kNever) {
  return {state, retire_at, gone_at};
}

const Replica::Swept kNobody{[](const Fingerprint&, const CertRecord&) {},
                             [](const std::string&) {}, [](const std::string&) {}};

}  // namespace

TEST_CASE("what was put is found, and only that", "[replica]") {
  Replica replica;
  CHECK_FALSE(replica.find(fingerprint(1)).has_value());
  CHECK(replica.put(fingerprint(1), record(CertState::kActive), 1));
  CHECK(replica.find(fingerprint(1))->state == CertState::kActive);
  CHECK_FALSE(replica.find(fingerprint(2)).has_value());
}

TEST_CASE("fingerprints that differ in one bit are different certificates", "[replica]") {
  Replica replica;
  const Fingerprint base = fingerprint(7);
  replica.put(base, record(CertState::kActive), 1);
  for (std::size_t bit = 0; bit < 256; ++bit) {
    Fingerprint other = base;
    other.bytes[bit / 8] ^= static_cast<std::uint8_t>(1U << (bit % 8));
    CHECK_FALSE(replica.find(other).has_value());
  }
}

TEST_CASE("put tells whether anything a decision sees has changed", "[replica]") {
  Replica replica;
  const Fingerprint key = fingerprint(1);
  CHECK(replica.put(key, record(CertState::kActive), 1));
  CHECK_FALSE(replica.put(key, record(CertState::kActive), 1));
  CHECK_FALSE(replica.put(key, record(CertState::kActive), 2));  // only the stamp
  CHECK(replica.put(key, record(CertState::kInactive), 2));
  CHECK(replica.put(key, record(CertState::kInactive, policy::kNever, at(5000)), 2));
  CHECK_FALSE(replica.put(key, record(CertState::kInactive, policy::kNever, at(5000)), 2));
}

TEST_CASE("every state and every deadline comes back as it was put", "[replica]") {
  Replica replica;
  const auto state =
      GENERATE(CertState::kPending, CertState::kActive, CertState::kInactive, CertState::kRetiring,
               CertState::kRetired, CertState::kRevoked, CertState::kMalformed);
  // The epoch, a day of today, the last millisecond of year 9999.
  const auto gone = GENERATE(at(0), at(1'790'000'000'123), at(253'402'300'799'999), policy::kNever);
  replica.put(fingerprint(1), record(state, policy::kNever, gone), 255);
  CHECK(*replica.find(fingerprint(1)) == record(state, policy::kNever, gone));
}

TEST_CASE("a deadline beyond the calendar is none, one before it is the epoch", "[replica]") {
  Replica replica;
  replica.put(fingerprint(1), record(CertState::kActive, policy::kNever, at(INT64_MAX - 1)), 1);
  CHECK(replica.find(fingerprint(1))->gone_at == policy::kNever);
  replica.put(fingerprint(1), record(CertState::kActive, policy::kNever, at(-5)), 1);
  CHECK(replica.find(fingerprint(1))->gone_at == at(0));
}

TEST_CASE("of two deadlines the earlier is kept, as what it is", "[replica]") {
  Replica replica;
  const Fingerprint key = fingerprint(1);
  replica.put(key, record(CertState::kRetiring, at(1000), at(2000)), 1);
  CHECK(*replica.find(key) == record(CertState::kRetiring, at(1000), policy::kNever));
  replica.put(key, record(CertState::kRetiring, at(3000), at(2000)), 1);
  CHECK(*replica.find(key) == record(CertState::kRetiring, policy::kNever, at(2000)));
  // retire_at means nothing in any other state.
  replica.put(key, record(CertState::kActive, at(1000), at(2000)), 1);
  CHECK(*replica.find(key) == record(CertState::kActive, policy::kNever, at(2000)));
}

TEST_CASE("a read without TTL keeps the end that is held", "[replica]") {
  Replica replica;
  const Fingerprint key = fingerprint(1);
  replica.put(key, record(CertState::kActive, policy::kNever, at(2000)), 1);
  CHECK(replica.put_without_ttl(key, record(CertState::kInactive), 2).changed);
  CHECK(*replica.find(key) == record(CertState::kInactive, policy::kNever, at(2000)));
  const Replica::Stored again = replica.put_without_ttl(key, record(CertState::kInactive), 3);
  CHECK_FALSE(again.changed);
  CHECK(again.kept_end);
  CHECK(replica.put(key, record(CertState::kInactive), 3));
  CHECK(replica.find(key)->gone_at == policy::kNever);
  CHECK_FALSE(replica.put_without_ttl(key, record(CertState::kActive), 3).kept_end);
}

TEST_CASE("the table agrees with a plain map over any sequence of changes", "[replica]") {
  Replica replica;
  std::map<Fingerprint, CertRecord> reference;
  std::mt19937 random(7);
  for (int step = 0; step < 200'000; ++step) {
    const Fingerprint key = fingerprint(random() % 5000);
    if (random() % 3 == 0) {
      CHECK(replica.erase(key) == (reference.erase(key) == 1));
      continue;
    }
    const CertRecord made =
        record(static_cast<CertState>(random() % 7), policy::kNever,
               random() % 2 == 0 ? policy::kNever : at(static_cast<std::int64_t>(random())));
    const auto held = reference.find(key);
    const bool differs = held == reference.end() || held->second != made;
    CHECK(replica.put(key, made, 1) == differs);
    reference[key] = made;
  }

  CHECK(replica.size() == reference.size());
  std::array<std::uint64_t, 7> counts{};
  for (const auto& [key, held] : reference) {
    CHECK(replica.find(key) == held);
    ++counts[static_cast<std::size_t>(held.state)];
  }
  CHECK(replica.counts() == counts);
  std::size_t visited = 0;
  replica.for_each([&](const Fingerprint& key, const CertRecord& held) {
    ++visited;
    CHECK(reference.at(key) == held);
  });
  CHECK(visited == reference.size());
}

TEST_CASE("a sweep takes what the generation has not seen and tells of each", "[replica]") {
  Replica replica;
  for (std::uint64_t i = 0; i < 3000; ++i) {
    replica.put(fingerprint(i), record(CertState::kActive), i % 3 == 0 ? 2 : 1);
  }
  replica.put_device_block("seen", {}, 2);
  replica.put_device_block("unseen", {}, 1);
  replica.put_issuer_block("ab12", {}, 1);

  std::set<Fingerprint> certificates;
  std::set<std::string> devices;
  std::set<std::string> issuers;
  const std::size_t swept =
      replica.sweep(2, {[&](const Fingerprint& key, const CertRecord& held) {
                          certificates.insert(key);
                          CHECK(held.state == CertState::kActive);
                          CHECK_FALSE(replica.find(key).has_value());  // and may be asked
                        },
                        [&](const std::string& id) { devices.insert(id); },
                        [&](const std::string& id) { issuers.insert(id); }});

  CHECK(swept == 2002);
  CHECK(certificates.size() == 2000);
  CHECK(devices == std::set<std::string>{"unseen"});
  CHECK(issuers == std::set<std::string>{"ab12"});
  CHECK(replica.size() == 1000);
  CHECK(replica.find(fingerprint(3)).has_value());
  CHECK_FALSE(replica.find(fingerprint(4)).has_value());
  CHECK(replica.device_block("seen").has_value());
}

TEST_CASE("after unstamp no generation has seen anything", "[replica]") {
  Replica replica;
  replica.put(fingerprint(1), record(CertState::kActive), 7);
  replica.put_device_block("dev1", {}, 7);
  replica.unstamp();
  CHECK(replica.find(fingerprint(1))->state == CertState::kActive);
  CHECK(replica.sweep(7, kNobody) == 2);
}

TEST_CASE("clear leaves nothing, and counts say so", "[replica]") {
  Replica replica;
  for (std::uint64_t i = 0; i < 1000; ++i)
    replica.put(fingerprint(i), record(CertState::kActive), 1);
  replica.put_device_block("dev1", {}, 1);
  replica.put_issuer_block("ab12", {}, 1);
  const std::size_t empty = Replica().bytes();
  CHECK(replica.bytes() >= empty + 1000 * 40);

  replica.clear();

  CHECK(replica.size() == 0);
  CHECK(replica.counts() == std::array<std::uint64_t, 7>{});
  CHECK(replica.bytes() == empty);
  CHECK_FALSE(replica.find(fingerprint(1)).has_value());
  CHECK_FALSE(replica.device_block("dev1").has_value());
  CHECK_FALSE(replica.issuer_block("ab12").has_value());
}

TEST_CASE("blocks of devices and of issuers are kept apart", "[replica]") {
  Replica replica;
  const policy::Block before{at(1000)};
  CHECK(replica.put_device_block("ab12", before, 1));
  CHECK_FALSE(replica.put_device_block("ab12", before, 2));
  CHECK(replica.put_device_block("ab12", {}, 2));
  CHECK_FALSE(replica.issuer_block("ab12").has_value());
  CHECK(replica.put_issuer_block("ab12", before, 1));
  CHECK(replica.issuer_block("ab12") == before);
  CHECK(replica.erase_device_block("ab12"));
  CHECK_FALSE(replica.erase_device_block("ab12"));
  CHECK(replica.issuer_block("ab12") == before);

  std::vector<std::string> visited;
  replica.for_each_block([&](std::string_view kind, const std::string& id, const policy::Block&) {
    visited.push_back(std::string(kind) + " " + id);
  });
  CHECK(visited == std::vector<std::string>{"issuer ab12"});
}

TEST_CASE("fingerprints that somebody made alike are spread like any others", "[replica]") {
  Replica replica;
  constexpr std::uint32_t kRecords = 50'000;
  policy::Fingerprint alike{};  // 24 bytes in common, as far as one gets who searches for them
  for (std::uint32_t i = 0; i < kRecords; ++i) {
    std::memcpy(alike.bytes.data() + 28, &i, sizeof i);
    replica.put(alike, record(CertState::kActive), 1);
  }
  std::vector<Replica::Packed> shard;
  std::size_t largest = 0;
  for (std::size_t i = 0; i < Replica::kShards; ++i) {
    replica.copy_shard(i, shard);
    largest = std::max(largest, shard.size());
  }
  CHECK(largest < 3 * kRecords / Replica::kShards);
}

TEST_CASE("a record takes at most 57 bytes once there are many", "[replica]") {
  Replica replica;
  constexpr std::uint64_t kRecords = 200'000;
  for (std::uint64_t i = 0; i < kRecords; ++i) {
    replica.put(fingerprint(i), record(CertState::kActive), 1);
  }
  // 40 bytes a slot, at least 0.8 / 1.125 of them used: 56.25. The shards themselves are one
  // megabyte.
  CHECK(replica.bytes() - Replica().bytes() <= kRecords * 57);
}

TEST_CASE("readers see whole records while a writer works", "[replica]") {
  Replica replica;
  constexpr std::uint64_t kKeys = 64;
  const CertRecord one = record(CertState::kActive, policy::kNever, at(1111));
  const CertRecord two = record(CertState::kRevoked, policy::kNever, at(2222));
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> torn{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      for (std::uint64_t n = 0; !done; ++n) {
        const auto seen = replica.find(fingerprint(n % kKeys));
        if (seen && *seen != one && *seen != two) ++torn;
        static_cast<void>(replica.device_block("dev1"));
      }
    });
  }
  for (int round = 0; round < 500; ++round) {
    for (std::uint64_t i = 0; i < kKeys; ++i)
      replica.put(fingerprint(i), round % 2 ? one : two, 1);
    replica.put_device_block("dev1", {}, 1);
    if (round % 10 == 0) replica.sweep(2, kNobody);
  }
  done = true;
  for (std::thread& reader : readers)
    reader.join();
  CHECK(torn == 0);
}
