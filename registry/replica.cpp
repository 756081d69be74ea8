// SPDX-License-Identifier: Apache-2.0
#include "registry/replica.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <mutex>
#include <random>
#include <unordered_map>
#include <utility>
#include <vector>

namespace leafgate::registry {
namespace {

using policy::CertRecord;
using policy::CertState;
using policy::Fingerprint;
using policy::Time;

constexpr int kShardBits = 10;
static_assert(Replica::kShards == 1U << kShardBits);
constexpr std::size_t kCapacityMin = 16;

// Everything but the fingerprint of one certificate, in 8 bytes:
//   0-47 deadline, ms since 1970 (all ones: none)   48-50 state   51 deadline is gone_at
//   52-59 generation   60 in use
// An empty slot is all zeros. Bits 0-51 are Replica::Packed's.
namespace packed {

constexpr std::uint64_t kNoDeadline = (1ULL << 48U) - 1;
constexpr std::uint64_t kGone = 1ULL << 51U;
constexpr std::uint64_t kGeneration = 0xffULL << 52U;
constexpr std::uint64_t kUsed = 1ULL << 60U;
constexpr std::uint64_t kKept = (1ULL << 52U) - 1;  // what outlives the process

std::uint64_t deadline(Time time) {
  const std::int64_t ms = std::max<std::int64_t>(time.time_since_epoch().count(), 0);
  return std::min(static_cast<std::uint64_t>(ms), kNoDeadline);
}

Time deadline(std::uint64_t bits) {
  const std::uint64_t ms = bits & kNoDeadline;
  if (ms == kNoDeadline) return policy::kNever;
  return Time(std::chrono::milliseconds(static_cast<std::int64_t>(ms)));
}

CertState state(std::uint64_t bits) {
  return static_cast<CertState>((bits >> 48U) & 7U);
}

std::uint64_t stamp(Generation generation) {
  return std::uint64_t{generation} << 52U;
}

std::uint64_t pack(const CertRecord& record, Generation generation) {
  const std::uint64_t gone = deadline(record.gone_at);
  const std::uint64_t retire =
      record.state == CertState::kRetiring ? deadline(record.retire_at) : kNoDeadline;
  const std::uint64_t when = gone < retire ? gone | kGone : retire;
  return kUsed | when | (static_cast<std::uint64_t>(record.state) << 48U) | stamp(generation);
}

CertRecord unpack(std::uint64_t bits) {
  CertRecord record;
  record.state = state(bits);
  ((bits & kGone) != 0 ? record.gone_at : record.retire_at) = deadline(bits);
  return record;
}

// Could pack() have made the kept bits?
bool is_sound(std::uint64_t kept) {
  return state(kept) <= CertState::kMalformed && (pack(unpack(kept), kUnstamped) & ~kUsed) == kept;
}

}  // namespace packed

struct Slot {
  Fingerprint fingerprint;
  std::uint64_t bits;
};
static_assert(sizeof(Slot) == 40);

// SipHash-1-3 of exactly 32 bytes (Aumasson and Bernstein): collisions cannot be made without the
// key.
class Hasher {
 public:
  Hasher() {
    std::random_device random;
    for (std::uint64_t& word : key_)
      word = (std::uint64_t{random()} << 32U) | random();
  }

  std::uint64_t operator()(const Fingerprint& fingerprint) const noexcept {
    State s{key_[0] ^ 0x736f6d6570736575ULL, key_[1] ^ 0x646f72616e646f6dULL,
            key_[0] ^ 0x6c7967656e657261ULL, key_[1] ^ 0x7465646279746573ULL};
    for (std::size_t at = 0; at < fingerprint.bytes.size(); at += 8) {
      std::uint64_t word = 0;
      std::memcpy(&word, fingerprint.bytes.data() + at, sizeof word);
      absorb(s, word);
    }
    absorb(s, std::uint64_t{fingerprint.bytes.size()} << 56U);
    s.c ^= 0xffU;
    for (int i = 0; i < 3; ++i)
      round(s);
    return s.a ^ s.b ^ s.c ^ s.d;
  }

 private:
  struct State {
    std::uint64_t a, b, c, d;
  };

