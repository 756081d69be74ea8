// SPDX-License-Identifier: Apache-2.0
// The test as the broker: this binary defines the functions that the plugin finds in Mosquitto's
// process, on contexts that a test makes up. One source, two binaries: with FAKE_BROKER_2_1 it also
// has mosquitto_client(), by which the plugin tells 2.1 from 2.0.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "plugin/mosquitto_api.h"

// A connection or an offline session, with what the broker knows of it.
struct mosquitto {
  std::optional<std::string> id = "dev1";
  std::optional<std::string> address = "127.0.0.1";
  std::optional<std::string> username;
  std::string certificate;  // PEM; empty: none
  // Hands out a reference to what was parsed in the handshake, as Mosquitto does. Comes before
  // `certificate`, which is parsed each time.
  std::function<void*()> parsed;
  bool websocket = false;
  bool refuses_username = false;
};

namespace leafgate::test {

struct Kick {
  std::string client_id;
  bool with_will = false;
};

struct Published {
  std::string topic;
  std::string payload;
  int qos = 0;
  bool retain = false;
};

struct FakeBroker {
  std::map<std::string, mosquitto*> by_id;  // whom a client id leads to
  std::vector<std::pair<int, std::string>> log;
  std::vector<Kick> kicks;
  std::vector<Published> published;
  bool refuses_messages = false;
  // What ending a connection sets off in the broker: events, will, subscription checks.
  std::function<void(mosquitto&, bool with_will)> on_kick;
  struct Hook {
    MOSQ_FUNC_generic_callback callback;
    void* userdata;
  };
  std::map<int, Hook> hooks;

  bool logged(const std::string& text) const;
  // Calls the hook of `event`, as the broker would; the hook must be registered.
  int call(int event, void* data) const;
};

// The one that the C functions work on.
FakeBroker& fake_broker();

}  // namespace leafgate::test
