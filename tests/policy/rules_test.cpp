// SPDX-License-Identifier: Apache-2.0
#include "policy/rules.h"

#include "tests/catch.h"
#include "tests/policy/samples.h"

namespace leafgate::policy {
namespace {

TopicRule publish_rule(const std::string& filter) {
  TopicRule rule;
  rule.publish.push_back(TopicPattern::compile(filter).value());
  return rule;
}

std::string refusal(RulesSpec spec) {
  const auto made = Rules::make(std::move(spec));
  REQUIRE_FALSE(made.ok());
  CHECK(made.error().kind == ErrorKind::kInvalid);
  return made.error().message;
}

TEST_CASE("the default rules enforce, equal client ids and allow no topic", "[policy][rules]") {
  const auto made = Rules::make({});

  REQUIRE(made.ok());
  CHECK(made.value().spec().mode == Mode::kEnforce);
  CHECK(made.value().spec().client_id == ClientIdRule::kMustEqualDevice);
  CHECK(made.value().spec().topics == TopicMode::kList);
  CHECK(made.value().spec().topic_rules.empty());
}

TEST_CASE("the RSA floor can be raised and not lowered", "[policy][rules]") {
  RulesSpec spec;

  spec.min_rsa_bits = 4096;
  CHECK(Rules::make(spec).ok());
  spec.min_rsa_bits = 2047;
  CHECK_THAT(refusal(spec), ContainsSubstring("min_rsa_bits") && ContainsSubstring("2048..16384"));
  spec.min_rsa_bits = 16385;
  CHECK_THAT(refusal(spec), ContainsSubstring("min_rsa_bits"));
}

TEST_CASE("rules that would not be used are refused", "[policy][rules]") {
  RulesSpec spec;
  spec.topic_rules = {publish_rule("a")};
  CHECK(Rules::make(spec).ok());

  spec.topics = TopicMode::kAny;
  CHECK_THAT(refusal(spec), ContainsSubstring("topics"));
  spec.topics = TopicMode::kDefer;
  CHECK_THAT(refusal(spec), ContainsSubstring("topics"));
}

TEST_CASE("topics by client id are refused where a client may choose any", "[policy][rules]") {
  TopicRule subscribe;
  subscribe.subscribe = publish_rule("cmd/{client_id}").publish;
  for (const auto& rule : {publish_rule("devices/{client_id}/#"), subscribe}) {
    RulesSpec spec;
    spec.topic_rules = {publish_rule("devices/{device}/#"), rule};
    CHECK(Rules::make(spec).ok());
    spec.client_id = ClientIdRule::kDeviceOrSuffix;
    CHECK(Rules::make(spec).ok());
    spec.client_id = ClientIdRule::kAny;
    CHECK_THAT(refusal(spec), ContainsSubstring(rule.publish.empty() ? "`cmd/{client_id}`"
                                                                     : "`devices/{client_id}/#`") &&
                                  ContainsSubstring("{device}"));
    spec.topic_rules.pop_back();
    CHECK(Rules::make(spec).ok());
  }
}

TEST_CASE("a topic rule without filters is refused", "[policy][rules]") {
  RulesSpec spec;
  spec.topic_rules = {publish_rule("a"), TopicRule{}};

  CHECK_THAT(refusal(spec), ContainsSubstring("without filters"));
}

TEST_CASE("rules, filters, names and the prefix have limits", "[policy][rules]") {
  RulesSpec many_rules;
  many_rules.topic_rules.assign(kTopicRulesMax, publish_rule("a"));
  CHECK(Rules::make(many_rules).ok());
  many_rules.topic_rules.push_back(publish_rule("a"));
  CHECK_THAT(refusal(many_rules), ContainsSubstring("more than 256 rules"));

  RulesSpec many_filters;
  many_filters.topic_rules.resize(1);
  many_filters.topic_rules[0].publish.assign(kTopicFiltersMax, TopicPattern::compile("a").value());
  CHECK(Rules::make(many_filters).ok());
  many_filters.topic_rules[0].subscribe.push_back(TopicPattern::compile("a").value());
  CHECK_THAT(refusal(many_filters), ContainsSubstring("more than 1024 filters"));

  RulesSpec many_names;
  many_names.reserved_names.assign(kReservedNamesMax + 1, "a");
  CHECK_THAT(refusal(many_names), ContainsSubstring("reserved_names"));

  RulesSpec long_prefix;
  long_prefix.strip_prefix = std::string(kStripPrefixMax, 'a');
  CHECK(Rules::make(long_prefix).ok());
  long_prefix.strip_prefix += 'a';
  CHECK_THAT(refusal(long_prefix), ContainsSubstring("strip_prefix"));
  long_prefix.strip_prefix = "a\nb";
  CHECK_THAT(refusal(long_prefix), ContainsSubstring("strip_prefix"));
}

TEST_CASE("reserved names are found whatever order they were written in", "[policy][rules]") {
  RulesSpec spec;
  spec.reserved_names = {"zeta", "admin", "mid", "admin"};
  const auto made = rules(spec);

  for (const auto* name : {"zeta", "admin", "mid"})
    CHECK(made.is_reserved(name));
  for (const auto* name : {"", "adm", "admin1", "zz"})
    CHECK_FALSE(made.is_reserved(name));

  spec.reserved_names = {"admin", ""};
  CHECK_THAT(refusal(spec), ContainsSubstring("reserved_names"));
}

TEST_CASE("identity sources have the words of the configuration", "[policy][rules]") {
  CHECK(to_string(IdentitySource::kCommonName) == "cn");
  CHECK(to_string(IdentitySource::kSanUri) == "san_uri");
  CHECK(to_string(IdentitySource::kSanDns) == "san_dns");
}

}  // namespace
}  // namespace leafgate::policy
