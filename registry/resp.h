// SPDX-License-Identifier: Apache-2.0
// RESP2, the Redis wire format, with hiredis as codec: encode commands, feed bytes, take replies.
// No sockets here. One object, one thread at a time. registry/ is the only home of hiredis.
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

struct redisReply;
struct redisReader;

namespace leafgate::registry {

// Limits on what a server may send; beyond them the stream is broken off.
inline constexpr std::size_t kBulkBytesMax = 16U * 1024 * 1024;
inline constexpr std::size_t kBufferedBytesMax = 64U * 1024 * 1024;

// A reply and everything below it. Views taken from it live as long as it does.
class Reply {
 public:
  // Takes ownership.
  explicit Reply(redisReply* owned);

  bool is_null() const;
  bool is_error() const;
  bool is_array() const;
  bool is_integer() const;
  // The bytes of a bulk, a status or an error; nullopt for everything else.
  std::optional<std::string_view> text() const;
  std::optional<std::int64_t> integer() const;
  std::size_t size() const;               // elements of an array; 0 for everything else
  Reply operator[](std::size_t i) const;  // REQUIRES: i < size(). Shares ownership of the whole.

 private:
  Reply(std::shared_ptr<redisReply> owner, redisReply* node) : owner_(std::move(owner)), node_(node) {}

  std::shared_ptr<redisReply> owner_;
  redisReply* node_;
};

using Command = std::vector<std::string>;

// Appends `command` as a RESP array of bulk strings.
void encode(const Command& command, std::string& out);

// Bytes in, replies out. After an error the stream is unusable: drop the connection.
class ReplyReader {
 public:
  ReplyReader();

  Result<void> feed(std::span<const char> bytes);
  // nullopt: the next reply is not complete yet.
  Result<std::optional<Reply>> next();

 private:
  struct Deleter {
    void operator()(redisReader* reader) const noexcept;
  };
  std::unique_ptr<redisReader, Deleter> reader_;
  std::size_t buffered_ = 0;
};

}  // namespace leafgate::registry
