// SPDX-License-Identifier: Apache-2.0
#include "plugin/callbacks.h"

#include <optional>
#include <string>

#include "plugin/broker.h"
#include "plugin/mosquitto_api.h"

namespace leafgate::plugin {
namespace {

constexpr Verdict kNo{};

// Asks the gate; a failure of ours is a refusal. Exceptions must not reach the broker's C stack.
template <typename Ask>
int answer(Refusal refusal, void* userdata, Ask ask) noexcept {
  auto& plugin = *static_cast<Plugin*>(userdata);
  if (!plugin.on_broker_thread()) return code_of_silence();  // 2.1's HTTP API: touch nothing
  try {
    return code_of(ask(plugin.gate()), refusal);
  } catch (...) {
    return code_of(kNo, refusal);
  }
}

// A question about letting somebody in: nothing may stay behind of one that failed.
template <typename Ask>
int answer_connection(Refusal refusal, mosquitto* client, void* userdata, Ask ask) noexcept {
  return answer(refusal, userdata, [&](Gate& gate) {
    try {
      return ask(gate);
    } catch (...) {
      gate.abandon(client);
      throw;
    }
  });
}

// Something the broker tells us and does not ask.
template <typename Do>
void take_note(void* userdata, Do act) noexcept {
  auto& plugin = *static_cast<Plugin*>(userdata);
  if (!plugin.on_broker_thread()) return;
  try {
    act(plugin);
  } catch (...) {
    broker::log(log::Level::kError, "out of memory");
  }
}

int on_basic_auth(int, void* event_data, void* userdata) noexcept {
  mosquitto* client = static_cast<mosquitto_evt_basic_auth*>(event_data)->client;
  return answer_connection(Refusal::kConnect, client, userdata,
                           [&](Gate& gate) { return gate.connect(client); });
}

int on_extended_auth(int, void* event_data, void* userdata) noexcept {
  mosquitto* client = static_cast<mosquitto_evt_extended_auth*>(event_data)->client;
  return answer_connection(Refusal::kConnection, client, userdata,
                           [&](Gate& gate) { return gate.authenticate(client); });
}

int on_psk_key(int, void* event_data, void* userdata) noexcept {
  const auto& event = *static_cast<mosquitto_evt_psk_key*>(event_data);
  return answer(Refusal::kConnection, userdata, [&](Gate& gate) {
    return gate.pre_shared_key(event.client, event.identity == nullptr ? "" : event.identity);
  });
}

std::optional<policy::Access> access_of(int access) {
  switch (access) {
    case MOSQ_ACL_READ:
      return policy::Access::kReceive;
    case MOSQ_ACL_WRITE:
      return policy::Access::kPublish;
    case MOSQ_ACL_SUBSCRIBE:
      return policy::Access::kSubscribe;
    default:
      return std::nullopt;
  }
}

int on_acl_check(int, void* event_data, void* userdata) noexcept {
  const auto& event = *static_cast<mosquitto_evt_acl_check*>(event_data);
  return answer(Refusal::kTopic, userdata, [&](Gate& gate) -> Verdict {
    if (event.access == MOSQ_ACL_UNSUBSCRIBE) return Gate::unsubscribe();
    const std::optional<policy::Access> access = access_of(event.access);
    if (!access || event.topic == nullptr) return kNo;
    return gate.topic(event.client, {.access = *access, .topic = event.topic});
  });
}

int on_tick(int, void* event_data, void* userdata) noexcept {
  take_note(userdata, [](Plugin& plugin) { plugin.tick(); });
  // 2.1 skips TICKs until next_s and next_ms have passed, and after a backward step of the clock
  // until the old time is reached again. Ours must come each time round: a wake-up is worth nothing
  // otherwise.
  auto& event = *static_cast<mosquitto_evt_tick*>(event_data);
  event.now_s = 0;
  event.now_ns = 0;
  return MOSQ_ERR_SUCCESS;
}

int on_reload(int, void*, void* userdata) noexcept {
  take_note(userdata, [](Plugin& plugin) { plugin.reload(); });
  // 2.0: a success would keep the other plugins from hearing of it. 2.1: anything else ends the
  // broker.
  return broker::is_2_1() ? int{MOSQ_ERR_SUCCESS} : code_of_silence();
}

int on_disconnect(int, void* event_data, void* userdata) noexcept {
  const mosquitto* client = static_cast<mosquitto_evt_disconnect*>(event_data)->client;
  take_note(userdata, [&](Plugin& plugin) { plugin.gate().left(client); });
  return MOSQ_ERR_SUCCESS;
}

int on_client_offline(int, void* event_data, void* userdata) noexcept {
  const mosquitto* client = static_cast<ClientEvent*>(event_data)->client;
  take_note(userdata, [&](Plugin& plugin) { plugin.gate().left(client); });
  return MOSQ_ERR_SUCCESS;
}

int on_connect(int, void* event_data, void* userdata) noexcept {
  mosquitto* client = static_cast<ClientEvent*>(event_data)->client;
  take_note(userdata, [&](Plugin& plugin) { plugin.gate().connected(client); });
  return MOSQ_ERR_SUCCESS;
}

struct Hook {
  int event;
  MOSQ_FUNC_generic_callback callback;
  bool only_2_1 = false;
};

constexpr Hook kHooks[] = {
    {MOSQ_EVT_BASIC_AUTH, on_basic_auth},
    {MOSQ_EVT_EXT_AUTH_START, on_extended_auth},
    {MOSQ_EVT_EXT_AUTH_CONTINUE, on_extended_auth},
    {MOSQ_EVT_PSK_KEY, on_psk_key},
    {MOSQ_EVT_ACL_CHECK, on_acl_check},
    {MOSQ_EVT_TICK, on_tick},
    {MOSQ_EVT_RELOAD, on_reload},
    {MOSQ_EVT_DISCONNECT, on_disconnect},
    {kEventConnect, on_connect, true},
    {kEventClientOffline, on_client_offline, true},
};

}  // namespace

Result<void> register_callbacks(mosquitto_plugin_id_t* identifier, Plugin& plugin) {
  for (const Hook& hook : kHooks) {
    if (hook.only_2_1 && !broker::is_2_1()) continue;
    const int rc =
        mosquitto_callback_register(identifier, hook.event, hook.callback, nullptr, &plugin);
    if (rc == MOSQ_ERR_SUCCESS) continue;
    unregister_callbacks(identifier);
    return Error{ErrorKind::kInternal, "the broker does not register event " +
                                           std::to_string(hook.event) + ": error " +
                                           std::to_string(rc)};
  }
  return {};
}

void unregister_callbacks(mosquitto_plugin_id_t* identifier) {
  for (const Hook& hook : kHooks) {
    if (hook.only_2_1 && !broker::is_2_1()) continue;
    mosquitto_callback_unregister(identifier, hook.event, hook.callback, nullptr);
  }
}

}  // namespace leafgate::plugin
