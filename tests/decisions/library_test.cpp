// SPDX-License-Identifier: Apache-2.0
// The corpus against the library: certificate facts straight from the description, the record
// through registry::parse_record(), so that what a person types into Redis is what is judged.
#include <algorithm>
#include <set>

#include "policy/decision.h"
#include "policy/identity.h"
#include "registry/schema.h"
#include "tests/catch.h"
#include "tests/decisions/corpus.h"

namespace leafgate::test {
namespace {

using policy::CertFacts;
using policy::KeyKind;

constexpr policy::Time kNow{std::chrono::seconds(1700000000)};
constexpr std::size_t kRsaPrefix = 4;  // `rsa:`

struct KeyFacts {
  KeyKind kind = KeyKind::kOther;
  int bits = 0;
};

KeyFacts key_facts(const std::string& key) {
  if (key.starts_with("rsa:")) return {KeyKind::kRsa, std::stoi(key.substr(kRsaPrefix))};
  static const std::map<std::string, KeyFacts> kKnown = {
      {"P-256", {KeyKind::kP256, 256}},  {"P-384", {KeyKind::kP384, 384}},
      {"P-521", {KeyKind::kP521, 521}},  {"ed25519", {KeyKind::kEd25519, 256}},
      {"ed448", {KeyKind::kEd448, 456}}, {"secp256k1", {KeyKind::kOther, 256}},
  };
  return kKnown.at(key);
}

// The values of one attribute in openssl's -subj syntax, `/CN=a/OU=\+`.
std::vector<std::string> attribute(const std::string& subject, const std::string& name) {
  std::vector<std::string> values;
  for (std::size_t at = 0; at < subject.size();) {
    const auto end = std::min(subject.find('/', at + 1), subject.size());
    auto part = subject.substr(at + 1, end - at - 1);
    part.erase(std::remove(part.begin(), part.end(), '\\'), part.end());
    if (part.starts_with(name + "=")) values.push_back(part.substr(name.size() + 1));
    at = end;
  }
  return values;
}

std::vector<std::string> names_of_kind(const std::vector<std::string>& san,
                                       const std::string& kind) {
  std::vector<std::string> names;
  for (const auto& entry : san) {
    if (entry.starts_with(kind + ":")) names.push_back(entry.substr(kind.size() + 1));
  }
  return names;
}

CertFacts facts_of(const Case& c) {
  CertFacts facts;
  facts.readable = c.presents == Presents::kCertificate;
  if (!facts.readable) return facts;
  const auto& spec = c.certificate;
  facts.not_before = parse_corpus_time(spec.not_before, kNow);
  facts.not_after = parse_corpus_time(spec.not_after, kNow);
  facts.key = key_facts(spec.key).kind;
  facts.key_bits = key_facts(spec.key).bits;
  facts.weak_signature = spec.digest == "sha1" || spec.digest == "md5";
  const auto& usage = spec.extended_key_usage;
  facts.client_auth = usage.empty() || usage.find("clientAuth") != std::string::npos;
  facts.common_names = attribute(spec.subject, "CN");
  if (spec.subject.empty() && !spec.cn.empty()) facts.common_names = {spec.cn};
  facts.organizational_units = attribute(spec.subject, "OU");
  facts.san_uris = names_of_kind(spec.san, "URI");
  facts.san_dns = names_of_kind(spec.san, "DNS");
  facts.issuer_key_id = spec.authority_key_id ? "0a0b" : "";
  facts.issuer_name_id = "name-" + std::string(64, '0');
  return facts;
}

std::optional<std::string_view> field(const std::map<std::string, std::string>& record,
                                      const std::string& name) {
  const auto found = record.find(name);
  if (found == record.end()) return std::nullopt;
  return found->second;
}

std::optional<policy::Block> block_of(const std::optional<BlockFields>& fields) {
  if (!fields) return std::nullopt;
  return registry::parse_block(fields->before);
}

policy::RegistryView view_of(const Case& c) {
  policy::RegistryView view;
  if (c.record) {
    view.record = registry::parse_record(field(*c.record, "state"), field(*c.record, "retire_at"),
                                         field(*c.record, "revoked_at"));
  }
  view.device_block = block_of(c.device_block);
  // A certificate without AKI can be blocked by its issuer's name only.
  const bool names_this_issuer =
      c.issuer_block && (c.issuer_block->by_name || c.certificate.authority_key_id);
  if (names_this_issuer) view.issuer_block = block_of(c.issuer_block);
  view.stale = c.stale;
  return view;
}

policy::Decision decide_in_library(const Case& c) {
  const auto rules = rules_of(c);
  if (c.presents == Presents::kNothing) {
    return policy::decide(nullptr, view_of(c), {}, rules, kNow);
  }
  const auto facts = facts_of(c);
  const auto device = policy::device_id(facts, rules).value_or("");
  const policy::BoundTopics topics(rules.spec().topic_rules,
                                   policy::topic_values(facts, device, c.client_id));
  policy::Session session;
  session.device = device;
  session.client_id = c.client_id;
  session.client_id_of_other_device = c.other_session == OtherSession::kSameClientId;
  session.certificate_live_elsewhere = c.other_session == OtherSession::kSameCertificate;
  if (c.access) session.topic = policy::TopicRequest{*c.access, c.topic};
  return policy::decide(&facts, view_of(c), session, rules, kNow, &topics);
}

TEST_CASE("the library decides every case of the corpus as expected", "[decisions]") {
  const auto corpus = load_corpus(kNow);
  REQUIRE_FALSE(corpus.empty());

  for (const auto& c : corpus) {
    INFO(c.where);
    const auto decision = decide_in_library(c);
    CHECK(policy::to_string(decision.reason) == policy::to_string(c.reason));
    CHECK(decision.allow == c.allow);
    CHECK(decision.rule == c.rule);
  }
}

// internal_error stands for a bug of ours; tests/policy/decision_test.cpp makes one up.
TEST_CASE("every reason but internal_error has a case in the corpus", "[decisions]") {
  std::set<policy::Reason> seen;
  for (const auto& c : load_corpus(kNow))
    seen.insert(c.reason);

  for (int i = 0; i < policy::kReasonCount; ++i) {
    const auto reason = static_cast<policy::Reason>(i);
    INFO(policy::to_string(reason));
    CHECK(seen.count(reason) == (reason == policy::Reason::kInternalError ? 0 : 1));
  }
}

TEST_CASE("no two cases of the corpus claim the same", "[decisions]") {
  std::set<std::string> seen;
  for (const auto& c : load_corpus(kNow)) {
    INFO(c.where);
    CHECK(seen.insert(c.sentence).second);
  }
}

TEST_CASE("what a real broker cannot be asked is kept to what nobody outside can bring about",
          "[decisions]") {
  for (const auto& c : load_corpus(kNow)) {
    INFO(c.where);
    if (c.broker != AtBroker::kNotReachable) continue;
    const bool is_out_of_reach = c.stale || c.presents == Presents::kUnreadable ||
                                 c.access == policy::Access::kReceive ||
                                 c.certificate.digest == "md5";
    CHECK(is_out_of_reach);
  }
}

}  // namespace
}  // namespace leafgate::test
