// SPDX-License-Identifier: Apache-2.0
// Another plugin in the same broker, as careless as real ones can be: it accepts whom its options
// say, without looking at certificates.
//
//   plugin_opt_basic_auth accept        SUCCESS to every CONNECT
//   plugin_opt_auth_method NAME         SUCCESS to every MQTT 5 CONNECT with that method
//   plugin_opt_acl_check accept         SUCCESS to every topic action
//   plugin_opt_user NAME                SUCCESS to a CONNECT with that username
//
// Without an option it has no opinion (MOSQ_ERR_PLUGIN_DEFER).
#if __has_include(<mosquitto/broker.h>)
#include <mosquitto.h>
#else
#include <mosquitto.h>
#include <mosquitto_broker.h>  // 2.0.11's mosquitto_plugin.h needs it and does not include it
#include <mosquitto_plugin.h>
#endif

#include <string>

namespace {

struct Options {
  bool accept_all = false;
  bool accept_topics = false;
  std::string auth_method;
  std::string user;
};

Options options;
mosquitto_plugin_id_t* plugin_id = nullptr;

int answer(bool yes) {
  return yes ? MOSQ_ERR_SUCCESS : MOSQ_ERR_PLUGIN_DEFER;
}

int on_basic_auth(int, void* event_data, void*) {
  const auto& event = *static_cast<const mosquitto_evt_basic_auth*>(event_data);
  const bool known =
      !options.user.empty() && event.username != nullptr && options.user == event.username;
  return answer(options.accept_all || known);
}

int on_ext_auth(int, void* event_data, void*) {
  const auto& event = *static_cast<const mosquitto_evt_extended_auth*>(event_data);
  return answer(!options.auth_method.empty() && options.auth_method == event.auth_method);
}

int on_acl_check(int, void*, void*) {
  return MOSQ_ERR_SUCCESS;
}

}  // namespace

extern "C" {

int mosquitto_plugin_version(int, const int*) {
  return 5;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t* identifier, void**, mosquitto_opt* given,
                          int count) {
  plugin_id = identifier;
  for (int i = 0; i < count; ++i) {
    const std::string key = given[i].key;
    if (key == "basic_auth") options.accept_all = true;
    if (key == "acl_check") options.accept_topics = true;
    if (key == "auth_method") options.auth_method = given[i].value;
    if (key == "user") options.user = given[i].value;
  }
  mosquitto_callback_register(plugin_id, MOSQ_EVT_BASIC_AUTH, on_basic_auth, nullptr, nullptr);
  mosquitto_callback_register(plugin_id, MOSQ_EVT_EXT_AUTH_START, on_ext_auth, nullptr, nullptr);
  // Registered only when asked for: whoever registers it takes part in every topic decision.
  if (options.accept_topics) {
    mosquitto_callback_register(plugin_id, MOSQ_EVT_ACL_CHECK, on_acl_check, nullptr, nullptr);
  }
  return MOSQ_ERR_SUCCESS;
}

int mosquitto_plugin_cleanup(void*, mosquitto_opt*, int) {
  mosquitto_callback_unregister(plugin_id, MOSQ_EVT_BASIC_AUTH, on_basic_auth, nullptr);
  mosquitto_callback_unregister(plugin_id, MOSQ_EVT_EXT_AUTH_START, on_ext_auth, nullptr);
  if (options.accept_topics) {
    mosquitto_callback_unregister(plugin_id, MOSQ_EVT_ACL_CHECK, on_acl_check, nullptr);
  }
  return MOSQ_ERR_SUCCESS;
}
}
