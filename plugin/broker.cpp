// SPDX-License-Identifier: Apache-2.0
#include "plugin/broker.h"

#include <dlfcn.h>

#include <cstring>

#include "plugin/mosquitto_api.h"

namespace leafgate::plugin {
namespace {

std::string_view text_or_empty(const char* text) {
  return text == nullptr ? "" : text;
}

int log_level(log::Level level) {
  switch (level) {
    case log::Level::kDebug:
      return MOSQ_LOG_DEBUG;
    case log::Level::kInfo:
      return MOSQ_LOG_INFO;
    case log::Level::kNotice:
      return MOSQ_LOG_NOTICE;
    case log::Level::kWarning:
      return MOSQ_LOG_WARNING;
    case log::Level::kError:
      return MOSQ_LOG_ERR;
  }
  return MOSQ_LOG_ERR;
}

// mosquitto_client() of 2.1; linking to it would keep the plugin from loading into 2.0.
using FindClient = mosquitto* (*)(const char* client_id);

FindClient find_client() {
  static const auto function =
      reinterpret_cast<FindClient>(dlsym(RTLD_DEFAULT, "mosquitto_client"));
  return function;
}

// What has nothing to do with the certificate: come back later, or with your own client id. Whoever
// is refused for anything else could be probing.
int refused_connect(policy::Reason reason) {
  if (!broker::is_2_1()) return MOSQ_ERR_AUTH;
  switch (reason) {
    case policy::Reason::kRegistryStale:
    case policy::Reason::kInternalError:
      return kServerUnavailable;
    case policy::Reason::kClientIdMismatch:
      return kClientIdentifierNotValid;
    default:
      return MOSQ_ERR_AUTH;
  }
}

int refused(policy::Reason reason, Refusal refusal) {
  switch (refusal) {
    case Refusal::kConnect:
      return refused_connect(reason);
    case Refusal::kConnection:
      return MOSQ_ERR_AUTH;
    case Refusal::kTopic:
      return MOSQ_ERR_ACL_DENIED;
  }
  return MOSQ_ERR_AUTH;
}

}  // namespace

int code_of(const Verdict& verdict, Refusal refusal) noexcept {
  if (!verdict.decision.allow) return refused(verdict.decision.reason, refusal);
  return verdict.then == policy::Then::kAccept ? int{MOSQ_ERR_SUCCESS} : code_of_silence();
}

int code_of_silence() noexcept {
  return MOSQ_ERR_PLUGIN_DEFER;
}

namespace broker {

std::string_view client_id(const mosquitto* client) {
  return text_or_empty(mosquitto_client_id(client));
}

std::string_view address(const mosquitto* client) {
  return text_or_empty(mosquitto_client_address(client));
}

std::string_view username(const mosquitto* client) {
  return text_or_empty(mosquitto_client_username(client));
}

certs::Certificate certificate(const mosquitto* client) {
  return certs::Certificate(static_cast<x509_st*>(mosquitto_client_certificate(client)));
}

bool is_websocket(const mosquitto* client) {
  return mosquitto_client_protocol(client) == mp_websockets;
}

bool set_username(mosquitto* client, const std::string& username) {
  return mosquitto_set_username(client, username.c_str()) == MOSQ_ERR_SUCCESS;
}

bool kick(const std::string& client_id, bool with_will) {
  return mosquitto_kick_client_by_clientid(client_id.c_str(), with_will) == MOSQ_ERR_SUCCESS;
}

bool publish_retained(const std::string& topic, std::string_view text) {
  // Not mosquitto_broker_publish_copy(): 2.0's puts the copy into memory that it frees as its own
  // without having counted it, and memory_limit goes by that count.
  void* payload = text.empty() ? nullptr : mosquitto_malloc(text.size());
  if (payload != nullptr) {
    std::memcpy(payload, text.data(), text.size());
  } else if (!text.empty()) {
    return false;
  }
  const int rc = mosquitto_broker_publish(nullptr, topic.c_str(), static_cast<int>(text.size()),
                                          payload, 0, true, nullptr);
  if (rc != MOSQ_ERR_SUCCESS) mosquitto_free(payload);
  return rc == MOSQ_ERR_SUCCESS;
}

void log(log::Level level, const std::string& text) {
  mosquitto_log_printf(log_level(level), "leafgate: %s", text.c_str());
}

bool is_2_1() {
  return find_client() != nullptr;
}

Holds holds_client_id(const mosquitto* client, const std::string& client_id) {
  const FindClient find = find_client();
  if (find == nullptr) return Holds::kUnknown;
  return find(client_id.c_str()) == client ? Holds::kYes : Holds::kNo;
}

}  // namespace broker
}  // namespace leafgate::plugin
