// SPDX-License-Identifier: Apache-2.0
// The broker's headers, 2.0 or 2.1, in the order they need.
#pragma once

#if __has_include(<mosquitto/broker.h>)
#include <mosquitto.h>
#include <mosquitto/broker.h>
#include <mosquitto/broker_plugin.h>
#else
#include <mosquitto.h>
#include <mosquitto_broker.h>  // before mosquitto_plugin.h, which in 2.0.11 uses its types
//
#include <mosquitto_plugin.h>
#endif

namespace leafgate::plugin {

// Events of 2.1 that the 2.0 headers do not name. A 2.0 broker refuses to register them.
inline constexpr int kEventConnect = 11;
inline constexpr int kEventClientOffline = 28;

// What 2.1 passes on in a CONNACK of MQTT 5 (§3.2.2.2), and 2.0 does not know.
inline constexpr int kClientIdentifierNotValid = 0x85;
inline constexpr int kServerUnavailable = 0x88;

// What the data of both events starts with.
struct ClientEvent {
  void* future;
  mosquitto* client;
};

}  // namespace leafgate::plugin