  static void round(State& s) noexcept {
    s.a += s.b;
    s.b = std::rotl(s.b, 13) ^ s.a;
    s.a = std::rotl(s.a, 32);
    s.c += s.d;
    s.d = std::rotl(s.d, 16) ^ s.c;
    s.a += s.d;
    s.d = std::rotl(s.d, 21) ^ s.a;
    s.c += s.b;
    s.b = std::rotl(s.b, 17) ^ s.c;
    s.c = std::rotl(s.c, 32);
  }

  static void absorb(State& s, std::uint64_t word) noexcept {
    s.d ^= word;
    round(s);
    s.a ^= word;
  }

  std::array<std::uint64_t, 2> key_{};
};

// Linear probing over a table of any size. An erased slot is filled by moving later ones back,
// never marked: a fleet that renews its certificates for years must not slow down.
class Table {
 public:
  // `hash` without the bits that chose the shard.
  Slot* find(const Fingerprint& fingerprint, std::uint32_t hash) const {
    if (used_ == 0) return nullptr;
    for (std::size_t i = home(hash);; i = next(i)) {
      Slot& slot = slots_[i];
      if (slot.bits == 0) return nullptr;
      if (slot.fingerprint == fingerprint) return &slot;
    }
  }

  // REQUIRES: find() says it is not there. `rehash` gives the hash of any fingerprint.
  template <typename Rehash>
  void insert(const Slot& slot, std::uint32_t hash, const Rehash& rehash) {
    if ((used_ + 1) * 5 > capacity_ * 4) grow(rehash);
    place(slot, hash);
    ++used_;
  }

  template <typename Rehash>
  void erase(Slot* slot, const Rehash& rehash) {
    auto hole = static_cast<std::size_t>(slot - slots_.get());
    for (std::size_t i = next(hole); slots_[i].bits != 0; i = next(i)) {
      const std::size_t wanted = home(rehash(slots_[i].fingerprint));
      if (distance(wanted, i) < distance(hole, i)) continue;
      slots_[hole] = slots_[i];
      hole = i;
    }
    slots_[hole] = Slot{};
    --used_;
  }

  template <typename Visit>
  void for_each(const Visit& visit) const {
    for (std::size_t i = 0; i < capacity_; ++i) {
      if (slots_[i].bits != 0) visit(slots_[i]);
    }
  }

  std::size_t bytes() const { return capacity_ * sizeof(Slot); }
  std::size_t used() const { return used_; }

  template <typename Rehash>
  void reserve(std::size_t slots, const Rehash& rehash) {
    const std::size_t capacity = slots + slots / 4 + 1;  // the load that insert() permits
    if (capacity > capacity_) move_to(capacity, rehash);
  }

 private:
  std::size_t home(std::uint32_t hash) const { return (std::uint64_t{hash} * capacity_) >> 32U; }
  std::size_t next(std::size_t i) const { return i + 1 == capacity_ ? 0 : i + 1; }
  std::size_t distance(std::size_t from, std::size_t to) const {
    return to >= from ? to - from : to + capacity_ - from;
  }

  void place(const Slot& slot, std::uint32_t hash) {
    std::size_t i = home(hash);
    while (slots_[i].bits != 0)
      i = next(i);
    slots_[i] = slot;
  }

  template <typename Rehash>
  void grow(const Rehash& rehash) {
    move_to(std::max(kCapacityMin, capacity_ + capacity_ / 8), rehash);
  }

  template <typename Rehash>
  void move_to(std::size_t capacity, const Rehash& rehash) {
    Table bigger;
    bigger.capacity_ = capacity;
    bigger.slots_ = std::make_unique<Slot[]>(bigger.capacity_);
    for_each([&](const Slot& slot) { bigger.place(slot, rehash(slot.fingerprint)); });
    bigger.used_ = used_;
    *this = std::move(bigger);
  }

