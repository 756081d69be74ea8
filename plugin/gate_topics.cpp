// SPDX-License-Identifier: Apache-2.0
// Topic actions: the half of the gate that runs for each message. A judged session costs a pointer
// lookup and its own rules; no allocation, no clock, no lock, until something is refused.
#include "plugin/gate.h"

namespace leafgate::plugin {
namespace {

using policy::Access;
using policy::Decision;
using policy::Reason;
using policy::Then;

constexpr Decision kGranted{.allow = true, .reason = Reason::kGranted, .rule = -1};

Decision no(Reason reason) {
  return {.allow = false, .reason = reason, .rule = -1};
}

std::string_view name_of(Access access) {
  switch (access) {
    case Access::kPublish:
      return "publish";
    case Access::kSubscribe:
      return "subscribe";
    case Access::kReceive:
      return "receive";
  }
  return "unknown";
}

}  // namespace

Verdict Gate::topic(mosquitto* client, const policy::TopicRequest& request) {
  Session* session = sessions_.find(client, broker::client_id(client));
  if (session != nullptr) {
    sessions_.confirm(*session);  // the broker asks about what it let in
    return session_topic(*session, request);
  }
  const auto gone = sessions_.gone(client);
  if (gone) return gone_topic(gone->session, request);
  return stranger_topic(client, request);
}

Verdict Gate::session_topic(const Session& session, const policy::TopicRequest& request) {
  // While the broker ends a session it asks which subscriptions to keep for its return.
  const bool is_barred = session.condemned && (!session.ending || is_disgraced(session));
  if (is_barred) return {no(*session.condemned), Then::kDefer};
  switch (session.admission) {
    case Admission::kByException:
      return {kGranted, Then::kDefer};
    case Admission::kByReport:
      return {kGranted, topics_then()};
    case Admission::kByCertificate:
      break;
  }

  const Decision decision = by_rules(session.topics, request);
  if (decision.allow) return {decision, topics_then()};
  notices_.refused(subject_of(session), {.reason = decision.reason,
                                         .action = name_of(request.access),
                                         .topic = request.topic,
                                         .only_reported = reports()});
  return {reports() ? kGranted : decision, topics_then()};
}

Decision Gate::by_rules(const policy::BoundTopics& topics,
                        const policy::TopicRequest& request) const {
  if (config_.rules.spec().topics != policy::TopicMode::kList) return kGranted;
  const std::optional<int> rule = topics.allowing_rule(request);
  if (!rule) return no(Reason::kTopicNotAllowed);
  return {.allow = true, .reason = Reason::kGranted, .rule = *rule};
}

Then Gate::topics_then() const {
  const bool others_decide = config_.rules.spec().topics == policy::TopicMode::kDefer;
  return others_decide ? Then::kDefer : Then::kAccept;
}

Verdict Gate::gone_topic(const Session* session, const policy::TopicRequest& request) const {
  // Turned away, by us or by those we deferred to: it never was a session.
  if (session == nullptr || !session->confirmed) return {no(Reason::kInternalError), Then::kDefer};
  if (is_disgraced(*session)) return {no(*session->condemned), Then::kDefer};
  switch (session->admission) {
    case Admission::kByException:
      return {kGranted, Then::kDefer};
    case Admission::kByReport:
      return {kGranted, topics_then()};
    case Admission::kByCertificate:
      break;
  }
  const Decision decision = by_rules(session->topics, request);
  return {reports() ? kGranted : decision, topics_then()};
}

Verdict Gate::stranger_topic(mosquitto* client, const policy::TopicRequest& request) {
  if (!ticked_) return {no(Reason::kInternalError), Then::kDefer};
  Candidate candidate = read(client);
  if (candidate.certificate == nullptr) return offline_topic(client, request);

  const Verdict verdict = judge(candidate, Door::kAlreadyIn);
  if (!verdict.decision.allow) return verdict;
  return session_topic(*sessions_.find(client), request);
}

Verdict Gate::offline_topic(const mosquitto* client, const policy::TopicRequest& request) const {
  const std::string_view username = broker::username(client);
  if (is_exception_named(username)) return {kGranted, Then::kDefer};
  const bool may = reports() || offline_may(username, broker::client_id(client), request);
  return {may ? kGranted : no(Reason::kTopicNotAllowed), topics_then()};
}

bool Gate::offline_may(std::string_view username, std::string_view client_id,
                       const policy::TopicRequest& request) const {
  // A block of older certificates only says nothing about the one this session was made with.
  const auto block = replica_.device_block(username);
  if (block && !block->before) return false;
  const bool by_list = config_.rules.spec().topics == policy::TopicMode::kList;
  switch (request.access) {
    case Access::kReceive:
      return true;  // asked again, by the rules, when the device comes back for it
    case Access::kSubscribe:
      return false;
    case Access::kPublish:
      break;
  }
  if (!by_list) return true;

  policy::CertFacts facts;
  if (config_.rules.spec().identity == policy::IdentitySource::kCommonName) {
    facts.common_names.push_back(config_.rules.spec().strip_prefix + std::string(username));
  }
  const policy::BoundTopics topics(config_.rules.spec().topic_rules,
                                   policy::topic_values(facts, username, client_id));
  return topics.allowing_rule(request).has_value();
}

}  // namespace leafgate::plugin
