// SPDX-License-Identifier: Apache-2.0
// The usual design, as a rival to measure: a plugin that asks Redis for the certificate's state
// while the broker waits. Options: `plugin_opt_port`, the port of Redis on the loopback address.
#include <hiredis/hiredis.h>
#if __has_include(<mosquitto/broker.h>)
#include <mosquitto.h>
#else
#include <mosquitto.h>
#include <mosquitto_broker.h>  // 2.0.11's mosquitto_plugin.h needs it and does not include it
#include <mosquitto_plugin.h>
#endif
#include <sys/time.h>

#include <cstdlib>
#include <cstring>

#include "certs/certificate.h"

using namespace leafgate;

namespace {

struct Asking {
  mosquitto_plugin_id_t* id = nullptr;
  int port = 0;
  redisContext* redis = nullptr;
};

void connect(Asking& asking) {
  constexpr timeval kPatience{2, 0};
  if (asking.redis != nullptr) redisFree(asking.redis);
  asking.redis = redisConnectWithTimeout("127.0.0.1", asking.port, kPatience);
  if (asking.redis != nullptr && asking.redis->err == 0) redisSetTimeout(asking.redis, kPatience);
}

bool is_active(Asking& asking, const std::string& fingerprint) {
  if (asking.redis == nullptr || asking.redis->err != 0) connect(asking);
  if (asking.redis == nullptr || asking.redis->err != 0) return false;
  auto* reply = static_cast<redisReply*>(
      redisCommand(asking.redis, "HGET leafgate:cert:%s state", fingerprint.c_str()));
  if (reply == nullptr) return false;
  const bool active = reply->type == REDIS_REPLY_STRING && std::strcmp(reply->str, "active") == 0;
  freeReplyObject(reply);
  return active;
}

int on_basic_auth(int, void* event_data, void* userdata) {
  const auto* event = static_cast<mosquitto_evt_basic_auth*>(event_data);
  const certs::Certificate certificate(
      static_cast<x509_st*>(mosquitto_client_certificate(event->client)));
  if (certificate == nullptr) return MOSQ_ERR_AUTH;
  auto& asking = *static_cast<Asking*>(userdata);
  const bool active = is_active(asking, policy::to_hex(certs::fingerprint(*certificate)));
  return active ? MOSQ_ERR_SUCCESS : MOSQ_ERR_AUTH;
}

}  // namespace

extern "C" {

int mosquitto_plugin_version(int, const int*) {
  return 5;
}

int mosquitto_plugin_init(mosquitto_plugin_id_t* id, void** userdata, mosquitto_opt* options,
                          int count) {
  auto* asking = new Asking{id};
  for (int i = 0; i < count; ++i) {
    if (std::strcmp(options[i].key, "port") == 0) asking->port = std::atoi(options[i].value);
  }
  connect(*asking);
  *userdata = asking;
  return mosquitto_callback_register(id, MOSQ_EVT_BASIC_AUTH, on_basic_auth, nullptr, asking);
}

int mosquitto_plugin_cleanup(void* userdata, mosquitto_opt*, int) {
  auto* asking = static_cast<Asking*>(userdata);
  mosquitto_callback_unregister(asking->id, MOSQ_EVT_BASIC_AUTH, on_basic_auth, nullptr);
  if (asking->redis != nullptr) redisFree(asking->redis);
  delete asking;
  return MOSQ_ERR_SUCCESS;
}
}
