// SPDX-License-Identifier: Apache-2.0
// The replica in a file, so that a broker which restarts while Redis is away still knows its fleet.
//
// Version 1, little endian, `text` being a u32 length and so many bytes:
//
//   8 bytes "leafsnap", u32 version, i64 watermark (ms since 1970), text prefix of the keys
//   entries, each a byte and
//     'C'  32 bytes fingerprint, u64 state and deadline (Replica::Packed)
//     'D'  i64 before (ms; the largest: none), text device     a blocked device
//     'I'  the same                                                  a blocked issuer
//     'M'  u64 seq, text data set                                    what is remembered, once
//     'R'  text key                                                  one of its regressions
//     'E'  u64 number of 'C' entries                                 the last
//   32 bytes SHA-256 of everything before
//
// The checksum finds damage, not malice: whoever can write the file can admit anybody until the
// next sync. That is why it must belong to the broker's user and nobody else may write it.
//
// Any thread; one at a time for one path.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/result.h"
#include "policy/vocabulary.h"
#include "registry/remembered.h"
#include "registry/replica.h"

namespace leafgate::registry {

struct SnapshotWritten {
  std::size_t certificates = 0;
  std::uint64_t bytes = 0;
};

// Replaces the file at `path`, or leaves it as it was: what is new is written beside it, as
// `<path>.new`, synced, and renamed. Copies one shard at a time, so that neither memory nor readers
// of the replica feel it. Everything written to Redis before `watermark` must be in the replica;
// `remembered` is asked after the records were copied, so that what it says is never older than
// they are. Fails with kUnreachable, naming the file; std::bad_alloc leaves the old file as well.
Result<SnapshotWritten> write_snapshot(const std::string& path, const Replica& replica,
                                       const std::string& prefix, policy::Time watermark,
                                       const std::function<Remembered()>& remembered);

struct SnapshotRead {
  policy::Time watermark;
  Remembered remembered;
  std::size_t certificates = 0;
  std::uint64_t bytes = 0;
};

// A watermark later than this is not a clock that was set back a little: the file is refused.
inline constexpr std::chrono::minutes kSnapshotAheadMax{5};

// Fills `replica`, which must be empty and stays so on failure: a file that is damaged, cut short,
// of another version or prefix, from the future, or not ours alone to write is refused whole.
// kNotFound when there is no file; otherwise kInvalid or kUnreachable. The message names the file.
Result<SnapshotRead> read_snapshot(const std::string& path, Replica& replica,
                                   const std::string& prefix, policy::Time now);

// The same of an open file, which `name` stands for in messages, whoever owns it.
Result<SnapshotRead> read_snapshot(int file, const std::string& name, Replica& replica,
                                   const std::string& prefix, policy::Time now);

}  // namespace leafgate::registry
