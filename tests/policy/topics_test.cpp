// SPDX-License-Identifier: Apache-2.0
#include "policy/topics.h"

#include "tests/catch.h"

namespace leafgate::policy {
namespace {

TopicValues values_of_dev1() {
  return {.device = "dev1",
          .client_id = "dev1",
          .common_name = "dev1",
          .organizational_unit = "meters"};
}

TopicRule rule(const std::vector<std::string>& publish, const std::vector<std::string>& subscribe) {
  TopicRule made;
  for (const auto& filter : publish)
    made.publish.push_back(TopicPattern::compile(filter).value());
  for (const auto& filter : subscribe)
    made.subscribe.push_back(TopicPattern::compile(filter).value());
  return made;
}

std::optional<std::string> bound(const std::string& pattern, const TopicValues& values) {
  return TopicPattern::compile(pattern).value().bind(values);
}

TEST_CASE("the examples of the standard match as it says", "[policy][topics]") {
  CHECK(matches("sport/tennis/player1/#", "sport/tennis/player1"));
  CHECK(matches("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon"));
  CHECK(matches("sport/#", "sport"));
  CHECK(matches("sport/tennis/+", "sport/tennis/player1"));
  CHECK_FALSE(matches("sport/tennis/+", "sport/tennis/player1/ranking"));
  CHECK_FALSE(matches("sport/+", "sport"));
  CHECK(matches("sport/+", "sport/"));
  CHECK(matches("+/+", "/finance"));
  CHECK(matches("/+", "/finance"));
  CHECK_FALSE(matches("+", "/finance"));
  CHECK_FALSE(matches("Sport", "sport"));
}

TEST_CASE("a leading wildcard does not reach topics that start with `$`", "[policy][topics]") {
  CHECK_FALSE(matches("#", "$SYS/broker/uptime"));
  CHECK_FALSE(matches("+/broker/uptime", "$SYS/broker/uptime"));
  CHECK(matches("$SYS/#", "$SYS/broker/uptime"));
  CHECK(matches("$SYS/broker/+", "$SYS/broker/uptime"));
  CHECK(matches("a/#", "a/$SYS"));

  CHECK_FALSE(contains("#", "$SYS/#"));
  CHECK_FALSE(contains("+/broker", "$SYS/broker"));
  CHECK(contains("$SYS/#", "$SYS/broker/+"));
  CHECK_FALSE(contains("$SYS/#", "#"));
}

TEST_CASE("ill-formed filters are none", "[policy][topics]") {
  for (const auto* filter :
       {"", "sport/tennis#", "sport/#/ranking", "sport+", "+sport", "##", "#/", "a/+b", "++"}) {
    INFO(filter);
    CHECK_FALSE(is_topic_filter(filter));
  }
  CHECK_FALSE(is_topic_filter(std::string("a\0b", 3)));
  CHECK_FALSE(is_topic_filter(std::string(65536, 'a')));
  CHECK(is_topic_filter(std::string(65535, 'a')));
}

TEST_CASE("a filter is contained where all its topics are allowed", "[policy][topics]") {
  CHECK(contains("devices/dev1/#", "devices/dev1"));
  CHECK(contains("devices/dev1/#", "devices/dev1/+/x"));
  CHECK(contains("devices/+/cmd", "devices/dev1/cmd"));
  CHECK_FALSE(contains("devices/dev1/#", "devices/+/#"));
  CHECK_FALSE(contains("devices/dev1/#", "devices/dev10/#"));
  CHECK_FALSE(contains("devices/dev1/#", "devices/#"));
  CHECK_FALSE(contains("devices/dev1/+", "devices/dev1/#"));
  CHECK_FALSE(contains("devices/dev1/cmd", "devices/dev1/+"));
}

TEST_CASE("a shared subscription is judged by the filter behind its group", "[policy][topics]") {
  CHECK(strip_share("a/b") == "a/b");
  CHECK(strip_share("$share/g/a/b") == "a/b");
  CHECK(strip_share("$share/g//a") == "/a");
  CHECK(strip_share("$share/g/#") == "#");
  CHECK(strip_share("$shared/g/a") == "$shared/g/a");
  CHECK(strip_share("x/$share/g/a") == "x/$share/g/a");
  for (const auto* filter : {"$share", "$share/", "$share/g", "$share/g/", "$share//a",
                             "$share/+/a", "$share/g#/a", "$share/g/a#", "$share/g/$share/h/a"}) {
    INFO(filter);
    CHECK_FALSE(strip_share(filter));
  }
}

TEST_CASE("a pattern knows four placeholders and no other braces", "[policy][topics]") {
  CHECK(bound("{ou}/{device}/x-{cn}/{client_id}/#", values_of_dev1()) ==
        "meters/dev1/x-dev1/dev1/#");
  CHECK(bound("plain/+/#", values_of_dev1()) == "plain/+/#");

  for (const auto* text :
       {"{devices}/a", "{}", "{device", "device}", "{{device}}", "a/{Device}", "}{", "{"}) {
    const auto compiled = TopicPattern::compile(text);
    INFO(text);
    REQUIRE_FALSE(compiled.ok());
    CHECK(compiled.error().kind == ErrorKind::kInvalid);
    CHECK_THAT(compiled.error().message, ContainsSubstring("{client_id}"));
  }
}

TEST_CASE("a pattern that could never be a filter is refused when it is written",
          "[policy][topics]") {
  for (const auto* text :
       {"", "{device}#", "+{device}", "#/{device}", "a#", "$share/g/{device}", "a\tb"}) {
    INFO(text);
    CHECK_FALSE(TopicPattern::compile(text).ok());
  }
  CHECK_FALSE(TopicPattern::compile(std::string("a\0b", 3)).ok());
  CHECK_FALSE(TopicPattern::compile(std::string(65536, 'a')).ok());
}

TEST_CASE("a value that could widen a filter is never substituted", "[policy][topics]") {
  for (const auto& value :
       {std::string("+"), std::string("#"), std::string("a+"), std::string("$SYS"),
        std::string("a/b"), std::string("/"), std::string(""), std::string("a\nb"),
        std::string("a\0b", 3), std::string("\xC0\xAF")}) {
    INFO(value);
    auto values = values_of_dev1();
    values.common_name = value;
    CHECK_FALSE(bound("t/{cn}", values));
    CHECK(bound("t/{device}", values) == "t/dev1");
    values = values_of_dev1();
    values.organizational_unit = value;
    CHECK_FALSE(bound("t/{ou}/x", values));
    values = values_of_dev1();
    values.device = value;
    CHECK_FALSE(bound("t/{device}", values));
    values = values_of_dev1();
    values.client_id = value;
    CHECK_FALSE(bound("t/{client_id}", values));
  }
}

TEST_CASE("only a client id below its own device may hold a slash", "[policy][topics]") {
  auto values = values_of_dev1();

  values.client_id = "dev1/app";
  CHECK(bound("t/{client_id}", values) == "t/dev1/app");
  values.client_id = "dev1/app/2";
  CHECK(bound("t/{client_id}", values) == "t/dev1/app/2");
  for (const auto* id :
       {"dev10/app", "dev2/app", "/dev1", "dev1/", "dev1/+", "dev1/#", "dev1/$x", "x/dev1"}) {
    INFO(id);
    values.client_id = id;
    CHECK_FALSE(bound("t/{client_id}", values));
  }
  values.client_id = "/app";
  values.device = "";
  CHECK_FALSE(bound("t/{client_id}", values));
}

TEST_CASE("a filter that grew past the longest one MQTT can carry is dropped", "[policy][topics]") {
  const auto pattern = TopicPattern::compile(std::string(65530, 'a') + "/{device}").value();
  auto values = values_of_dev1();

  CHECK(pattern.bind(values));
  values.device = "dev12";
  CHECK_FALSE(pattern.bind(values));
}

TEST_CASE("the first rule that allows an action is the one named", "[policy][topics]") {
  const BoundTopics topics({rule({"a/#"}, {"a/#"}), rule({"b/#"}, {}), rule({"b/c"}, {"b/+"})},
                           values_of_dev1());

  CHECK(topics.allowing_rule({Access::kPublish, "a/x"}) == 0);
  CHECK(topics.allowing_rule({Access::kPublish, "b/c"}) == 1);
  CHECK(topics.allowing_rule({Access::kReceive, "b/c"}) == 2);
  CHECK(topics.allowing_rule({Access::kSubscribe, "b/+"}) == 2);
  CHECK(topics.allowing_rule({Access::kSubscribe, "$share/workers/b/+"}) == 2);
  CHECK_FALSE(topics.allowing_rule({Access::kSubscribe, "b/#"}));
  CHECK_FALSE(topics.allowing_rule({Access::kSubscribe, "#"}));
  CHECK_FALSE(topics.allowing_rule({Access::kSubscribe, "$share/b/+"}));
  CHECK_FALSE(topics.allowing_rule({Access::kSubscribe, "b/+x"}));
  CHECK_FALSE(topics.allowing_rule({Access::kSubscribe, ""}));
  CHECK_FALSE(topics.allowing_rule({Access::kPublish, "c"}));
  CHECK_FALSE(topics.allowing_rule({Access::kPublish, ""}));
}

TEST_CASE("a value that is absent drops its rule and leaves the others", "[policy][topics]") {
  auto values = values_of_dev1();
  values.organizational_unit = "";
  const BoundTopics topics({rule({"own/{device}"}, {"groups/{ou}/#"}), rule({"open/#"}, {})},
                           values);

  CHECK_FALSE(topics.allowing_rule({Access::kPublish, "own/dev1"}));
  CHECK_FALSE(topics.allowing_rule({Access::kSubscribe, "groups//#"}));
  CHECK(topics.allowing_rule({Access::kPublish, "open/x"}) == 1);
}

TEST_CASE("a name that the certificate has twice is no value for a placeholder",
          "[policy][topics]") {
  CertFacts facts;
  facts.common_names = {"dev1"};
  facts.organizational_units = {"meters", "pumps"};

  const auto values = topic_values(facts, "dev1", "dev1/app");

  CHECK(values.device == "dev1");
  CHECK(values.client_id == "dev1/app");
  CHECK(values.common_name == "dev1");
  CHECK(values.organizational_unit.empty());
  facts.common_names.clear();
  CHECK(topic_values(facts, "dev1", "dev1").common_name.empty());
}

TEST_CASE("a session without rules may do nothing", "[policy][topics]") {
  CHECK_FALSE(BoundTopics().allowing_rule({Access::kPublish, "a"}));
  CHECK_FALSE(BoundTopics({}, values_of_dev1()).allowing_rule({Access::kSubscribe, "#"}));
}

}  // namespace
}  // namespace leafgate::policy
