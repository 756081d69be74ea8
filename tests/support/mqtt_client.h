// SPDX-License-Identifier: Apache-2.0
// A small MQTT 3.1.1 and 5 client over TLS that does exactly what a test says and nothing else: no
// reconnect, no keepalive thread, control over session tickets, and the moment of end of file.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "tests/support/pki.h"

namespace leafgate::test {

struct ConnectOptions {
  int port = 0;
  std::string ca_file;   // empty: plain TCP
  CertFiles credential;  // empty paths: no client certificate
  std::string client_id = "dev1";
  std::optional<std::string> username;
  std::optional<std::string> password;
  int version = 5;  // 4 (MQTT 3.1.1) or 5
  bool clean_start = true;
  std::uint32_t session_expiry_s = 0;  // version 5
  std::uint16_t keepalive_s = 60;
  std::optional<std::string> auth_method;  // version 5
  std::optional<std::string> will_topic;
  std::string will_payload;
  bool websocket = false;   // RFC 6455 on path /mqtt, subprotocol mqtt
  std::string tls_session;  // DER of an earlier session (MqttClient::tls_session()) to resume
  int tls_version = 0;      // 0: best; 12 or 13 pins it
};

struct Message {
  std::string topic;
  std::string payload;
  int qos = 0;
  bool retain = false;
};

enum class Connected { kAccepted, kRefused, kClosed, kTlsFailed, kTimeout };

class MqttClient {
 public:
  MqttClient();
  ~MqttClient();
  MqttClient(MqttClient&&) noexcept;
  MqttClient& operator=(MqttClient&&) noexcept;

  // kRefused: a CONNACK with a reason other than 0; kClosed: end of file without CONNACK.
  Connected connect(const ConnectOptions& options, milliseconds limit = std::chrono::seconds(10));
  int connack_code() const;  // of the last CONNACK; -1 when there was none
  bool session_present() const;
  bool tls_resumed() const;
  std::string tls_session() const;  // DER; empty when the server sent no ticket yet

  // The reason code of SUBACK (0x80 and above: refused); nullopt when none came.
  std::optional<int> subscribe(const std::string& filter, int qos = 0);
  // QoS 0: returns once written. QoS 1: the PUBACK's reason code (0 in 3.1.1); nullopt when none
  // came.
  std::optional<int> publish(const std::string& topic, const std::string& payload, int qos = 0,
                             bool retain = false);
  // The next message; nullopt when none came in time or the connection ended.
  std::optional<Message> receive(milliseconds limit = std::chrono::seconds(5));

  // True once the peer has closed (end of file, reset or DISCONNECT followed by it).
  bool ended(milliseconds limit = std::chrono::seconds(10));
  // When ended() became true, as read by the waiting thread.
  std::chrono::steady_clock::time_point ended_at() const;
  // The reason code of the server's DISCONNECT; -1 when there was none.
  int disconnect_code() const;

  bool ping(milliseconds limit = std::chrono::seconds(5));  // PINGREQ answered
  void disconnect();                                        // DISCONNECT, then close
  void drop();                                              // close without a word: the will is due

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace leafgate::test
