// SPDX-License-Identifier: Apache-2.0
// What to read from Redis, and what its answers mean for the replica. The sockets are the Link's,
// the clock is the caller's. One thread.
//
// Two sources of reads share one pipeline, whose answers are applied in order, so that a later
// answer is never older than an earlier one:
// - named: keys that S named, read one by one, each with its TTL. They go first.
// - scan: everything, page by page, stamped with a generation of its own; at the end whatever does
//   not carry the stamp is swept. A key that is there all the time is seen by SCAN; one that
//   changed meanwhile was named.
//
// What is there is taken at once. That something is not there, and in a reconcile in doubt that
// something admits, is taken only as far as the Fence believes it. meta is asked for by the owner
// of this object, except at the end of a scan; its answer goes to the Fence first.
//
// Reading every TTL would make a scan half as long again. When Redis says that few keys have one, a
// scan leaves them out and proves at its end, in one MULTI, that all keys with a TTL are known not
// to be certificates. A TTL that is set later names its key. Where the proof fails, or the replica
// has a TTL that was taken away while nobody could tell, the scan is done again with TTLs, and so
// are all later ones.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"
#include "base/result.h"
#include "policy/vocabulary.h"
#include "registry/absences.h"
#include "registry/block_ends.h"
#include "registry/changes.h"
#include "registry/fence.h"
#include "registry/lease.h"
#include "registry/named_keys.h"
#include "registry/pipeline.h"
#include "registry/replica.h"
#include "registry/schema.h"
#include "registry/suspects.h"

namespace leafgate::registry {

class Mirror {
 public:
  // `fence`, `lease`, `replica`, `changes`, `log` outlive this object. `database`: as in Endpoint.
  Mirror(Schema schema, int database, Fence& fence, Lease& lease, Replica& replica,
         Changes& changes, log::Queue& log);

  // What an audit finds different, and was not named, is a repair.
  using Purpose = Lease::Purpose;

  // S named this key.
  void name(std::string_view key);
  // So many keys are named that reading everything is cheaper: a kRebuild is due, unless one is
  // about to read.
  bool overwhelmed() const;
  // Begins a scan, dropping one under way. A scan of many keys waits for its turn (lease.h), while
  // keys that are named go on being read; when a kRebuild begins to read it drops those.
  Result<void> begin_scan(Purpose purpose, Pipeline& pipeline, SteadyTime now);
  // The link is gone, with all that was asked. The replica stays.
  void disconnect() noexcept;

  // Asks for what the limits allow now.
  Result<void> ask(Pipeline& pipeline, SteadyTime now);

  // When ask() has something to do although nothing has arrived; nullopt: not before.
  std::optional<SteadyTime> due() const;

  static bool owns(Request::Kind kind) noexcept;
  // REQUIRES: owns(answer.request.kind)
  Result<void> apply(const Pipeline::Answer& answer, Pipeline& pipeline, SteadyTime now);

  // Absences wait until meta has been read behind them.
  bool waits_for_meta() const noexcept { return !absences_.empty(); }
  // The Fence has taken an answer of meta, and nothing has to be read again.
  void meta_read();

  // A scan that ran to its end.
  struct Finished {
    Purpose purpose;
    SteadyTime began;  // everything written before has been applied
  };
  // Once for each.
  std::optional<Finished> take_finished() { return std::exchange(finished_, std::nullopt); }
  bool scanning() const noexcept { return scan_.has_value(); }

  // Keys named since the start, and how many of them, in their order, have been read and applied.
  std::uint64_t named() const noexcept { return named_.added(); }
  // An absence is applied when it is believed, or held back for good.
  std::uint64_t applied() const noexcept;

  void pulse_sent() { suspects_.pulse_sent(); }
  void pulse_returned();

  std::uint64_t repairs() const noexcept { return repairs_; }
  std::uint64_t malformed() const noexcept { return malformed_; }
  // What the last scan would have swept, had it not been held back.
  std::uint64_t absent_held() const noexcept { return absent_held_; }

 private:
  struct Scan {
    Scan() {}  // NOLINT(modernize-use-equals-default): clang 14 finds no default constructor then
    Purpose purpose = Purpose::kRebuild;
    SteadyTime began;
    bool needs_turn = false;
    bool reading = false;  // the first page has been asked for
    bool with_ttl = false;
    bool names_only = false;       // second try of the proof: certificates have been read
    bool kept_end = false;         // a certificate was read without the TTL that it had before
    std::size_t unread = 0;        // keys asked for and not answered yet
    std::set<std::string> others;  // keys that may have a TTL and are not certificates
    std::int64_t page = 0;         // keys that a page is asked for
    std::string cursor = "0";
    bool page_waiting = true;  // asked for and not answered yet, or not its time yet
    SteadyTime page_asked;
    std::optional<SteadyTime> page_due;  // an audit rests between pages
  };

