// SPDX-License-Identifier: Apache-2.0
#include "tests/plugin/world.h"

#include <algorithm>
#include <stdexcept>

#include "certs/certificate.h"
#include "certs/facts.h"

namespace leafgate::test {

const Issued& certificate_of(const std::string& cn) {
  static Pki pki;
  static std::map<std::string, Issued> issued;
  const auto at = issued.find(cn);
  if (at != issued.end()) return at->second;

  CertSpec spec;
  spec.cn = cn;
  spec.san = {"URI:urn:device:uri-" + cn};
  Issued made;
  made.pem = read_file(pki.issue(spec).certificate);
  const auto certificates = certs::from_pem_or_der(made.pem);
  made.facts = certs::read_facts(*certificates.value().front(), certs::SanWanted::kAll);
  made.fingerprint = made.facts.fingerprint;
  return issued.emplace(cn, std::move(made)).first->second;
}

policy::Time start_of_time() {
  return certificate_of("dev1").facts.not_before + std::chrono::hours(2);
}

config::Config World::config_of(const std::string& admission, const std::string& topics,
                                const std::string& more) {
  std::string yaml = "broker: test\nregistry: {url: \"redis://127.0.0.1:1/0\"}\n";
  if (!admission.empty()) yaml += "admission:\n" + admission + "\n";
  yaml += "topics: " + topics + "\n" + more;
  auto config = config::parse(yaml, "test.yaml");
  if (!config) throw std::runtime_error(config.error().message);
  return std::move(config).value();
}

World::World(const std::string& admission, const std::string& topics, const std::string& more)
    : notices(outbox, [this] { return uptime; }),
      gate(config_of(admission, topics, more), replica,
           plugin::Clocks{.now = [this] { return now; },
                          .uptime = [this] { return uptime; },
                          .age = [this] { return age; }},
           sessions, notices),
      rejudge(gate, sessions, notices, [this] { return precise_uptime(); }) {
  fake_broker() = FakeBroker{};
  fake_broker().on_kick = [this](mosquitto& who, bool) { disconnect(who); };
  gate.tick();
}

std::chrono::microseconds World::precise_uptime() {
  looked_ += each_look;
  return uptime + looked_;
}

mosquitto& World::client(const std::string& device, const std::string& client_id) {
  mosquitto& made = clients_.emplace_back();
  made.id = client_id;
  if (!device.empty()) made.certificate = certificate_of(device).pem;
  return made;
}

int World::connect(mosquitto& who, bool others_accept) {
  const int code = plugin::code_of(gate.connect(&who), plugin::Refusal::kConnection);
  const bool is_in = code == MOSQ_ERR_SUCCESS || (code == MOSQ_ERR_PLUGIN_DEFER && others_accept);
  if (!is_in) {
    gate.left(&who);
    return code;
  }
  const auto old = fake_broker().by_id.find(*who.id);
  if (old != fake_broker().by_id.end() && old->second != &who) disconnect(*old->second);
  fake_broker().by_id[*who.id] = &who;
  return code;
}

void World::disconnect(mosquitto& who) {
  gate.left(&who);
  who.certificate.clear();
  const auto at = fake_broker().by_id.find(*who.id);
  if (at != fake_broker().by_id.end() && at->second == &who) fake_broker().by_id.erase(at);
}

std::map<std::string, int> World::reload(config::Config config) {
  gate.reload_begins();
  gate.configure(std::move(config));
  rejudge.everything();
  std::map<std::string, int> codes;
  const auto contexts = fake_broker().by_id;
  for (const auto& [id, who] : contexts) {
    codes[id] = plugin::code_of(gate.connect(who), plugin::Refusal::kConnection);
  }
  return codes;
}

int World::acl(mosquitto& who, policy::Access access, const std::string& topic) {
  return plugin::code_of(gate.topic(&who, {.access = access, .topic = topic}),
                         plugin::Refusal::kTopic);
}

bool World::may_publish(mosquitto& who, const std::string& topic) {
  return acl(who, policy::Access::kPublish, topic) == MOSQ_ERR_SUCCESS;
}

void World::record(const std::string& cn, policy::CertState state) {
  policy::CertRecord record;
  record.state = state;
  replica.put(certificate_of(cn).fingerprint, record, registry::kUnstamped);
  changed(cn);
}

void World::changed(const std::string& cn) {
  registry::ChangeBatch batch;
  batch.certificates.push_back(certificate_of(cn).fingerprint);
  rejudge.changed(batch);
}

void World::tick() {
  gate.tick();
  rejudge.run(now);
}

std::vector<registry::Event> World::events(const std::string& kind) {
  auto letters = outbox.take(100000);
  seen_.insert(seen_.end(), letters.events.begin(), letters.events.end());
  std::vector<registry::Event> found;
  std::copy_if(seen_.begin(), seen_.end(), std::back_inserter(found),
               [&](const registry::Event& event) { return event.kind == kind; });
  return found;
}

}  // namespace leafgate::test
