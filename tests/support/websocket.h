// SPDX-License-Identifier: Apache-2.0
// The client side of RFC 6455 as a codec: as much of it as MQTT over websockets needs. It owns no
// connection. One thread at a time.
#pragma once

#include <optional>
#include <string>

namespace leafgate::test {

class WebSocket {
 public:
  // The HTTP request that asks for the upgrade, on path /mqtt with subprotocol mqtt.
  static std::string request();
  // Takes the answer's head out of `bytes`. True: upgraded; false: refused; nullopt: more is
  // needed.
  static std::optional<bool> upgraded(std::string& bytes);

  // One binary frame.
  static std::string frame(const std::string& payload);

  // Takes whole frames out of `bytes` and appends their payload to `payload`. Returns false once
  // the server sent a close frame. Pings need no answer here: no test is that long.
  static bool unframe(std::string& bytes, std::string& payload);
};

}  // namespace leafgate::test
