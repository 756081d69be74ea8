// SPDX-License-Identifier: Apache-2.0
// The corpus against a real broker: what a device sees, and the reason in the broker's log.
//
// Cases share one broker; where their rules differ it reloads. A sentinel session proves that the
// broker has applied what a case wrote: it is turned off after everything else, and changes are
// applied in order.
#include <algorithm>
#include <sstream>

#include "certs/certificate.h"
#include "certs/facts.h"
#include "policy/identity.h"
#include "tests/catch.h"
#include "tests/decisions/stage.h"
#include "tests/support/broker.h"
#include "tests/support/mqtt_client.h"

namespace leafgate::test {
namespace {

constexpr int kNotAuthorized3 = 5;    // MQTT 3.1.1 §3.2.2.3
constexpr int kNotAuthorized = 0x87;  // MQTT 5 §3.2.2.2
constexpr int kClientIdentifierNotValid = 0x85;
constexpr int kServerUnavailable = 0x88;
constexpr int kSubackFailure3 = 0x80;  // MQTT 3.1.1 §3.9.3

policy::Time system_now() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

// The cases a broker can be asked, those with the same rules side by side.
std::vector<Case> cases_for(AtBroker broker) {
  auto corpus = load_corpus(system_now());
  corpus.erase(std::remove_if(corpus.begin(), corpus.end(),
                              [&](const Case& c) { return c.broker != broker; }),
               corpus.end());
  std::stable_sort(corpus.begin(), corpus.end(),
                   [](const Case& a, const Case& b) { return a.rules < b.rules; });
  return corpus;
}

class Theatre {
 public:
  explicit Theatre(const Case& first)
      : rules_(first.rules), broker_(stage.pki(), options(stage.yaml(first))) {
    CertSpec spec;
    spec.cn = "sentinel";
    spec.san = {"URI:urn:device:sentinel", "DNS:sentinel"};
    sentinel_files_ = stage.other_device(spec);
    // Weak only by the rules of some cases, and then the sentinel must not be: P-256.
    CertSpec other;
    other.cn = "other";
    other_files_ = stage.other_device(other);
  }

  // Brings the broker to the case: rules, record, blocks, the other session.
  void set_up(const Case& c, const CertFiles& certificate) {
    if (c.rules != rules_) {
      rules_ = c.rules;
      broker_.write_leafgate_yaml(stage.yaml(c));
      broker_.reload();
    }
    start_sentinel(c);
    stage.write(c, certificate);
    stop_sentinel();
    switch (c.other_session) {
      case OtherSession::kNone:
        return;
      case OtherSession::kSameCertificate:
        REQUIRE(other_.connect(broker_.client(certificate, "first")) == Connected::kAccepted);
        return;
      case OtherSession::kSameClientId:
        REQUIRE(other_.connect(broker_.client(other_files_, c.client_id)) == Connected::kAccepted);
        return;
    }
  }

  void clean_up() {
    other_.disconnect();
    stage.clear();
  }

  // True when the log says that this certificate was refused for this reason.
  bool logged_refusal(const CertFiles& certificate, const std::string& reason) const {
    return eventually([&] {
      std::istringstream log(broker_.log());
      for (std::string line; std::getline(log, line);) {
        const auto has = [&](const std::string& text) {
          return line.find(text) != std::string::npos;
        };
        if (has("refused") && has("reason=" + reason + " ") && has(certificate.fingerprint))
          return true;
      }
      return false;
    });
  }

  ConnectOptions client(const Case& c, const CertFiles& certificate, int version) const {
    auto options = broker_.client(certificate, c.client_id);
    options.version = version;
    return options;
  }

  std::string log() const { return broker_.log(); }
  bool is_2_1() const { return broker_.is_2_1(); }

  Stage stage;

 private:
  static BrokerOptions options(const std::string& yaml) {
    BrokerOptions options;
    options.leafgate_yaml = yaml;
    return options;
  }

  std::string sentinel_key() const { return "leafgate:cert:" + sentinel_files_.fingerprint; }

  // The rules say which device the sentinel is; its client id is always that device's.
  void start_sentinel(const Case& c) {
    const auto certificates = certs::load_certificates(sentinel_files_.certificate).value();
    const auto facts = certs::read_facts(*certificates.front(), certs::SanWanted::kAll);
    const auto device = policy::device_id(facts, rules_of(c)).value();
    stage.redis().cli({"HSET", sentinel_key(), "state", "active"});
    REQUIRE(eventually([&] {
      return sentinel_.connect(broker_.client(sentinel_files_, device)) == Connected::kAccepted;
    }));
  }

