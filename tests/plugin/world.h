// SPDX-License-Identifier: Apache-2.0
// The gate with everything around it but a broker, a Redis and a clock: those are the test's.
#pragma once

#include <chrono>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "plugin/gate.h"
#include "plugin/notices.h"
#include "plugin/rejudge.h"
#include "plugin/sessions.h"
#include "registry/outbox.h"
#include "registry/replica.h"
#include "tests/plugin/fake_broker.h"
#include "tests/support/pki.h"

namespace leafgate::test {

struct Issued {
  std::string pem;
  policy::Fingerprint fingerprint;
  policy::CertFacts facts;
};

// A certificate whose CN is `cn`, of a CA shared by all tests; the same one each time.
const Issued& certificate_of(const std::string& cn);

// The time all worlds start at: inside the validity of those certificates.
policy::Time start_of_time();

// Each device's own topics, as most cases have them.
inline constexpr const char* kOwnTopics =
    R"([{allow: {publish: ["devices/{device}/#"], subscribe: ["devices/{device}/cmd/#"]}}])";

class World {
 public:
  // `admission`: lines below `admission:`; `topics`: the YAML value; `more`: top-level lines.
  explicit World(const std::string& admission = "", const std::string& topics = "any",
                 const std::string& more = "");
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  static config::Config config_of(const std::string& admission, const std::string& topics,
                                  const std::string& more);

  // A client that shows the certificate of `device` (none when empty) and calls itself `client_id`.
  mosquitto& client(const std::string& device, const std::string& client_id);
  mosquitto& client(const std::string& device) { return client(device, device); }

  // As the broker does it: BASIC_AUTH; the others' answer `others_accept` when we defer; on success
  // the takeover of the client id; on failure DISCONNECT. The code that BASIC_AUTH returned.
  int connect(mosquitto& who, bool others_accept = true);
  // The connection ended: DISCONNECT, and the certificate is out of reach.
  void disconnect(mosquitto& who);
  // The broker asks every context it knows by id, as on SIGHUP. The codes by client id.
  std::map<std::string, int> reload(config::Config config);

  int acl(mosquitto& who, policy::Access access, const std::string& topic);
  bool may_publish(mosquitto& who, const std::string& topic);

  void record(const std::string& cn, policy::CertState state);
  void changed(const std::string& cn);
  void tick();

  bool is_up(const mosquitto& who) const { return sessions.find(&who) != nullptr; }
  std::vector<registry::Event> events(const std::string& kind);

  policy::Time now = start_of_time();
  std::chrono::milliseconds uptime{1000};
  // What each look at the clock that bounds a turn takes: stands for the work in between.
  std::chrono::microseconds each_look{0};
  std::optional<std::chrono::milliseconds> age{std::chrono::milliseconds(100)};

  registry::Replica replica;
  registry::Outbox outbox;
  plugin::Sessions sessions;
  plugin::Notices notices;
  plugin::Gate gate;
  plugin::Rejudge rejudge;

 private:
  std::chrono::microseconds precise_uptime();

  std::chrono::microseconds looked_{0};
  std::deque<mosquitto> clients_;
  std::vector<registry::Event> seen_;
};

}  // namespace leafgate::test