  std::unique_ptr<Slot[]> slots_;
  std::size_t capacity_ = 0;
  std::size_t used_ = 0;
};

// Lets a std::string_view be looked up without making a std::string.
struct TextHash {
  using is_transparent = void;
  std::size_t operator()(std::string_view text) const noexcept {
    return std::hash<std::string_view>()(text);
  }
};

struct HeldBlock {
  policy::Block block;
  Generation generation = kUnstamped;
};

using BlockMap = std::unordered_map<std::string, HeldBlock, TextHash, std::equal_to<>>;

std::optional<policy::Block> find_block(const BlockMap& map, std::string_view id) {
  const auto at = map.find(id);
  if (at == map.end()) return std::nullopt;
  return at->second.block;
}

bool put_block(BlockMap& map, std::string_view id, const HeldBlock& held) {
  const auto at = map.find(id);
  if (at == map.end()) {
    map.emplace(id, held);
    return true;
  }
  const bool differs = at->second.block != held.block;
  at->second = held;
  return differs;
}

bool erase_block(BlockMap& map, std::string_view id) {
  const auto at = map.find(id);
  if (at == map.end()) return false;
  map.erase(at);
  return true;
}

std::vector<std::string> sweep_blocks(BlockMap& map, Generation current) {
  std::vector<std::string> gone;
  for (auto at = map.begin(); at != map.end();) {
    if (at->second.generation == current) {
      ++at;
      continue;
    }
    gone.push_back(at->first);
    at = map.erase(at);
  }
  return gone;
}

}  // namespace

struct Replica::Shards {
  struct alignas(64) Shard {  // a line of its own: neighbours' locks do not slow each other
    mutable std::mutex mutex;
    Table table;                            // guarded by mutex
    std::array<std::uint32_t, 7> counts{};  // of table, by state; guarded by mutex
  };

  struct Place {
    Shard& shard;
    std::uint32_t hash;
  };

  Hasher hasher;
  std::array<Shard, Replica::kShards> all;
  std::array<std::atomic<std::uint64_t>, 7> totals{};

  Place place(const Fingerprint& fingerprint) {
    const std::uint64_t hash = hasher(fingerprint);
    return {all[hash >> (64U - kShardBits)], within_shard(hash)};
  }

  static std::uint32_t within_shard(std::uint64_t hash) {
    return static_cast<std::uint32_t>((hash << kShardBits) >> 32U);
  }

  auto rehash() const {
    return [this](const Fingerprint& fingerprint) { return within_shard(hasher(fingerprint)); };
  }

  // REQUIRES for all below: the shard's mutex is held.
  void count_in(Shard& shard, std::uint64_t bits) {
    const auto state = static_cast<std::size_t>(packed::state(bits));
    ++shard.counts[state];
    totals[state].fetch_add(1, std::memory_order_relaxed);
  }

  void count_out(Shard& shard, std::uint64_t bits) {
    const auto state = static_cast<std::size_t>(packed::state(bits));
    --shard.counts[state];
    totals[state].fetch_sub(1, std::memory_order_relaxed);
  }

  void insert(const Place& at, const Slot& slot) {
    at.shard.table.insert(slot, at.hash, rehash());
    count_in(at.shard, slot.bits);
  }

  void erase(Shard& shard, Slot* slot) {
    count_out(shard, slot->bits);
    shard.table.erase(slot, rehash());
  }