  void stop_sentinel() {
    stage.redis().cli({"HSET", sentinel_key(), "state", "inactive"});
    REQUIRE(sentinel_.ended());
  }

  std::string rules_;
  Broker broker_;
  CertFiles sentinel_files_;
  CertFiles other_files_;
  MqttClient sentinel_;
  MqttClient other_;
};

// What the device is told about its topic; the code of SUBACK or PUBACK.
int topic_code(MqttClient& client, const Case& c) {
  const auto code = *c.access == policy::Access::kSubscribe ? client.subscribe(c.topic)
                                                            : client.publish(c.topic, "x", 1);
  return code.value_or(-1);
}

void check_topic(MqttClient& client, const Case& c, int version) {
  const int code = topic_code(client, c);
  if (c.reason != policy::Reason::kTopicNotAllowed) {
    CHECK(code >= 0);
    CHECK(code < 0x80);
    return;
  }
  if (version == 5) {
    CHECK(code == kNotAuthorized);
  } else if (*c.access == policy::Access::kSubscribe) {
    CHECK(code == kSubackFailure3);
  } else {
    CHECK(code == 0);  // 3.1.1 has no word for a refused PUBLISH
  }
}

// Of the CONNACK: docs/decision.md, "What the client sees".
int refusal_code(policy::Reason reason, int version, bool is_2_1) {
  if (version != 5) return kNotAuthorized3;
  if (is_2_1 && reason == policy::Reason::kClientIdMismatch) return kClientIdentifierNotValid;
  if (is_2_1 && reason == policy::Reason::kRegistryStale) return kServerUnavailable;
  return kNotAuthorized;
}

void check_device(Theatre& theatre, const Case& c, const CertFiles& certificate, int version) {
  MqttClient client;
  const auto connected = client.connect(theatre.client(c, certificate, version));
  const bool admitted = c.allow || c.reason == policy::Reason::kTopicNotAllowed;
  if (!admitted) {
    CHECK(connected == Connected::kRefused);
    CHECK(client.connack_code() == refusal_code(c.reason, version, theatre.is_2_1()));
    return;
  }
  CHECK(connected == Connected::kAccepted);
  if (connected != Connected::kAccepted) return;
  if (c.access) check_topic(client, c, version);
  CHECK(client.ping());
  client.disconnect();
}

TEST_CASE("a broker decides every case of the corpus as expected", "[decisions][e2e]") {
  const auto corpus = cases_for(AtBroker::kDecides);
  REQUIRE_FALSE(corpus.empty());
  Theatre theatre(corpus.front());

  for (const auto& c : corpus) {
    INFO(c.where);
    const auto certificate = theatre.stage.certificate(c);
    theatre.set_up(c, certificate);

    for (const int version : {5, 4}) {
      INFO("MQTT version " << version);
      check_device(theatre, c, certificate, version);
    }
    if (!c.allow)
      CHECK(theatre.logged_refusal(certificate, std::string(policy::to_string(c.reason))));
    theatre.clean_up();
  }
}

TEST_CASE("TLS turns away what the corpus says it does, and the plugin is never asked",
          "[decisions][e2e]") {
  const auto corpus = cases_for(AtBroker::kTlsRefuses);
  REQUIRE_FALSE(corpus.empty());
  Theatre theatre(corpus.front());

  for (const auto& c : corpus) {
    INFO(c.where);
    const auto certificate = theatre.stage.certificate(c);
    theatre.set_up(c, certificate);
    const auto log_before = theatre.log().size();

    MqttClient client;
    const auto connected = client.connect(theatre.client(c, certificate, 5));

    CHECK(connected == Connected::kTlsFailed);
    const auto said = [&] { return theatre.log().substr(log_before); };
    CHECK(
        eventually([&] { return said().find("error:") != std::string::npos; }));  // OpenSSL's words
    CHECK(said().find("refused reason=") == std::string::npos);
    CHECK(said().find("first_seen") == std::string::npos);
    theatre.clean_up();
  }
}

}  // namespace
}  // namespace leafgate::test
