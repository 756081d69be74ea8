// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/site.h"

#include <stdexcept>

namespace leafgate::bench {
namespace {

std::optional<test::DelayProxy>& start(std::optional<test::DelayProxy>& proxy, Line line,
                                       int port) {
  if (line == Line::kThroughProxy) proxy.emplace(port);
  return proxy;
}

test::BrokerOptions broker_options(int registry_port, const std::string& admission) {
  test::BrokerOptions options;
  options.registry_url = "redis://127.0.0.1:" + std::to_string(registry_port) + "/0";
  options.admission = admission;
  options.quiet = true;
  return options;
}

}  // namespace

Site::Site(Line line, const std::string& admission)
    : broker(pki, broker_options(start(proxy, line, redis.port()) ? proxy->port() : redis.port(),
                                 admission)),
      writer_(redis.client()) {}

test::CertFiles Site::device(const std::string& name, const std::string& state) {
  test::CertSpec spec;
  spec.cn = name;
  test::CertFiles certificate = pki.issue(spec);
  set_state(certificate, state);
  return certificate;
}

void Site::set_state(const test::CertFiles& certificate, const std::string& state) {
  const auto reply =
      writer_.call({"HSET", "leafgate:cert:" + certificate.fingerprint, "state", state});
  if (!reply) throw std::runtime_error(reply.error().message);
  if (reply.value().is_error()) throw std::runtime_error("redis refused the change");
}

test::MqttClient Site::connected(const test::CertFiles& certificate,
                                 const std::string& client_id) const {
  test::MqttClient client;
  const bool in = test::eventually([&] {
    return client.connect(broker.client(certificate, client_id)) == test::Connected::kAccepted;
  });
  if (!in) throw std::runtime_error("`" + client_id + "` was not admitted:\n" + broker.log());
  return client;
}

}  // namespace leafgate::bench
