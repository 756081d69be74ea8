// SPDX-License-Identifier: Apache-2.0
// Redis in TLS and behind sentinels: devices notice nothing of it.
#include "tests/catch.h"
#include "tests/e2e/world.h"
#include "tests/support/sentinel_trio.h"
#include "tests/support/tls_redis.h"

namespace leafgate::test {
namespace {

using std::chrono::seconds;

CertFiles device(Pki& pki, const std::string& name) {
  CertSpec spec;
  spec.cn = name;
  return pki.issue(spec);
}

void set_state(const RedisServer& redis, const CertFiles& certificate, const std::string& state) {
  redis.cli({"HSET", World::key(certificate), "state", state});
}

TEST_CASE("a broker whose redis is reached in TLS admits and ends like any other",
          "[e2e][transports]") {
  TlsRedis redis("yes");
  Pki pki;
  const CertFiles ours = redis.pki.issue({});
  BrokerOptions options;
  options.registry_url = redis.url();
  options.registry = "tls: {ca_file: " + redis.pki.ca_file() + ", cert_file: " + ours.certificate +
                     ", key_file: " + ours.key + "}";
  const CertFiles certificate = device(pki, "dev1");
  set_state(redis.server, certificate, "active");
  const Broker broker(pki, options);

  MqttClient client;
  REQUIRE(client.connect(broker.client(certificate, "dev1")) == Connected::kAccepted);
  set_state(redis.server, certificate, "revoked");
  CHECK(client.ended());
  CHECK(MqttClient().connect(broker.client(certificate, "dev1")) == Connected::kRefused);
}

TEST_CASE("a session outlives the master and ends by a word of the next one", "[e2e][transports]") {
  SentinelTrio trio;
  Pki pki;
  BrokerOptions options;
  options.registry_url = trio.url();
  const CertFiles certificate = device(pki, "dev1");
  set_state(trio.first, certificate, "active");
  REQUIRE(eventually([&] { return trio.second.cli({"DBSIZE"}) == trio.first.cli({"DBSIZE"}); },
                     seconds(30)));
  const Broker broker(pki, options);
  MqttClient client;
  REQUIRE(client.connect(broker.client(certificate, "dev1")) == Connected::kAccepted);

  trio.first.kill();
  REQUIRE(trio.majority_names(trio.second));
  CHECK(client.ping());
  CHECK(
      broker.logged("redis=redis://127.0.0.1:" + std::to_string(trio.second.port()), seconds(20)));
  CHECK(client.ping());
  set_state(trio.second, certificate, "revoked");
  CHECK(client.ended());
}

}  // namespace
}  // namespace leafgate::test
