// SPDX-License-Identifier: Apache-2.0
// The registry in this broker's memory: every certificate's record and every block, as last read.
//
// Sharded open-addressing tables keyed by all 32 bytes of the fingerprint with a per-process random
// seed (nobody can craft colliding certificates). One mutex a shard: all functions may be called
// from any thread, and a change is visible to the next find(). The longest any lock is held is one
// shard's growth. 40 bytes a slot; memory is the table and nothing else: strings stay in Redis.
//
// A slot has room for one deadline and keeps the earlier of retire_at and gone_at: once it has
// passed the record refuses, and the later one can only refuse again. find() gives the other as
// kNever.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/vocabulary.h"

namespace leafgate::registry {

// Marks what one full reconcile has seen. Only equality is used; see unstamp() before reusing a
// value.
using Generation = std::uint8_t;
inline constexpr Generation kUnstamped = 0;  // of no reconcile

class Replica {
 public:
  Replica();
  ~Replica();
  Replica(const Replica&) = delete;
  Replica& operator=(const Replica&) = delete;

  // What is known of a certificate. Records past gone_at are returned as they are: decide() judges.
  std::optional<policy::CertRecord> find(const policy::Fingerprint& fingerprint) const;
  std::optional<policy::Block> device_block(std::string_view device) const;
  std::optional<policy::Block> issuer_block(std::string_view issuer) const;

  // Stores what was read and stamps it with `generation`. True when it differs from what was held.
  bool put(const policy::Fingerprint& fingerprint, const policy::CertRecord& record,
           Generation generation);
  struct Stored {
    bool changed = false;  // as of put()
    bool kept_end = false;
  };
  // As put(), for a record read without its key's TTL: a gone_at that is held stays.
  Stored put_without_ttl(const policy::Fingerprint& fingerprint, const policy::CertRecord& record,
                         Generation generation);
  bool put_device_block(std::string_view device, const policy::Block& block, Generation generation);
  bool put_issuer_block(std::string_view issuer, const policy::Block& block, Generation generation);

  // True when something was there.
  bool erase(const policy::Fingerprint& fingerprint);
  bool erase_device_block(std::string_view device);
  bool erase_issuer_block(std::string_view issuer);

  // What a sweep took away.
  struct Swept {
    std::function<void(const policy::Fingerprint&, const policy::CertRecord&)> certificate;
    std::function<void(const std::string&)> device_block;
    std::function<void(const std::string&)> issuer_block;
  };

  // Removes everything not stamped with `current`, telling `swept` of each, outside the locks.
  // Returns how many entries went.
  std::size_t sweep(Generation current, const Swept& swept);

  // How many entries a sweep would remove.
  std::size_t unstamped(Generation current) const;
  // Stamps those blocks for which `keep` says so; it is asked about those not stamped with
  // `current`, and may not call this object.
  void stamp_blocks(Generation current,
                    const std::function<bool(std::string_view kind, const std::string& id)>& keep);

  // Takes the stamps off everything, so that generations may be counted from the start again.
  void unstamp();

  // A certificate as a file holds it. `bits`: 0-47 deadline, ms since 1970 (all ones: none); 48-50
  // state, the value of CertState; 51 the deadline is gone_at, otherwise retire_at; the rest zero.
  struct Packed {
    policy::Fingerprint fingerprint;
    std::uint64_t bits = 0;
  };
  static constexpr std::size_t kShards = 1024;

  // Replaces `copy` with the records of one shard: no more is done under its lock than to copy.
  // REQUIRES: shard < kShards.
  void copy_shard(std::size_t shard, std::vector<Packed>& copy) const;
  // Puts one back, unstamped. False, and nothing stored, for bits that copy_shard() never gives.
  bool put_packed(const Packed& packed);
  // Makes room for that many certificates at once, instead of growing on the way.
  void reserve(std::size_t certificates);

  // Removes everything, without a visit per entry.
  void clear();

  // Entries per CertState, indexed by its value. Counted as it changes: cheap to call.
  std::array<std::uint64_t, 7> counts() const;
  std::size_t size() const;   // certificates
  std::size_t bytes() const;  // memory held by the tables of certificates

  // Calls `visit` for every certificate, shard by shard, holding one shard's lock at a time:
  // `visit` may not call this object.
  void for_each(const std::function<void(const policy::Fingerprint&, const policy::CertRecord&)>&
                    visit) const;
  // The same for blocks; `kind` is `device` or `issuer`.
  void for_each_block(const std::function<void(std::string_view kind, const std::string& id,
                                               const policy::Block&)>& visit) const;

 private:
  enum class Ttl : std::uint8_t { kRead, kKeepHeld };
  Stored store(const policy::Fingerprint& fingerprint, const policy::CertRecord& record,
               Generation generation, Ttl ttl);

  struct Shards;
  struct Blocks;
  std::unique_ptr<Shards> shards_;
  std::unique_ptr<Blocks> blocks_;
};

}  // namespace leafgate::registry
