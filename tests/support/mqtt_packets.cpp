// SPDX-License-Identifier: Apache-2.0
#include "tests/support/mqtt_packets.h"

#include <stdexcept>

namespace leafgate::test::packet {
namespace {

// Property identifiers, MQTT 5 §2.2.2.2.
constexpr std::uint8_t kSessionExpiryInterval = 0x11;
constexpr std::uint8_t kAuthenticationMethod = 0x15;

// CONNECT flags, §3.1.2.3.
constexpr std::uint8_t kCleanStart = 0x02;
constexpr std::uint8_t kWill = 0x04;
constexpr std::uint8_t kPassword = 0x40;
constexpr std::uint8_t kUsername = 0x80;

std::string uint16(std::size_t value) {
  return {static_cast<char>(value >> 8 & 0xff), static_cast<char>(value & 0xff)};
}

std::string uint32(std::uint32_t value) {
  return uint16(value >> 16) + uint16(value & 0xffff);
}

std::string text(const std::string& value) {
  return uint16(value.size()) + value;
}

std::string variable(std::size_t value) {
  std::string out;
  do {
    const std::size_t digit = value % 128;
    value /= 128;
    out += static_cast<char>(value > 0 ? digit | 0x80 : digit);
  } while (value > 0);
  return out;
}

std::string whole(Type type, std::uint8_t flags, const std::string& body) {
  const auto first = static_cast<char>(static_cast<std::uint8_t>(type) << 4 | flags);
  return first + variable(body.size()) + body;
}

std::size_t byte_at(const std::string& bytes, std::size_t at) {
  return static_cast<std::uint8_t>(bytes.at(at));
}

std::uint16_t uint16_at(const std::string& bytes, std::size_t at) {
  return static_cast<std::uint16_t>(byte_at(bytes, at) << 8 | byte_at(bytes, at + 1));
}

// The variable byte integer at `*at`, which moves past it; nullopt: more is needed.
std::optional<std::size_t> variable_at(const std::string& bytes, std::size_t* at) {
  std::size_t value = 0;
  for (int shift = 0; shift <= 21; shift += 7) {
    if (*at >= bytes.size()) return std::nullopt;
    const std::size_t digit = byte_at(bytes, (*at)++);
    value |= (digit & 0x7f) << shift;
    if ((digit & 0x80) == 0) return value;
  }
  throw std::runtime_error("the broker sent a malformed length");
}

std::size_t skip_properties(const std::string& body, std::size_t at) {
  const std::size_t length = variable_at(body, &at).value_or(0);
  return at + length;
}

}  // namespace

std::string connect(const ConnectOptions& options) {
  std::uint8_t flags = options.clean_start ? kCleanStart : 0;
  if (options.will_topic) flags |= kWill;
  if (options.password) flags |= kPassword;
  if (options.username) flags |= kUsername;

  std::string body = text("MQTT");
  body += static_cast<char>(options.version);
  body += static_cast<char>(flags);
  body += uint16(options.keepalive_s);
  if (options.version == 5) {
    std::string properties;
    if (options.session_expiry_s > 0) {
      properties += static_cast<char>(kSessionExpiryInterval) + uint32(options.session_expiry_s);
    }
    if (options.auth_method) {
      properties += static_cast<char>(kAuthenticationMethod) + text(*options.auth_method);
    }
    body += variable(properties.size()) + properties;
  }
  body += text(options.client_id);
  if (options.will_topic) {
    if (options.version == 5) body += variable(0);
    body += text(*options.will_topic) + text(options.will_payload);
  }
  if (options.username) body += text(*options.username);
  if (options.password) body += text(*options.password);
  return whole(Type::kConnect, 0, body);
}

std::string publish(const Message& message, std::uint16_t id, int version) {
  const int flags = message.qos << 1 | (message.retain ? 1 : 0);
  std::string body = text(message.topic);
  if (message.qos > 0) body += uint16(id);
  if (version == 5) body += variable(0);
  return whole(Type::kPublish, static_cast<std::uint8_t>(flags), body + message.payload);
}

std::string puback(std::uint16_t id) {
  return whole(Type::kPuback, 0, uint16(id));
}

std::string subscribe(const std::string& filter, int qos, std::uint16_t id, int version) {
  std::string body = uint16(id);
  if (version == 5) body += variable(0);
  body += text(filter) + static_cast<char>(qos);
  return whole(Type::kSubscribe, 2, body);
}

std::string pingreq() {
  return whole(Type::kPingreq, 0, "");
}

std::string disconnect() {
  return whole(Type::kDisconnect, 0, "");
}

std::optional<Packet> cut(const std::string& bytes, std::size_t* offset) {
  std::size_t at = *offset;
  if (at >= bytes.size()) return std::nullopt;
  const std::size_t first = byte_at(bytes, at++);
  const auto length = variable_at(bytes, &at);
  if (!length || bytes.size() - at < *length) return std::nullopt;

  *offset = at + *length;
  return Packet{static_cast<Type>(first >> 4), static_cast<std::uint8_t>(first & 0x0f),
                bytes.substr(at, *length)};
}

Acknowledgement parse_puback(const Packet& packet) {
  const bool has_code = packet.body.size() > 2;
  return {uint16_at(packet.body, 0), has_code ? static_cast<int>(byte_at(packet.body, 2)) : 0};
}

Acknowledgement parse_suback(const Packet& packet, int version) {
  const std::size_t codes = version == 5 ? skip_properties(packet.body, 2) : 2;
  return {uint16_at(packet.body, 0), static_cast<int>(byte_at(packet.body, codes))};
}

Published parse_publish(const Packet& packet, int version) {
  Published out;
  out.message.qos = packet.flags >> 1 & 3;
  out.message.retain = (packet.flags & 1) != 0;
  const std::size_t topic_length = uint16_at(packet.body, 0);
  out.message.topic = packet.body.substr(2, topic_length);
  std::size_t at = 2 + topic_length;
  if (out.message.qos > 0) {
    out.id = uint16_at(packet.body, at);
    at += 2;
  }
  if (version == 5) at = skip_properties(packet.body, at);
  out.message.payload = packet.body.substr(at);
  return out;
}

}  // namespace leafgate::test::packet
