// SPDX-License-Identifier: Apache-2.0
#include "tests/decisions/corpus.h"

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <stdexcept>

#include "config/config.h"
#include "config/duration.h"
#include "config/yaml_reader.h"

namespace leafgate::test {
namespace {

using config::Word;
using config::YamlMapping;
using config::YamlNode;

constexpr std::size_t kCasesMax = 1000;
constexpr std::size_t kListMax = 64;

// `node` as YAML on one line, every text quoted.
std::string flow(const YamlNode& node) {
  std::string text;
  switch (node.kind) {
    case YamlNode::Kind::kNull:
      return "~";
    case YamlNode::Kind::kScalar:
      for (const char c : node.scalar)
        text += c == '\'' ? "''" : std::string(1, c);
      return "'" + text + "'";
    case YamlNode::Kind::kList:
      for (const auto& item : node.items)
        text += (text.empty() ? "" : ", ") + flow(item);
      return "[" + text + "]";
    case YamlNode::Kind::kMapping:
      for (const auto& entry : node.entries) {
        text += (text.empty() ? "" : ", ") + entry.key + ": " + flow(entry.value);
      }
      return "{" + text + "}";
  }
  return text;
}

std::string rules_text(YamlMapping section) {
  std::string text;
  for (const auto* key : {"admission", "topics"}) {
    const auto* node = section.node(key);
    if (node != nullptr) text += std::string(key) + ": " + flow(*node) + "\n";
  }
  section.finish();
  return text;
}

// `+1h` and `-1h` become Unix seconds; anything else stays what a person might have typed.
std::string redis_time(const std::string& text, policy::Time now) {
  const bool relative = !text.empty() && (text[0] == '+' || text[0] == '-');
  if (!relative || !config::parse_duration(text.substr(1))) return text;
  const auto when = std::chrono::floor<std::chrono::seconds>(parse_corpus_time(text, now));
  return std::to_string(when.time_since_epoch().count());
}

std::map<std::string, std::string> read_record(YamlMapping section, policy::Time now) {
  std::map<std::string, std::string> fields;
  for (const auto* field : {"state", "retire_at", "revoked_at", "reason", "device", "note"}) {
    const auto* node = section.node(field);
    if (node != nullptr) fields[field] = redis_time(node->scalar, now);
  }
  section.finish();
  return fields;
}

BlockFields read_block(YamlMapping section, bool issuer, policy::Time now) {
  BlockFields block;
  const auto* before = section.node("before");
  if (before != nullptr) block.before = redis_time(before->scalar, now);
  if (issuer) {
    block.by_name =
        section.choice("by", false, {Word<bool>{"key_id", false}, Word<bool>{"name", true}});
  }
  section.finish();
  return block;
}

CertSpec read_certificate(YamlMapping section) {
  CertSpec spec;
  const auto text_or_empty = [&](const char* key, std::string fallback) {
    const auto* node = section.node(key);
    return node == nullptr ? fallback : node->scalar;
  };
  spec.cn = text_or_empty("cn", spec.cn);
  spec.subject = section.text("subject");
  spec.san = section.texts("san", kListMax);
  spec.key = section.text("key", spec.key);
  spec.digest = section.text("digest", spec.digest);
  spec.extended_key_usage = text_or_empty("eku", spec.extended_key_usage);
  spec.ca = section.boolean("ca", spec.ca);
  spec.authority_key_id = section.boolean("akid", spec.authority_key_id);
  spec.not_before = section.text("not_before", spec.not_before);
  spec.not_after = section.text("not_after", spec.not_after);
  section.finish();
  return spec;
}

void read_presented(YamlMapping& item, Case& c) {
  const auto* node = item.node("certificate");
  if (node == nullptr || node->kind != YamlNode::Kind::kScalar) {
    c.certificate = read_certificate(item.mapping("certificate"));
    return;
  }
  c.presents = item.choice("certificate", Presents::kNothing,
                           {Word<Presents>{"none", Presents::kNothing},
                            Word<Presents>{"unreadable", Presents::kUnreadable}});
}

void read_topic(YamlMapping& item, Case& c) {
  if (item.node("topic") == nullptr) return;
  auto topic = item.mapping("topic");
  for (const auto& [word, access] : {std::pair("publish", policy::Access::kPublish),
                                     std::pair("subscribe", policy::Access::kSubscribe),
                                     std::pair("receive", policy::Access::kReceive)}) {
    auto text = topic.text(word);
    if (text.empty()) continue;
    c.access = access;
    c.topic = std::move(text);
  }
  if (!c.access) item.fail("topic", "must say publish, subscribe or receive");
  topic.finish();
}

void read_expectation(YamlMapping& item, Case& c) {
  item.require("expect", "{reason, allow, rule}");
  auto expect = item.mapping("expect");
  const auto reason = policy::parse_reason(expect.text("reason"));
  if (!reason) {
    expect.fail("reason", "unknown reason");
    return;
  }
  c.reason = *reason;
  expect.require("allow", "true | false");
  c.allow = expect.boolean("allow", false);
  c.rule = static_cast<int>(expect.integer("rule", -1, -1, 255));
  if (c.allow != (c.reason == policy::Reason::kGranted)) {
    expect.fail("allow", "only `granted` allows");
  }
  expect.finish();
}

Case read_case(YamlMapping item, const std::string& file, const std::string& default_rules,
               policy::Time now) {
  Case c;
  item.require("case", "a sentence");
  c.sentence = item.text("case");
  c.where = file + ": " + c.sentence;
  c.rules = item.node("rules") == nullptr ? default_rules : rules_text(item.mapping("rules"));
  read_presented(item, c);
  if (item.node("record") != nullptr) c.record = read_record(item.mapping("record"), now);
  if (item.node("device_block") != nullptr) {
    c.device_block = read_block(item.mapping("device_block"), false, now);
  }
  if (item.node("issuer_block") != nullptr) {
    c.issuer_block = read_block(item.mapping("issuer_block"), true, now);
  }
  c.stale = item.boolean("stale", false);
  c.client_id = item.text("client_id", "dev1");
  c.other_session =
      item.choice("other_session", OtherSession::kNone,
                  {Word<OtherSession>{"same_certificate", OtherSession::kSameCertificate},
                   Word<OtherSession>{"same_client_id", OtherSession::kSameClientId}});
  read_topic(item, c);
  read_expectation(item, c);
  item.require("broker", "decides | tls_refuses | not_reachable");
  c.broker = item.choice("broker", AtBroker::kDecides,
                         {Word<AtBroker>{"decides", AtBroker::kDecides},
                          Word<AtBroker>{"tls_refuses", AtBroker::kTlsRefuses},
                          Word<AtBroker>{"not_reachable", AtBroker::kNotReachable}});
  item.finish();
  return c;
}

void append_file(const std::filesystem::path& path, policy::Time now, std::vector<Case>& corpus) {
  const std::string file = path.filename().string();
  const auto tree = config::read_yaml(read_file(path.string()), file);
  if (!tree) throw std::runtime_error(tree.error().message);
  config::YamlProblems problems(file);
  YamlMapping root(tree.value(), "", problems);
  const std::string rules = rules_text(root.mapping("rules"));
  for (auto& item : root.mappings("cases", kCasesMax)) {
    corpus.push_back(read_case(std::move(item), file, rules, now));
  }
  root.finish();
  const auto outcome = problems.outcome();
  if (!outcome) throw std::runtime_error(outcome.error().message);
}

}  // namespace

policy::Time parse_corpus_time(const std::string& text, policy::Time now) {
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    const auto span = config::parse_duration(text.substr(1));
    if (span) return text[0] == '+' ? now + *span : now - *span;
  }
  std::tm utc{};
  const char* end = strptime(text.c_str(), "%Y%m%d%H%M%SZ", &utc);
  if (end == nullptr || *end != '\0') throw std::runtime_error("not a time: `" + text + "`");
  return policy::Time(std::chrono::seconds(timegm(&utc)));
}

std::vector<Case> load_corpus(policy::Time now) {
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator("tests/decisions")) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  std::vector<Case> corpus;
  for (const auto& file : files)
    append_file(file, now, corpus);
  return corpus;
}

policy::Rules rules_of(const Case& c) {
  auto parsed = config::parse(c.rules, c.where);
  if (!parsed) throw std::runtime_error(parsed.error().message);
  return std::move(parsed).value().rules;
}

}  // namespace leafgate::test