  Result<void> ask_named(Pipeline& pipeline);
  Result<void> ask_turn(Pipeline& pipeline, SteadyTime now);
  void begin_generation();
  Result<void> begin_reading(Pipeline& pipeline, SteadyTime now);
  bool rebuild_waits() const;
  bool too_many_named() const;
  Result<void> ask_page(Pipeline& pipeline, SteadyTime now);
  Result<void> ask_end(Pipeline& pipeline, SteadyTime now);
  Result<void> scan_with_ttl(Pipeline& pipeline, SteadyTime now);
  void rest_between_pages(SteadyTime now);
  Result<void> ask_key(std::string_view key, const KeyName& name, std::uint64_t place,
                       Pipeline& pipeline);
  static Result<void> ask_cert(std::string_view key, Request request, Pipeline& pipeline);
  static Result<void> ask_block(std::string_view key, Request request, Pipeline& pipeline);

  Result<void> take_scan_answer(const Request& request, const Reply& reply, Pipeline& pipeline,
                                SteadyTime now);
  Result<void> take_begin(const Reply& reply, Pipeline& pipeline, SteadyTime now);
  Result<void> take_page(const Reply& reply, Pipeline& pipeline, SteadyTime now);
  Result<void> take_page_key(std::string_view key, Pipeline& pipeline);
  Result<void> take_end(const Reply& reply, Pipeline& pipeline, SteadyTime now);
  bool is_proof(const Reply& reply) const;
  void sweep(const Pipeline& pipeline);

  Result<void> take_cert(const Request& request, const Reply& reply, Pipeline& pipeline);
  Result<void> take_cert_ttl(const Request& request, const Reply& reply, Pipeline& pipeline);
  Result<void> take_block(const Request& request, const Reply& reply);
  Result<void> take_block_ttl(const Request& request, const Reply& reply, Pipeline& pipeline);
  void finish_read(const Request& request);

  Generation stamp(const Request& request) const noexcept;
  bool by_audit(const Request& request) const noexcept;
  void store_cert(const Request& request, const std::optional<policy::CertRecord>& record,
                  bool ttl_known, Pipeline& pipeline);
  void store_block(const Request& request, const std::optional<policy::Block>& block,
                   policy::Time gone_at, Pipeline& pipeline);
  bool put_cert(const Request& request, const policy::CertRecord& record, bool ttl_known);
  bool put_block(const KeyName& name, const policy::Block& block, Generation generation);
  std::optional<policy::Block> find_block(const KeyName& name) const;
  bool is_news(const Request& request) const noexcept;
  // True: what is held stays.
  bool keep_refusal(const Request& request, const policy::CertRecord& record);
  bool keep_block(const Request& request, const KeyName& name,
                  const std::optional<policy::Block>& block);
  void keep_blocks();
  void absent(const Request& request);
  bool holds(const KeyName& name) const;
  void erase(const std::string& key);
  std::string tail(const std::string& key) const;  // without the prefix
  void name_ended_blocks();
  void suspect(std::string key, const Pipeline& pipeline);
  void unusable(std::string_view why, std::string_view key);

  // Constant after construction.
  const Schema schema_;
  const std::string keyspace_line_;  // how our database's line of INFO keyspace begins
  Fence& fence_;
  Lease& lease_;
  Replica& replica_;
  Changes& changes_;
  log::Queue& log_;

  NamedKeys named_;
  std::size_t asking_ = 0;  // named keys asked for and not answered yet
  std::uint64_t applied_ = 0;

  // What the first of two answers said, until the second comes.
  std::optional<policy::CertRecord> half_cert_;
  std::optional<policy::Block> half_block_;

  std::uint32_t epoch_ = 0;  // answers to questions of an earlier one are not stamped
  Generation generation_ = kUnstamped;
  std::optional<Scan> scan_;
  std::optional<Finished> finished_;
  bool ttl_in_use_ = false;  // the proof failed once

  Absences absences_;
  std::uint64_t absent_held_ = 0;
  BlockEnds block_ends_;

  Suspects suspects_;
  std::uint64_t repairs_ = 0;
  std::uint64_t malformed_ = 0;
  std::optional<SteadyTime> unusable_logged_;
};

}  // namespace leafgate::registry
