// SPDX-License-Identifier: Apache-2.0
#include "admin/explain.h"

#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "admin/access.h"
#include "admin/output.h"
#include "admin/source.h"
#include "admin/text.h"
#include "admin/verdict.h"
#include "base/log.h"

namespace leafgate::admin {
namespace {

namespace field = registry::field;

// Everything that was asked and found, for both forms of output.
struct Explanation {
  Presented presented;
  policy::RegistryView view;
  Question question;
  policy::Rules rules;
  bool some_without_certificate = false;  // --config names clients that may come without one
  policy::Time at;
  policy::Decision decision;
  std::vector<std::string> notes;
};

std::string_view to_string(policy::Access access) {
  switch (access) {
    case policy::Access::kPublish:
      return "publish";
    case policy::Access::kSubscribe:
      return "subscribe";
    case policy::Access::kReceive:
      return "receive";
  }
  return "publish";
}

std::string_view to_string(Presented::Origin origin) {
  switch (origin) {
    case Presented::Origin::kNone:
      return "none";
    case Presented::Origin::kCertificate:
      return "certificate";
    case Presented::Origin::kRecord:
      return "record";
  }
  return "none";
}

Result<policy::CertRecord> stated_record(const std::vector<std::string>& pairs) {
  std::optional<std::string> state;
  std::optional<std::string> retire_at;
  std::optional<std::string> revoked_at;
  for (const std::string& pair : pairs) {
    const std::size_t equals = pair.find('=');
    const std::string name = pair.substr(0, equals);
    std::optional<std::string>* slot = name == field::kState       ? &state
                                       : name == field::kRetireAt  ? &retire_at
                                       : name == field::kRevokedAt ? &revoked_at
                                                                   : nullptr;
    if (slot == nullptr || equals == std::string::npos) {
      return Error{ErrorKind::kInvalid,
                   "--record: `" + pair +
                       "`: write state=…, retire_at=… or revoked_at=…, as Redis would hold it"};
    }
    *slot = pair.substr(equals + 1);
  }
  return registry::parse_record(state, retire_at, revoked_at);
}

Result<Question> question_of(const ExplainOptions& options, const CommonOptions& common) {
  Question question;
  question.client_id = options.client_id;
  question.certificate_in_use = options.certificate_in_use;
  question.client_id_taken = options.client_id_taken;
  for (const auto& [access, topic] : {std::pair(policy::Access::kPublish, &options.publish),
                                      std::pair(policy::Access::kSubscribe, &options.subscribe),
                                      std::pair(policy::Access::kReceive, &options.receive)}) {
    if (topic->empty()) continue;
    question.access = access;
    question.topic = *topic;
  }
  if (question.access && common.config.empty()) {
    return Error{ErrorKind::kInvalid, "topic rules live in leafgate.yaml: name it with --config"};
  }
  return question;
}

Result<Presented> presented_offline(const ExplainOptions& options, const policy::Rules& rules) {
  if (options.no_certificate) return Presented{};
  const Result<Selector> selector = parse_selector(options.certificate);
  if (!selector) return selector.error();
  if (selector.value().kind == Selector::Kind::kFingerprint) {
    return Error{ErrorKind::kInvalid,
                 "without the registry a fingerprint says nothing: name the certificate file"};
  }
  return presented_file(selector.value().path, rules);
}

Result<Presented> presented_online(Access& access, const ExplainOptions& options,
                                   const policy::Rules& rules) {
  if (options.no_certificate) return Presented{};
  const Result<Selector> selector = parse_selector(options.certificate);
  if (!selector) return selector.error();
  if (selector.value().kind == Selector::Kind::kFile)
    return presented_file(selector.value().path, rules);

  const policy::Fingerprint& fingerprint = selector.value().fingerprint;
  const Result<std::vector<std::optional<Record>>> records =
      read_records(access, {&fingerprint, 1});
  if (!records) return records.error();
  return presented_record(fingerprint, records.value().front(), rules);
}

void add_notes(Explanation& e) {
  const policy::RulesSpec& spec = e.rules.spec();
  if (e.presented.origin == Presented::Origin::kRecord) {
    e.notes.emplace_back(
        "only the record was seen: key, usage, names and the issuer's name are taken to be right; "
        "name the "
        "certificate file to be sure");
  }
  if (e.presented.origin == Presented::Origin::kNone && e.some_without_certificate) {
    e.notes.emplace_back(
        "clients that `without_certificate` names are passed on to password_file or another "
        "plugin");
  }
  if (spec.mode == policy::Mode::kReport && !e.decision.allow) {
    e.notes.emplace_back("mode is report: brokers admit it all the same and log `would_refuse`");
  }
  if (spec.then == policy::Then::kDefer && e.decision.allow && !e.question.access) {
    e.notes.emplace_back("then is defer: password_file or another plugin must accept it as well");
  }
  if (e.question.access && spec.topics == policy::TopicMode::kDefer && e.decision.allow) {
    e.notes.emplace_back("topics is defer: acl_file or another plugin decides on the topic");
  }
}

Json block_json(const std::optional<policy::Block>& block) {
  if (!block) return nullptr;
  return {{"before", json_time(block->before)}};
}

Json certificate_json(const Presented& presented) {
  if (presented.origin == Presented::Origin::kNone) return nullptr;
  const policy::CertFacts& facts = presented.facts;
  Json out = {{"fingerprint", policy::to_hex(facts.fingerprint)},
              {"readable", facts.readable},
              {"not_before", json_time(facts.not_before)},
              {"not_after", json_time(facts.not_after)}};
  if (!presented.description) return out;
  const certs::Description& d = *presented.description;
  out["subject"] = d.subject;
  out["issuer"] = d.issuer;
  out["serial"] = d.serial;
  out["key"] = d.key;
  out["signature"] = d.signature;
  out["san"] = d.san;
  out["key_usage"] = d.key_usage;
  out["issuer_ids"] = {facts.issuer_key_id, facts.issuer_name_id};
  return out;
}

void print_json(const Explanation& e) {
  Json record;
  if (e.view.record) {
    const bool retiring = e.view.record->state == policy::CertState::kRetiring;
    record = {{"state", policy::to_string(e.view.record->state)},
              {"retire_at", retiring ? json_time(e.view.record->retire_at) : Json()},
              {"gone_at", json_time(e.view.record->gone_at)}};
  }
  Json topic;
  if (e.question.access)
    topic = {{"access", to_string(*e.question.access)}, {"topic", e.question.topic}};
  print(Json{{"allow", e.decision.allow},
             {"reason", policy::to_string(e.decision.reason)},
             {"rule", e.decision.rule},
             {"device", e.presented.device.empty() ? Json() : Json(e.presented.device)},
             {"client_id", e.question.client_id},
             {"topic", std::move(topic)},
             {"at", json_time(e.at)},
             {"facts_from", to_string(e.presented.origin)},
             {"certificate", certificate_json(e.presented)},
             {"record", std::move(record)},
             {"device_block", block_json(e.view.device_block)},
             {"issuer_block", block_json(e.view.issuer_block)},
             {"stale", e.view.stale},
             {"device_id_rule", config::device_id_rule(e.rules)},
             {"notes", e.notes}});
}

void row(std::string_view name, const std::string& value) {
  std::cout << "  " << name << std::string(14 - name.size(), ' ') << value << '\n';
}

std::string words(const std::optional<policy::Block>& block) {
  if (!block) return "none";
  return block->before ? "certificates from before " + format_time(*block->before)
                       : "all certificates";
}

void print_certificate(const Presented& presented) {
  if (presented.origin == Presented::Origin::kNone) return row("certificate", "none");
  row("certificate", policy::to_hex(presented.facts.fingerprint));
  if (!presented.facts.readable) return row("", "cannot be read");
  if (presented.description) {
    row("subject", log::escape(presented.description->subject));
    row("issuer", log::escape(presented.description->issuer));
    row("key", printable(presented.description->key + ", signed with " +
                         presented.description->signature));
  }
  row("valid",
      format_time(presented.facts.not_before) + " to " + format_time(presented.facts.not_after));
}

void print_words(const Explanation& e) {
  std::cout << (e.decision.allow ? "admitted: " : "refused: ")
            << policy::to_string(e.decision.reason) << '\n';
  row("device", (e.presented.device.empty() ? "none" : log::escape(e.presented.device)) +
                    " (rule `" + printable(config::device_id_rule(e.rules)) + "`)");
  row("client id", log::escape(e.question.client_id));
  print_certificate(e.presented);
  std::string record = "none";
  if (e.view.record) {
    record = policy::to_string(e.view.record->state);
    if (e.view.record->state == policy::CertState::kRetiring) {
      record += " until " + format_time(e.view.record->retire_at);
    }
    if (e.view.record->gone_at != policy::kNever) {
      record += ", key expires " + format_time(e.view.record->gone_at);
    }
  }
  row("record", record);
  row("device block", words(e.view.device_block));
  row("issuer block", words(e.view.issuer_block));
  if (e.view.stale) row("registry", "stale");
  if (e.question.access) {
    row("topic", std::string(to_string(*e.question.access)) + ' ' + log::escape(e.question.topic));
    row("rule", e.decision.rule < 0 ? "none" : "topics[" + std::to_string(e.decision.rule) + "]");
  }
  row("at", format_time(e.at));
  for (const std::string& note : e.notes)
    row("note", note);
}

bool names_some_without(const Settings& settings) {
  return settings.config && !settings.config->without_certificate.empty();
}

Result<Explanation> explain_offline(const CommonOptions& common, const ExplainOptions& options,
                                    Question question) {
  const Result<Settings> settings = resolve(common);
  if (!settings) return settings.error();
  const Result<policy::Rules> rules =
      settings.value().config ? settings.value().config->rules : rules_from_text("cn");
  if (!rules) return rules.error();
  Result<Presented> presented = presented_offline(options, rules.value());
  if (!presented) return presented.error();

  policy::RegistryView view;
  if (!options.record.empty()) {
    const Result<policy::CertRecord> record = stated_record(options.record);
    if (!record) return record.error();
    view.record = record.value();
  }
  return Explanation{std::move(presented).value(),
                     view,
                     std::move(question),
                     rules.value(),
                     names_some_without(settings.value()),
                     {},
                     {},
                     {}};
}

Result<Explanation> explain_online(const CommonOptions& common, const ExplainOptions& options,
                                   Question question) {
  Result<Access> access = Access::open(common);
  if (!access) return access.error();
  const Result<policy::Rules> rules = access.value().rules();
  if (!rules) return rules.error();
  Result<Presented> presented = presented_online(access.value(), options, rules.value());
  if (!presented) return presented.error();
  const Result<policy::RegistryView> view = read_view(access.value(), presented.value());
  if (!view) return view.error();
  return Explanation{std::move(presented).value(),
                     view.value(),
                     std::move(question),
                     rules.value(),
                     names_some_without(access.value().settings()),
                     {},
                     {},
                     {}};
}

}  // namespace

Exit explain(const CommonOptions& common, const ExplainOptions& options) {
  if (options.certificate.empty() != options.no_certificate) {
    return fail(
        {ErrorKind::kInvalid, "name a certificate file or a fingerprint, or say --no-certificate"},
        common.json);
  }
  Result<Question> question = question_of(options, common);
  if (!question) return fail(question.error(), common.json);
  const policy::Time now = system_now();
  const Result<policy::Time> at = options.at.empty() ? now : parse_time(options.at, now);
  if (!at) return fail(with_context("--at", at.error()), common.json);

  const bool offline = options.offline || !options.record.empty();
  Result<Explanation> found = offline
                                  ? explain_offline(common, options, std::move(question).value())
                                  : explain_online(common, options, std::move(question).value());
  if (!found) return fail(found.error(), common.json);

  Explanation& e = found.value();
  e.at = at.value();
  e.view.stale = options.stale;
  if (e.question.client_id.empty()) e.question.client_id = e.presented.device;
  e.decision = judge(e.presented, e.view, e.question, e.rules, e.at);
  add_notes(e);
  common.json ? print_json(e) : print_words(e);
  return e.decision.allow ? Exit::kOk : Exit::kRefused;
}

}  // namespace leafgate::admin
