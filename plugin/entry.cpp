// SPDX-License-Identifier: Apache-2.0
// The three functions the broker looks for. Nothing thrown leaves them.
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "plugin/broker.h"
#include "plugin/callbacks.h"
#include "plugin/mosquitto_api.h"
#include "plugin/plugin.h"

namespace leafgate::plugin {
namespace {

constexpr int kInterfaceVersion = 5;

// What init leaves for cleanup. One in a process: a second `plugin` line for the same file shares
// our statics, the wake-up signal and the broker's name in Redis.
struct Loaded {
  mosquitto_plugin_id_t* identifier = nullptr;
  std::unique_ptr<Plugin> plugin;
};
std::unique_ptr<Loaded> g_loaded;

Result<std::string> config_path(const mosquitto_opt* options, int count) {
  std::optional<std::string> path;
  for (int i = 0; i < count; ++i) {
    const std::string_view key = options[i].key;
    if (key != "config") {
      return Error{ErrorKind::kInvalid, "unknown option `plugin_opt_" + std::string(key) +
                                            "`: the only one is plugin_opt_config"};
    }
    if (path) return Error{ErrorKind::kInvalid, "plugin_opt_config is given twice"};
    path = options[i].value;
    // The broker keeps what follows the name, blanks at the end of the line included.
    path->erase(path->find_last_not_of(" \t\r") + 1);
  }
  if (!path) {
    return Error{ErrorKind::kInvalid,
                 "no configuration: add `plugin_opt_config /etc/leafgate/leafgate.yaml` below the "
                 "plugin line"};
  }
  return *path;
}

Result<void> load(mosquitto_plugin_id_t* identifier, const mosquitto_opt* options, int count) {
  if (g_loaded) {
    return Error{ErrorKind::kInvalid,
                 "loaded already: name the plugin once, with per_listener_settings false"};
  }
  const Result<std::string> path = config_path(options, count);
  if (!path) return path.error();
  Result<std::unique_ptr<Plugin>> plugin = Plugin::start(path.value());
  if (!plugin) return plugin.error();

  auto loaded = std::make_unique<Loaded>();
  loaded->identifier = identifier;
  loaded->plugin = std::move(plugin.value());
  const Result<void> registered = register_callbacks(identifier, *loaded->plugin);
  if (!registered) return registered.error();
  g_loaded = std::move(loaded);
  return {};
}

}  // namespace
}  // namespace leafgate::plugin

using leafgate::plugin::g_loaded;

extern "C" int mosquitto_plugin_version(int count, const int* versions) {
  for (int i = 0; i < count; ++i) {
    if (versions[i] == leafgate::plugin::kInterfaceVersion) return versions[i];
  }
  return -1;
}

extern "C" int mosquitto_plugin_init(mosquitto_plugin_id_t* identifier, void** userdata,
                                     mosquitto_opt* options, int option_count) {
  namespace broker = leafgate::plugin::broker;
  using leafgate::log::Level;
  try {
    const auto loaded = leafgate::plugin::load(identifier, options, option_count);
    if (!loaded) {
      broker::log(Level::kError, "cannot start: " + loaded.error().message);
      return MOSQ_ERR_INVAL;
    }
    // 2.1 cleans up after a failed init, too: this tells it from ours.
    *userdata = g_loaded.get();
    return MOSQ_ERR_SUCCESS;
  } catch (...) {
    broker::log(Level::kError, "cannot start: out of memory");
    return MOSQ_ERR_NOMEM;
  }
}

extern "C" int mosquitto_plugin_cleanup(void* userdata, mosquitto_opt*, int) {
  if (userdata == nullptr || userdata != g_loaded.get()) return MOSQ_ERR_SUCCESS;
  leafgate::plugin::unregister_callbacks(g_loaded->identifier);
  g_loaded.reset();
  return MOSQ_ERR_SUCCESS;
}
