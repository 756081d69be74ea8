// SPDX-License-Identifier: Apache-2.0
#include "tests/plugin/fake_broker.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>

#include "certs/certificate.h"

namespace leafgate::test {

FakeBroker& fake_broker() {
  static FakeBroker broker;
  return broker;
}

bool FakeBroker::logged(const std::string& text) const {
  return std::any_of(log.begin(), log.end(),
                     [&](const auto& line) { return line.second.find(text) != std::string::npos; });
}

int FakeBroker::call(int event, void* data) const {
  const Hook& hook = hooks.at(event);
  return hook.callback(event, data, hook.userdata);
}

namespace {

const char* text_or_null(const std::optional<std::string>& text) {
  return text ? text->c_str() : nullptr;
}

}  // namespace
}  // namespace leafgate::test

using leafgate::test::fake_broker;
using leafgate::test::text_or_null;

extern "C" {

const char* mosquitto_client_id(const mosquitto* client) {
  return text_or_null(client->id);
}

const char* mosquitto_client_address(const mosquitto* client) {
  return text_or_null(client->address);
}

const char* mosquitto_client_username(const mosquitto* client) {
  return text_or_null(client->username);
}

void* mosquitto_client_certificate(const mosquitto* client) {
  if (client->parsed) return client->parsed();
  if (client->certificate.empty()) return nullptr;
  return leafgate::certs::from_pem_or_der(client->certificate).value().front().release();
}

int mosquitto_client_protocol(const mosquitto* client) {
  return client->websocket ? mp_websockets : mp_mqtt;
}

int mosquitto_set_username(mosquitto* client, const char* username) {
  if (client->refuses_username) return MOSQ_ERR_NOMEM;
  client->username = username;
  return MOSQ_ERR_SUCCESS;
}

int mosquitto_kick_client_by_clientid(const char* client_id, bool with_will) {
  auto& broker = fake_broker();
  broker.kicks.push_back({client_id, with_will});
  const auto at = broker.by_id.find(client_id);
  if (at == broker.by_id.end()) return MOSQ_ERR_NOT_FOUND;
  if (broker.on_kick) broker.on_kick(*at->second, with_will);
  return MOSQ_ERR_SUCCESS;
}

void* mosquitto_malloc(size_t size) {
  return std::malloc(size);
}

void mosquitto_free(void* memory) {
  std::free(memory);
}

int mosquitto_broker_publish(const char*, const char* topic, int size, void* payload, int qos,
                             bool retain, mosquitto_property*) {
  if (fake_broker().refuses_messages) return MOSQ_ERR_NOMEM;
  fake_broker().published.push_back(
      {topic, {static_cast<const char*>(payload), static_cast<std::size_t>(size)}, qos, retain});
  std::free(payload);
  return MOSQ_ERR_SUCCESS;
}

__attribute__((format(printf, 2, 3))) void mosquitto_log_printf(int level, const char* format,
                                                                ...) {
  char line[1000];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  fake_broker().log.emplace_back(level, line);
}

int mosquitto_callback_register(mosquitto_plugin_id_t*, int event,
                                MOSQ_FUNC_generic_callback callback, const void*, void* userdata) {
  fake_broker().hooks[event] = {callback, userdata};
  return MOSQ_ERR_SUCCESS;
}

int mosquitto_callback_unregister(mosquitto_plugin_id_t*, int event, MOSQ_FUNC_generic_callback,
                                  const void*) {
  fake_broker().hooks.erase(event);
  return MOSQ_ERR_SUCCESS;
}

#ifdef FAKE_BROKER_2_1
// Named apart in C++, where 2.1's headers have a type of this name.
mosquitto* find_client(const char* client_id) __asm__("mosquitto_client");
mosquitto* find_client(const char* client_id) {
  const auto& by_id = fake_broker().by_id;
  const auto at = by_id.find(client_id);
  return at == by_id.end() ? nullptr : at->second;
}
#endif

}  // extern "C"
