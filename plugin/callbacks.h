// SPDX-License-Identifier: Apache-2.0
// The broker's events, each translated into one question to the plugin. Nothing thrown gets past
// here; whatever goes wrong inside is a no.
#pragma once

#include "base/result.h"
#include "plugin/plugin.h"

struct mosquitto_plugin_id_t;

namespace leafgate::plugin {

// Has the broker call us; `plugin` must outlive unregister_callbacks(). Events that only 2.1 knows
// are left out on 2.0. On failure none stays registered.
Result<void> register_callbacks(mosquitto_plugin_id_t* identifier, Plugin& plugin);
void unregister_callbacks(mosquitto_plugin_id_t* identifier);

}  // namespace leafgate::plugin
