// SPDX-License-Identifier: Apache-2.0
// RESP2, the Redis wire format, with hiredis as codec: encode commands, feed bytes, take replies.
// No sockets here. Reader and replies stay on one thread. registry/ is the only home of hiredis.
//
// A reply is one block of memory, not a tree of allocations: the reader uses the block again once
// nobody holds the reply any more. Whatever a server sends ends in a reply or an error, within the
// limits below.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct redisReader;

namespace leafgate::registry {

// Limits on what a server may send; beyond them the stream is broken off.
inline constexpr std::size_t kBulkBytesMax = 16U * 1024 * 1024;
inline constexpr std::size_t kBufferedBytesMax = 64U * 1024 * 1024;  // one reply, whole or not yet
inline constexpr std::size_t kReplyNodesMax = 2U * 1024 * 1024;      // values in one reply
inline constexpr int kReplyDepthMax = 6;                             // arrays within arrays

struct ReplyTree;

// A reply and everything below it. Views taken from it live as long as it does.
class Reply {
 public:
  bool is_null() const;
  bool is_error() const;
  bool is_array() const;
  bool is_integer() const;
  // The bytes of a bulk, a status or an error; nullopt for everything else.
  std::optional<std::string_view> text() const;
  std::optional<std::int64_t> integer() const;
  std::size_t size() const;               // elements of an array; 0 for everything else
  Reply operator[](std::size_t i) const;  // REQUIRES: i < size(). Shares ownership of the whole.
  // As (*this)[i].text(), and nullopt when there is no such element.
  std::optional<std::string_view> text_at(std::size_t i) const;

 private:
  friend class ReplyReader;
  Reply(std::shared_ptr<const ReplyTree> tree, std::size_t node)
      : tree_(std::move(tree)), node_(node) {}

  std::shared_ptr<const ReplyTree> tree_;
  std::size_t node_;
};

using Command = std::vector<std::string>;

// Appends `command` as a RESP array of bulk strings.
void encode(const Command& command, std::string& out);
// The same in pieces: the number of words, then each word.
void encode_head(std::size_t words, std::string& out);
void encode_word(std::string_view word, std::string& out);

// Bytes in, replies out. After an error the stream is unusable: drop the connection.
class ReplyReader {
 public:
  ReplyReader();
  ReplyReader(ReplyReader&&) noexcept;
  ReplyReader& operator=(ReplyReader&&) noexcept;
  ~ReplyReader();

  // Cheapest in pieces of about 16 KB with all replies taken in between: hiredis moves what is left
  // of its buffer after each kilobyte it has read.
  Result<void> feed(std::span<const char> bytes);
  // nullopt: the next reply is not complete yet.
  Result<std::optional<Reply>> next();

 private:
  void begin_reply();

  struct Deleter {
    void operator()(redisReader* reader) const noexcept;
  };
  std::shared_ptr<ReplyTree> tree_;               // under construction, or the last one given out
  bool begun_ = false;                            // tree_ holds part of a reply
  std::unique_ptr<redisReader, Deleter> reader_;  // refers to tree_
};

}  // namespace leafgate::registry
