// SPDX-License-Identifier: Apache-2.0
// MQTT 3.1.1 and 5 control packets as bytes: what the test client sends, and how it cuts what
// comes. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "tests/support/mqtt_client.h"

namespace leafgate::test::packet {

enum class Type : std::uint8_t {
  kConnect = 1,
  kConnack = 2,
  kPublish = 3,
  kPuback = 4,
  kSubscribe = 8,
  kSuback = 9,
  kPingreq = 12,
  kPingresp = 13,
  kDisconnect = 14,
};

struct Packet {
  Type type = Type::kConnect;
  std::uint8_t flags = 0;
  std::string body;  // after the fixed header
};

std::string connect(const ConnectOptions& options);
std::string publish(const Message& message, std::uint16_t id, int version);
std::string puback(std::uint16_t id);
std::string subscribe(const std::string& filter, int qos, std::uint16_t id, int version);
std::string pingreq();
std::string disconnect();

// Takes the first whole packet out of `bytes` from `*offset` on; nullopt: more is needed.
std::optional<Packet> cut(const std::string& bytes, std::size_t* offset);

struct Acknowledgement {
  std::uint16_t id = 0;
  int code = 0;  // 0 when the packet carries none
};
Acknowledgement parse_puback(const Packet& packet);
Acknowledgement parse_suback(const Packet& packet, int version);

struct Published {
  Message message;
  std::uint16_t id = 0;  // 0 for QoS 0
};
Published parse_publish(const Packet& packet, int version);

}  // namespace leafgate::test::packet
