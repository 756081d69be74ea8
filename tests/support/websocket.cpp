// SPDX-License-Identifier: Apache-2.0
#include "tests/support/websocket.h"

#include <cstddef>
#include <cstdint>

namespace leafgate::test {
namespace {

// RFC 6455 §5.2.
constexpr std::uint8_t kFinalBinary = 0x82;
constexpr std::uint8_t kOpcodeMask = 0x0f;
constexpr std::uint8_t kMasked = 0x80;
constexpr std::uint8_t kLength16 = 126;
constexpr std::uint8_t kLength64 = 127;
enum Opcode : std::uint8_t { kContinuation = 0, kBinary = 2, kClose = 8 };

std::uint64_t big_endian(const std::string& bytes, std::size_t from, std::size_t count) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < count; ++i) {
    value = value << 8 | static_cast<std::uint8_t>(bytes[from + i]);
  }
  return value;
}

void append_big_endian(std::string& out, std::uint64_t value, int count) {
  for (int shift = (count - 1) * 8; shift >= 0; shift -= 8) {
    out += static_cast<char>(value >> shift & 0xff);
  }
}

}  // namespace

std::string WebSocket::request() {
  // The key needs no secrecy, only 16 bytes in base64 (§4.1).
  return "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Key: bGVhZmdhdGUgdGVzdHMhIQ==\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Protocol: mqtt\r\n\r\n";
}

std::optional<bool> WebSocket::upgraded(std::string& bytes) {
  const auto end = bytes.find("\r\n\r\n");
  if (end == std::string::npos) return std::nullopt;
  const bool switched = bytes.find(" 101 ") < bytes.find("\r\n");
  bytes.erase(0, end + 4);
  return switched;
}

std::string WebSocket::frame(const std::string& payload) {
  std::string out;
  out += static_cast<char>(kFinalBinary);
  if (payload.size() < kLength16) {
    out += static_cast<char>(kMasked | payload.size());
  } else if (payload.size() <= 0xffff) {
    out += static_cast<char>(kMasked | kLength16);
    append_big_endian(out, payload.size(), 2);
  } else {
    out += static_cast<char>(kMasked | kLength64);
    append_big_endian(out, payload.size(), 8);
  }
  out.append(4, '\0');  // a masking key of zeros leaves the payload as it is (§5.3)
  return out + payload;
}

bool WebSocket::unframe(std::string& bytes, std::string& payload) {
  for (;;) {
    if (bytes.size() < 2) return true;
    const auto opcode =
        static_cast<std::uint8_t>(static_cast<std::uint8_t>(bytes[0]) & kOpcodeMask);
    std::uint64_t length = static_cast<std::uint8_t>(bytes[1]) & 0x7f;
    const std::size_t extra = length == kLength16 ? 2 : length == kLength64 ? 8 : 0;
    if (bytes.size() < 2 + extra) return true;
    if (extra > 0) length = big_endian(bytes, 2, extra);
    if (bytes.size() < 2 + extra + length) return true;

    if (opcode == kClose) return false;
    if (opcode == kBinary || opcode == kContinuation) payload.append(bytes, 2 + extra, length);
    bytes.erase(0, 2 + extra + length);
  }
}

}  // namespace leafgate::test
