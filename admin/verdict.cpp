// SPDX-License-Identifier: Apache-2.0
#include "admin/verdict.h"

#include <utility>

#include "certs/facts.h"
#include "policy/identity.h"
#include "policy/topics.h"

namespace leafgate::admin {
namespace {

namespace field = registry::field;

bool is_wrong_type(const registry::Reply& reply) {
  return reply.is_error() && reply.text().value_or("").substr(0, 9) == "WRONGTYPE";
}

// PEXPIRETIME answers -1 for a key without a TTL and -2 for none at all.
policy::Time gone_at(const registry::Reply& expires) {
  const auto ms = expires.integer();
  return ms && *ms >= 0 ? policy::Time(std::chrono::milliseconds(*ms)) : policy::kNever;
}

std::optional<policy::CertRecord> record_of(const registry::Reply& values,
                                            const registry::Reply& exists,
                                            const registry::Reply& expires) {
  if (exists.integer().value_or(0) == 0) return std::nullopt;
  policy::CertRecord record;
  if (!values.is_error()) {
    record = registry::parse_record(values[0].text(), values[1].text(), values[2].text());
  }
  record.gone_at = gone_at(expires);
  return record;
}

std::optional<policy::Block> block_of(const registry::Reply& before,
                                      const registry::Reply& exists) {
  if (exists.integer().value_or(0) == 0) return std::nullopt;
  return registry::parse_block(before.is_error() ? std::nullopt : before.text());
}

}  // namespace

Result<Presented> presented_file(const std::string& path, const policy::Rules& rules) {
  Result<std::vector<certs::Certificate>> loaded = certs::load_certificates(path);
  if (!loaded) {
    Error error = loaded.error();
    if (error.kind == ErrorKind::kUnreachable) error.kind = ErrorKind::kInvalid;
    return error;
  }
  const x509_st& certificate = *loaded.value().front();
  Presented presented;
  presented.origin = Presented::Origin::kCertificate;
  presented.facts = certs::read_facts(certificate, certs::SanWanted::kAll);
  presented.device = policy::device_id(presented.facts, rules).value_or("");
  if (Result<certs::Description> described = certs::describe(certificate)) {
    presented.description = std::move(described).value();
  }
  return presented;
}

Presented presented_record(const policy::Fingerprint& fingerprint,
                           const std::optional<Record>& record, const policy::Rules& rules) {
  Presented presented;
  presented.origin = Presented::Origin::kRecord;
  policy::CertFacts& facts = presented.facts;
  facts.readable = true;
  facts.fingerprint = fingerprint;
  facts.key = policy::KeyKind::kP256;
  facts.client_auth = true;
  facts.not_before = policy::Time();
  facts.not_after = policy::kNever;
  if (!record) return presented;
  // A record written by hand may lack the device; the broker takes it from the certificate anyway.
  if (policy::is_device_id(record->field(field::kDevice)))
    presented.device = record->field(field::kDevice);
  facts.not_before = record->time(field::kNotBefore).value_or(facts.not_before);
  facts.not_after = record->time(field::kNotAfter).value_or(facts.not_after);
  facts.issuer_key_id = record->field(field::kIssuer);
  if (rules.spec().identity == policy::IdentitySource::kCommonName) {
    facts.common_names = {rules.spec().strip_prefix + presented.device};
  }
  return presented;
}

Result<policy::RegistryView> read_view(Access& access, const Presented& presented) {
  if (presented.origin == Presented::Origin::kNone) return policy::RegistryView{};
  const registry::Schema& schema = access.schema();
  const std::string cert = schema.cert(presented.facts.fingerprint);
  std::vector<registry::Command> commands = {
      {"HMGET", cert, std::string(field::kState), std::string(field::kRetireAt),
       std::string(field::kRevokedAt)},
      {"EXISTS", cert},
      {"PEXPIRETIME", cert}};
  const auto ask_block = [&commands](const std::string& key) {
    commands.push_back({"HGET", key, std::string(field::kBefore)});
    commands.push_back({"EXISTS", key});
  };
  ask_block(schema.block_device(presented.device));
  ask_block(schema.block_issuer(presented.facts.issuer_key_id));
  ask_block(schema.block_issuer(presented.facts.issuer_name_id));

  const Result<std::vector<registry::Reply>> answers = access.client().pipeline(commands);
  if (!answers) return answers.error();
  const std::vector<registry::Reply>& replies = answers.value();
  for (const registry::Reply& reply : replies) {
    if (reply.is_error() && !is_wrong_type(reply)) return registry::to_error(reply);
  }
  policy::RegistryView view;
  view.record = record_of(replies[0], replies[1], replies[2]);
  view.device_block = block_of(replies[3], replies[4]);
  view.issuer_block =
      policy::stricter(block_of(replies[5], replies[6]), block_of(replies[7], replies[8]));
  return view;
}

policy::Decision judge(const Presented& presented, const policy::RegistryView& view,
                       const Question& question, const policy::Rules& rules, policy::Time now) {
  const policy::CertFacts* facts =
      presented.origin == Presented::Origin::kNone ? nullptr : &presented.facts;
  policy::Session session;
  session.device = presented.device;
  // Nobody knows the device of a certificate that only a record without one speaks for: not a
  // reason to say identity_missing.
  const bool device_unknown =
      presented.device.empty() && presented.origin == Presented::Origin::kRecord;
  if (device_unknown) session.device = "unknown";
  if (device_unknown && !question.client_id.empty()) session.device = question.client_id;
  session.client_id = question.client_id.empty() ? session.device : question.client_id;
  session.certificate_live_elsewhere = question.certificate_in_use;
  session.client_id_of_other_device = question.client_id_taken;
  if (question.access) session.topic = policy::TopicRequest{*question.access, question.topic};

  const policy::BoundTopics topics(
      rules.spec().topic_rules,
      policy::topic_values(presented.facts, session.device, session.client_id));
  return policy::decide(facts, view, session, rules, now, &topics);
}

}  // namespace leafgate::admin
