// SPDX-License-Identifier: Apache-2.0
#include "plugin/gate.h"

#include <algorithm>
#include <utility>

#include "certs/describe.h"
#include "certs/facts.h"
#include "policy/identity.h"

namespace leafgate::plugin {
namespace {

using policy::Decision;
using policy::Reason;
using policy::Then;

constexpr Decision kGranted{.allow = true, .reason = Reason::kGranted, .rule = -1};

Decision no(Reason reason) {
  return {.allow = false, .reason = reason, .rule = -1};
}

}  // namespace

Subject Gate::Candidate::subject() const {
  Subject subject{std::nullopt, device, client_id, address};
  if (certificate != nullptr) subject.fingerprint = facts.fingerprint;
  return subject;
}

Gate::Gate(config::Config config, const registry::Replica& replica, Clocks clocks,
           Sessions& sessions, Notices& notices)
    : config_(std::move(config)),
      replica_(replica),
      clocks_(std::move(clocks)),
      sessions_(sessions),
      notices_(notices) {}

void Gate::configure(config::Config config) {
  config_ = std::move(config);
  ++rules_;
}

void Gate::tick() {
  ticked_ = true;
  reloading_ = false;
  sessions_.forget_gone();
  for (const mosquitto* client : unconfirmed_) {
    if (Session* session = sessions_.find(client); session != nullptr) sessions_.confirm(*session);
  }
  unconfirmed_.clear();
}

std::chrono::milliseconds Gate::fresh_for() const {
  using std::chrono::milliseconds;
  const auto age = clocks_.age();
  if (!age) return milliseconds(-1);  // nothing was ever heard: no policy admits by that
  if (config_.freshness.when_stale == config::WhenStale::kServe) return milliseconds::max();
  return config_.freshness.max_staleness - *age;
}

// ---- connections

Gate::Candidate Gate::read(mosquitto* client) const {
  Candidate candidate;
  candidate.client = client;
  candidate.client_id = broker::client_id(client);
  candidate.address = broker::address(client);
  candidate.username = broker::username(client);
  candidate.certificate = broker::certificate(client);
  if (candidate.certificate == nullptr) return candidate;

  const bool by_name = config_.rules.spec().identity == policy::IdentitySource::kCommonName;
  candidate.facts = certs::read_facts(*candidate.certificate,
                                      by_name ? certs::SanWanted::kNone : certs::SanWanted::kAll);
  candidate.device = policy::device_id(candidate.facts, config_.rules).value_or("");
  return candidate;
}

Verdict Gate::connect(mosquitto* client) {
  Candidate candidate = read(client);
  if (reloading_) {
    Session* known = same_session(candidate);
    if (known != nullptr) return standing(*known, candidate);
    // A broker that never ticks never ends its reload: a CONNECT comes from an address, a session
    // that was restored from disk does not.
    const bool may_be_offline = ticked_ || candidate.address.empty();
    if (may_be_offline && is_offline(candidate)) return {kGranted, Then::kAccept};
  }
  return judge(candidate, Door::kBasicAuth);
}

Verdict Gate::authenticate(mosquitto* client) {
  Candidate candidate = read(client);
  Session* known = same_session(candidate);
  if (known == nullptr) return judge(candidate, Door::kExtendedAuth);

  // Authentication goes on, or a live session authenticates anew.
  rejudge(*known, clocks_.now());
  if (!known->condemned) return {kGranted, Then::kDefer};
  const Decision decision = no(*known->condemned);
  notices_.refused(candidate.subject(), {.reason = decision.reason});
  if (!known->confirmed) sessions_.turn_away(client);
  return {decision, Then::kDefer};
}

void Gate::connected(mosquitto* client) {
  Session* known = sessions_.find(client, broker::client_id(client));
  if (known != nullptr) {
    sessions_.confirm(*known);
    return;
  }
  Candidate candidate = read(client);
  static_cast<void>(judge(candidate, Door::kAlreadyIn));  // refused: it is condemned, TICK ends it
}

void Gate::left(const mosquitto* client) {
  const bool is_known = sessions_.find(client) != nullptr || sessions_.gone(client).has_value();
  if (is_known) return sessions_.leave(client);
  // Its will is asked about now, and nobody may be let in by a connection that has ended.
  if (broker::certificate(client) != nullptr) sessions_.turn_away(client);
}

Verdict Gate::pre_shared_key(const mosquitto* client, std::string_view identity) {
  if (is_exception_named(identity) || reports()) return {kGranted, Then::kDefer};
  const Subject subject{std::nullopt, "", std::string(identity),
                        std::string(broker::address(client))};
  notices_.refused(subject, {.reason = Reason::kNoCertificate, .action = "pre_shared_key"});
  return {no(Reason::kNoCertificate), Then::kDefer};
}

Verdict Gate::judge(Candidate& candidate, Door door) {
  sessions_.erase(candidate.client);  // the broker uses a pointer again
  if (!ticked_) return refuse_unticked(candidate);

  const policy::Time now = clocks_.now();
  Decision decision = decide(candidate, now);
  const bool is_excepted =
      candidate.certificate == nullptr && is_exception(candidate.username, candidate.address);
  if (is_excepted && of_other_device(candidate)) {
    decision = no(Reason::kClientIdMismatch);
  } else if (decision.allow || is_excepted) {
    return admit(candidate, door, decision);
  }
  if (!reports()) return refuse(candidate, door, decision);
  notices_.refused(candidate.subject(), {.reason = decision.reason, .only_reported = true});
  return admit(candidate, door, decision);
}

Decision Gate::decide(Candidate& candidate, policy::Time now) {
  if (candidate.certificate == nullptr) return no(Reason::kNoCertificate);
  candidate.known = view(candidate.facts, candidate.device);
  candidate.known.stale = is_stale();
  const policy::Session session{.device = candidate.device,
                                .client_id = candidate.client_id,
                                .client_id_of_other_device = of_other_device(candidate),
                                .certificate_live_elsewhere = sessions_.is_live_elsewhere(
                                    candidate.facts.fingerprint, candidate.client_id),
                                .topic = std::nullopt};
  return policy::decide(&candidate.facts, candidate.known, session, config_.rules, now);
}

Verdict Gate::refuse(Candidate& candidate, Door door, const Decision& decision) {
  const bool told = notices_.refused(candidate.subject(), {.reason = decision.reason});
  if (told && decision.reason == Reason::kUnknownCertificate) report_unknown(candidate);
  if (door != Door::kAlreadyIn) {
    sessions_.turn_away(candidate.client);
    return {decision, Then::kDefer};
  }

  Session session = session_of(candidate);
  session.confirmed = true;
  session.condemned = decision.reason;
  sessions_.insert(std::move(session));
  return {decision, Then::kDefer};
}

Verdict Gate::refuse_unticked(const Candidate& candidate) {
  const bool told = notices_.refused(candidate.subject(), {.reason = Reason::kInternalError});
  if (told) {
    broker::log(
        log::Level::kError,
        "this broker calls no plugin's TICK, so no session could ever be ended: every client "
        "is refused: set per_listener_settings to false");
  }
  return {no(Reason::kInternalError), Then::kDefer};
}

Verdict Gate::admit(Candidate& candidate, Door door, const Decision& decision) {
  const bool renames = !candidate.device.empty() && candidate.device != candidate.username;
  if (renames && !broker::set_username(candidate.client, candidate.device)) {
    return refuse(candidate, door, no(Reason::kInternalError));
  }
  // 2.1 says when the client is in, connected(), and nothing when those we deferred to refuse it.
  if (door == Door::kExtendedAuth && broker::is_2_1()) return {kGranted, Then::kDefer};
  watch_for_clones(candidate);

  Session session = session_of(candidate);
  if (decision.allow) {
    session.deadline = policy::next_deadline(session.facts, candidate.known);
  }
  bind(session);
  const Then then = door == Door::kExtendedAuth ? Then::kDefer : then_of(session);
  session.confirmed = door == Door::kAlreadyIn || then == Then::kAccept;
  if (!session.confirmed && door == Door::kBasicAuth) unconfirmed_.push_back(session.client);
  notices_.admitted(session);
  sessions_.insert(std::move(session));
  return {kGranted, then};
}

Session Gate::session_of(Candidate& candidate) const {
  Session session;
  session.client = candidate.client;
  session.client_id = candidate.client_id;
  session.address = candidate.address;
  session.username = candidate.username;
  session.device = candidate.device;
  session.facts = std::move(candidate.facts);
  if (candidate.certificate != nullptr) {
    session.admission = Admission::kByCertificate;
  } else if (is_exception(candidate.username, candidate.address)) {
    session.admission = Admission::kByException;
  } else {
    session.admission = Admission::kByReport;
  }
  return session;
}

void Gate::watch_for_clones(const Candidate& candidate) {
  if (candidate.certificate == nullptr) return;
  const policy::Fingerprint& fingerprint = candidate.facts.fingerprint;
  const Session* before = sessions_.holder(candidate.client_id);
  const bool takes_over = before != nullptr && before->certificate() != nullptr &&
                          before->facts.fingerprint == fingerprint &&
                          before->address != candidate.address;
  if (takes_over &&
      takeovers_.note(fingerprint, before->address, candidate.address, clocks_.uptime())) {
    notices_.clone(candidate.subject(), "takeovers");
  }
  const bool asks = config_.rules.spec().certificate_in_use == policy::CertificateInUse::kReport;
  if (asks && sessions_.is_live_elsewhere(fingerprint, candidate.client_id)) {
    notices_.clone(candidate.subject(), "second_client_id");
  }
}

void Gate::report_unknown(const Candidate& candidate) {
  if (config_.rules.spec().unknown_certificate != policy::UnknownCertificate::kReport) return;
  const auto facts = certs::describe(*candidate.certificate);
  if (facts) notices_.unknown(facts.value(), candidate.device);
}

bool Gate::is_offline(const Candidate& candidate) const {
  if (candidate.certificate != nullptr || sessions_.find(candidate.client) != nullptr) return false;
  switch (broker::holds_client_id(candidate.client, candidate.client_id)) {
    case broker::Holds::kYes:
      return true;
    case broker::Holds::kNo:  // a new CONNECT
      return false;
    case broker::Holds::kUnknown:
      // Between a reload and the next TICK, 2.0 reads packets of libwebsockets clients only.
      return !broker::is_websocket(candidate.client);
  }
  return false;
}

bool Gate::is_exception(std::string_view username, std::string_view address) const {
  const auto& listed = config_.without_certificate;
  return std::any_of(listed.begin(), listed.end(),
                     [&](const config::WithoutCertificate& exception) {
                       return exception.username == username && exception.address == address;
                     });
}

bool Gate::is_exception_named(std::string_view username) const {
  const auto& listed = config_.without_certificate;
  return std::any_of(
      listed.begin(), listed.end(),
      [&](const config::WithoutCertificate& exception) { return exception.username == username; });
}

bool Gate::of_other_device(const Candidate& candidate) {
  const Session* holder = sessions_.holder(candidate.client_id);
  if (holder == nullptr || holder->condemned) return false;
  const bool is_of_device = holder->certificate() != nullptr;
  if (!is_of_device && candidate.certificate == nullptr) return false;
  if (is_of_device && holder->device == candidate.device) return false;
  const bool is_left_over =
      holder->confirmed &&
      broker::holds_client_id(holder->client, candidate.client_id) == broker::Holds::kNo;
  if (is_left_over) sessions_.erase(holder->client);
  return !is_left_over;
}

policy::RegistryView Gate::view(const policy::CertFacts& facts, std::string_view device) const {
  policy::RegistryView known;
  known.record = replica_.find(facts.fingerprint);
  if (!device.empty()) known.device_block = replica_.device_block(device);
  std::optional<policy::Block> by_key;
  if (!facts.issuer_key_id.empty()) by_key = replica_.issuer_block(facts.issuer_key_id);
  known.issuer_block = policy::stricter(by_key, replica_.issuer_block(facts.issuer_name_id));
  return known;
}

// ---- live sessions

Session* Gate::same_session(const Candidate& candidate) {
  Session* session = sessions_.find(candidate.client, candidate.client_id);
  if (session == nullptr) return nullptr;
  const bool has_certificate = candidate.certificate != nullptr;
  if (has_certificate != (session->certificate() != nullptr)) return nullptr;
  const bool is_same =
      !has_certificate || session->facts.fingerprint == candidate.facts.fingerprint;
  return is_same ? session : nullptr;
}

Verdict Gate::standing(Session& session, Candidate& candidate) {
  // The same certificate, read as the new rules want it.
  session.facts = std::move(candidate.facts);
  rejudge(session, clocks_.now());
  const bool renames =
      !session.condemned && !session.device.empty() && session.device != candidate.username;
  if (renames && !broker::set_username(candidate.client, session.device)) {
    sessions_.condemn(session, Reason::kInternalError);
  }
  // Also for one condemned just now: the TICK that follows ends it, with its will and a reason.
  return {kGranted, then_of(session)};
}

Then Gate::then_of(const Session& session) const {
  // Without a device there is no name to vouch for: only `mode: report` lets that pass.
  const bool is_device = session.certificate() != nullptr && !session.device.empty();
  return is_device ? config_.rules.spec().then : Then::kDefer;
}

void Gate::bind(Session& session) const {
  if (session.certificate() != nullptr) {
    session.topics =
        policy::BoundTopics(config_.rules.spec().topic_rules,
                            policy::topic_values(session.facts, session.device, session.client_id));
  }
  session.rules = rules_;  // last: if this throws, it is bound another time
}

void Gate::rejudge(Session& session, policy::Time now) {
  if (session.condemned) return;
  if (session.certificate() == nullptr) return rejudge_without_certificate(session);
  if (session.rules != rules_) {
    sessions_.set_device(session, policy::device_id(session.facts, config_.rules).value_or(""));
    bind(session);
  }

  policy::RegistryView known = view(session.facts, session.device);
  known.stale = ends_when_stale() && is_stale();
  // How it got its client id was judged when it connected.
  const policy::Session asked{.device = session.device,
                              .client_id = session.client_id,
                              .client_id_of_other_device = false,
                              .certificate_live_elsewhere = false,
                              .topic = std::nullopt};
  const Decision decision = policy::decide(&session.facts, known, asked, config_.rules, now);
  if (decision.allow) {
    sessions_.set_deadline(session, policy::next_deadline(session.facts, known));
  } else if (reports()) {
    sessions_.set_deadline(session, policy::kNever);
    notices_.refused(subject_of(session), {.reason = decision.reason, .only_reported = true});
  } else {
    sessions_.condemn(session, decision.reason);
  }
}

void Gate::rejudge_without_certificate(Session& session) {
  session.rules = rules_;
  if (is_exception(session.username, session.address)) {
    session.admission = Admission::kByException;
  } else if (reports()) {
    session.admission = Admission::kByReport;
  } else {
    sessions_.condemn(session, Reason::kNoCertificate);
  }
}

}  // namespace leafgate::plugin
