// SPDX-License-Identifier: Apache-2.0
// What was asked on D and not answered yet, and what Redis's refusals mean. One thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "policy/vocabulary.h"
#include "registry/connection.h"
#include "registry/resp.h"

namespace leafgate::registry {

// One reply to come, and what it is for.
struct Request {
  enum class Kind : std::uint8_t {
    kCert,         // HMGET of a certificate's fields
    kCertTtl,      // PEXPIRETIME of the same; always right behind its kCert
    kBlock,        // HMGET of a block's fields
    kBlockTtl,     // PEXPIRETIME of the same; always right behind its kBlock
    kScanBegin,    // INFO keyspace before a scan
    kLease,        // SET of a turn to scan
    kScan,         // one page
    kNothing,      // a reply that nobody needs: to MULTI, QUEUED, a turn kept
    kScanEnd,      // behind everything a scan has read
    kPulse,        // SET of the canary
    kMeta,         // HMGET of the data set's facts
    kRole,         // ROLE
    kReplication,  // INFO replication
    kProbe,        // a read that only shows whether reading is still allowed
    kEvent,        // XADD
    kStatusRead,   // HMGET of the broker's own hash
    kStatusWrite,  // HSET and EXPIRE of the same
  };

  Kind kind = Kind::kProbe;
  std::uint32_t epoch = 0;   // of the Mirror, at the time of sending
  bool ttl_follows = false;  // kCert: a kCertTtl comes next
  // Place among the keys S named; 0: read by a scan. kMeta: the number of the pulse it goes with.
  std::uint64_t named = 0;
  policy::Fingerprint fingerprint;  // kCert, kCertTtl
  std::string key;                  // of everything S named, and of blocks
};

// Requests in the order of their replies. Holds a reference to D: lives as long as its Link.
class Pipeline {
 public:
  explicit Pipeline(Connection& data) : data_(data) {}

  Result<void> send(Request request, const Command& command);
  // `bytes`: the command in RESP.
  Result<void> send_encoded(Request request, std::string_view bytes);

  struct Answer {
    Request request;
    Reply reply;
  };
  // kUnreachable when the connection is gone or says something nobody asked for.
  Result<std::optional<Answer>> receive(SteadyTime now);

  // True when something was asked and nothing at all has been answered for longer than `limit`.
  bool silent(SteadyTime now, std::chrono::milliseconds limit) const;
  // True when something of this kind was asked for and is not answered yet.
  bool asking(Request::Kind kind) const;
  // True when S named this key, it was asked for and is not answered yet.
  bool reading(std::string_view key) const;

 private:
  Connection& data_;
  std::deque<Request> waiting_;
  std::optional<SteadyTime>
      waiting_since_;  // nullopt: nothing waits, or the clock was not read yet
};

enum class Refusal : std::uint8_t {
  kWrongType,  // about the key that was asked for
  kWrite,      // Redis takes no writes for now; reads go on
  kLink,       // everything else: this link is of no use
};
// REQUIRES: reply.is_error()
Refusal classify(const Reply& reply);

// The failure of `doing`, in Redis's words and with what to do about it. For any reply that was not
// expected.
Error unexpected(std::string_view doing, const Reply& reply);

}  // namespace leafgate::registry
