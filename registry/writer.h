// SPDX-License-Identifier: Apache-2.0
// Changes of state in Redis. Every one runs registry/transition.lua, the single definition of what
// may become what; the shell scripts run the same file. Blocking; one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "policy/vocabulary.h"
#include "registry/client.h"
#include "registry/outbox.h"
#include "registry/schema.h"

namespace leafgate::registry {

// The words are those of transition.lua.
enum class Op : std::uint8_t {
  kImport,  // creates the record in the state given by field `state`; never alters an existing one
  kActivate,    // pending, inactive, retiring -> active
  kDeactivate,  // pending, active, retiring, malformed -> inactive (RFC 5280 certificateHold)
  kRetire,      // active, retiring -> retiring with field `retire_at`, which is in the future;
                // active, inactive, retiring -> retired without
  kRevoke,      // anything -> revoked; field `reason`, default `unspecified`, final
  kDelete,      // removes a record that is not revoked, or is revoked and expired
  kBlock,       // device or issuer; field `before` optional; never loosens a block that is there
  kUnblock,
  kRestore,  // certificate, block or meta, as a backup has it: all fields exactly, only where there
             // is nothing; meta's id only where there is none, and `seq` is never lowered
};
std::string_view to_string(Op op);

struct Change {
  Op op = Op::kImport;
  std::string key;  // from Schema::cert(), block_device(), block_issuer()
  std::optional<std::uint64_t> expected_version;  // refuse (kConflict) when the record has another
  std::optional<std::uint64_t> ends_at_ms;        // kRestore: when the key's time to live ends
  std::string by;                                 // who, as declared by the caller; required
  std::string note;                               // why; replaces the note of the change before
  // As the op takes them (kRestore: any); the facts of a certificate (device, serial, issuer,
  // not_before, not_after, spki) with every op but kDelete: they are added where the record has
  // none and never changed.
  Fields fields;
};

struct Outcome {
  enum class Kind : std::uint8_t {
    kApplied,
    kUnchanged,  // it was so already; nothing written
    kRefused,    // the state machine says no; `message` says why and what would work
    kConflict,   // expected_version did not match
    kNotFound,
  } kind = Kind::kRefused;
  std::string from;       // state before; empty when there was no record
  std::string to;         // state after; empty when there is none
  std::uint64_t seq = 0;  // place in the log; 0 when nothing was written
  std::string message;
};

class Writer {
 public:
  static constexpr std::size_t kPipelined = 1000;

  // `dry_run`: the script answers what it would do and writes nothing. `client` outlives this.
  Writer(Client& client, Schema schema, bool dry_run = false);

  Result<Outcome> apply(const Change& change);
  // Pipelined, at most kPipelined at a time, so that brokers and other clients stay responsive.
  // Outcomes stand in the order of `changes`. An error names the first change that Redis itself
  // failed to run; those before it are done, those after it may be. All may be applied again.
  Result<std::vector<Outcome>> apply_all(std::span<const Change> changes);

  // Writes meta (a random id, the format, the device-id rule) unless it is there. kRefused when
  // meta exists with another device-id rule and `change_rule` is false. Returns the data set's id.
  Result<std::string> init(std::string_view device_id_rule, bool change_rule, std::string_view by);

  // Accepts the data set as it is: gives it an id if it has none, and tells the brokers that hold
  // absences back because they remember the id `replaces` to go on with it (empty: none). They also
  // forget what they refused on their own. `to` of the outcome is the data set's id. kRefused when
  // `replaces` is that id itself.
  Result<Outcome> confirm(std::string_view replaces, std::string_view by, std::string_view note);

 private:
  using Call = std::vector<std::string>;  // what follows EVALSHA and the script's name

  Call call(const Change& change) const;
  Call call(std::string_view op, const Change& change) const;
  Result<void> load();
  Result<std::vector<Reply>> send(const std::vector<Call>& calls, std::size_t first);
  Result<std::vector<Outcome>> run(const std::vector<Call>& calls);

  Client& client_;
  Schema schema_;
  bool dry_run_;
  std::string sha_;  // of the script, as Redis named it; empty: not loaded yet
};

}  // namespace leafgate::registry