  std::vector<Slot> sweep(Shard& shard, Generation current);
};

// Takes out what is not stamped, under the shard's lock, and returns it.
std::vector<Slot> Replica::Shards::sweep(Shard& shard, Generation current) {
  std::vector<Slot> gone;
  const std::lock_guard lock(shard.mutex);
  shard.table.for_each([&](const Slot& slot) {
    if ((slot.bits & packed::kGeneration) != packed::stamp(current)) gone.push_back(slot);
  });
  for (const Slot& slot : gone) {
    erase(shard, shard.table.find(slot.fingerprint, within_shard(hasher(slot.fingerprint))));
  }
  return gone;
}

struct Replica::Blocks {
  mutable std::mutex mutex;
  BlockMap devices;  // guarded by mutex
  BlockMap issuers;  // guarded by mutex
};

Replica::Replica() : shards_(std::make_unique<Shards>()), blocks_(std::make_unique<Blocks>()) {}
Replica::~Replica() = default;

std::optional<CertRecord> Replica::find(const Fingerprint& fingerprint) const {
  const Shards::Place at = shards_->place(fingerprint);
  const std::lock_guard lock(at.shard.mutex);
  const Slot* slot = at.shard.table.find(fingerprint, at.hash);
  if (slot == nullptr) return std::nullopt;
  return packed::unpack(slot->bits);
}

bool Replica::put(const Fingerprint& fingerprint, const CertRecord& record, Generation generation) {
  return store(fingerprint, record, generation, Ttl::kRead).changed;
}

Replica::Stored Replica::put_without_ttl(const Fingerprint& fingerprint, const CertRecord& record,
                                         Generation generation) {
  return store(fingerprint, record, generation, Ttl::kKeepHeld);
}

Replica::Stored Replica::store(const Fingerprint& fingerprint, const CertRecord& record,
                               Generation generation, Ttl ttl) {
  const Shards::Place at = shards_->place(fingerprint);
  const std::lock_guard lock(at.shard.mutex);
  Slot* slot = at.shard.table.find(fingerprint, at.hash);
  if (slot == nullptr) {
    shards_->insert(at, {fingerprint, packed::pack(record, generation)});
    return {.changed = true};
  }

  CertRecord merged = record;
  if (ttl == Ttl::kKeepHeld) merged.gone_at = packed::unpack(slot->bits).gone_at;
  const std::uint64_t bits = packed::pack(merged, generation);
  const bool differs = ((bits ^ slot->bits) & ~packed::kGeneration) != 0;
  if (differs) {
    shards_->count_out(at.shard, slot->bits);
    shards_->count_in(at.shard, bits);
  }
  slot->bits = bits;
  return {differs, ttl == Ttl::kKeepHeld && merged.gone_at != policy::kNever};
}

bool Replica::erase(const Fingerprint& fingerprint) {
  const Shards::Place at = shards_->place(fingerprint);
  const std::lock_guard lock(at.shard.mutex);
  Slot* slot = at.shard.table.find(fingerprint, at.hash);
  if (slot == nullptr) return false;
  shards_->erase(at.shard, slot);
  return true;
}

std::optional<policy::Block> Replica::device_block(std::string_view device) const {
  const std::lock_guard lock(blocks_->mutex);
  return find_block(blocks_->devices, device);
}

std::optional<policy::Block> Replica::issuer_block(std::string_view issuer) const {
  const std::lock_guard lock(blocks_->mutex);
  return find_block(blocks_->issuers, issuer);
}

bool Replica::put_device_block(std::string_view device, const policy::Block& block,
                               Generation generation) {
  const std::lock_guard lock(blocks_->mutex);
  return put_block(blocks_->devices, device, {block, generation});
}

bool Replica::put_issuer_block(std::string_view issuer, const policy::Block& block,
                               Generation generation) {
  const std::lock_guard lock(blocks_->mutex);
  return put_block(blocks_->issuers, issuer, {block, generation});
}

bool Replica::erase_device_block(std::string_view device) {
  const std::lock_guard lock(blocks_->mutex);
  return erase_block(blocks_->devices, device);
}

bool Replica::erase_issuer_block(std::string_view issuer) {
  const std::lock_guard lock(blocks_->mutex);
  return erase_block(blocks_->issuers, issuer);
}

std::size_t Replica::sweep(Generation current, const Swept& swept) {
  std::size_t total = 0;
  for (Shards::Shard& shard : shards_->all) {
    const std::vector<Slot> gone = shards_->sweep(shard, current);
    for (const Slot& slot : gone)
      swept.certificate(slot.fingerprint, packed::unpack(slot.bits));
    total += gone.size();
  }

  std::vector<std::string> devices;
  std::vector<std::string> issuers;
  {
    const std::lock_guard lock(blocks_->mutex);
    devices = sweep_blocks(blocks_->devices, current);
    issuers = sweep_blocks(blocks_->issuers, current);
  }
  for (const std::string& id : devices)
    swept.device_block(id);
  for (const std::string& id : issuers)
    swept.issuer_block(id);
  return total + devices.size() + issuers.size();
}

std::size_t Replica::unstamped(Generation current) const {
  std::size_t total = 0;
  for (const Shards::Shard& shard : shards_->all) {
    const std::lock_guard lock(shard.mutex);
    shard.table.for_each([&](const Slot& slot) {
      total += (slot.bits & packed::kGeneration) != packed::stamp(current) ? 1 : 0;
    });
  }
  const std::lock_guard lock(blocks_->mutex);
  for (const BlockMap* map : {&blocks_->devices, &blocks_->issuers}) {
    for (const auto& [id, held] : *map)
      total += held.generation != current ? 1 : 0;
  }
  return total;
}

void Replica::stamp_blocks(Generation current,
                           const std::function<bool(std::string_view, const std::string&)>& keep) {
  const std::lock_guard lock(blocks_->mutex);
  const auto stamp = [&](std::string_view kind, BlockMap& map) {
    for (auto& [id, held] : map) {
      if (held.generation != current && keep(kind, id)) held.generation = current;
    }
  };
  stamp("device", blocks_->devices);
  stamp("issuer", blocks_->issuers);
}

void Replica::unstamp() {
  for (Shards::Shard& shard : shards_->all) {
    const std::lock_guard lock(shard.mutex);
    shard.table.for_each([](Slot& slot) { slot.bits &= ~packed::kGeneration; });
  }
  const std::lock_guard lock(blocks_->mutex);
  for (BlockMap* map : {&blocks_->devices, &blocks_->issuers}) {
    for (auto& [id, held] : *map)
      held.generation = kUnstamped;
  }
}

void Replica::copy_shard(std::size_t shard, std::vector<Packed>& copy) const {
  const Shards::Shard& from = shards_->all[shard];
  copy.clear();
  std::unique_lock lock(from.mutex);
  // Memory is asked for outside the lock; meanwhile the shard may have grown again.
  while (copy.capacity() < from.table.used()) {
    const std::size_t wanted = from.table.used() + from.table.used() / 8;
    lock.unlock();
    copy.reserve(wanted);
    lock.lock();
  }
  from.table.for_each([&copy](const Slot& slot) {
    copy.push_back({slot.fingerprint, slot.bits & packed::kKept});
  });
}

bool Replica::put_packed(const Packed& packed) {
  if (!packed::is_sound(packed.bits)) return false;
  put(packed.fingerprint, packed::unpack(packed.bits), kUnstamped);
  return true;
}

void Replica::reserve(std::size_t certificates) {
  // Shards differ by chance, by the square root of their size; what a few lack they grow.
  const std::size_t average = certificates / kShards;
  const auto spare = static_cast<std::size_t>(3 * std::sqrt(static_cast<double>(average)));
  for (Shards::Shard& shard : shards_->all) {
    const std::lock_guard lock(shard.mutex);
    shard.table.reserve(average + spare, shards_->rehash());
  }
}

void Replica::clear() {
  for (Shards::Shard& shard : shards_->all) {
    Table old;  // freed outside the lock
    const std::lock_guard lock(shard.mutex);
    std::swap(old, shard.table);
    for (std::size_t i = 0; i < shard.counts.size(); ++i) {
      shards_->totals[i].fetch_sub(std::exchange(shard.counts[i], 0), std::memory_order_relaxed);
    }
  }
  const std::lock_guard lock(blocks_->mutex);
  blocks_->devices.clear();
  blocks_->issuers.clear();
}

std::array<std::uint64_t, 7> Replica::counts() const {
  std::array<std::uint64_t, 7> counts{};
  for (std::size_t i = 0; i < counts.size(); ++i) {
    counts[i] = shards_->totals[i].load(std::memory_order_relaxed);
  }
  return counts;
}

std::size_t Replica::size() const {
  std::size_t total = 0;
  for (const std::uint64_t count : counts())
    total += count;
  return total;
}

std::size_t Replica::bytes() const {
  std::size_t total = sizeof(Shards);
  for (const Shards::Shard& shard : shards_->all) {
    const std::lock_guard lock(shard.mutex);
    total += shard.table.bytes();
  }
  return total;
}

void Replica::for_each(
    const std::function<void(const Fingerprint&, const CertRecord&)>& visit) const {
  for (const Shards::Shard& shard : shards_->all) {
    const std::lock_guard lock(shard.mutex);
    shard.table.for_each(
        [&visit](const Slot& slot) { visit(slot.fingerprint, packed::unpack(slot.bits)); });
  }
}

void Replica::for_each_block(const std::function<void(std::string_view, const std::string&,
                                                      const policy::Block&)>& visit) const {
  const std::lock_guard lock(blocks_->mutex);
  for (const auto& [id, held] : blocks_->devices)
    visit("device", id, held.block);
  for (const auto& [id, held] : blocks_->issuers)
    visit("issuer", id, held.block);
}

}  // namespace leafgate::registry
