// SPDX-License-Identifier: Apache-2.0
// The fast topic functions against slow ones nobody could doubt, over every filter and every topic
// up to a small size.
#include <algorithm>
#include <bitset>
#include <string>
#include <vector>

#include "policy/topics.h"
#include "tests/catch.h"

namespace leafgate::policy {
namespace {

using Levels = std::vector<std::string>;

Levels split(const std::string& text) {
  Levels levels(1);
  for (const char c : text) {
    if (c == '/') {
      levels.emplace_back();
    } else {
      levels.back() += c;
    }
  }
  return levels;
}

// MQTT 5 §4.7.1, level by level from the left.
bool slow_levels_match(const Levels& filter, const Levels& topic, std::size_t at) {
  if (at == filter.size()) return at == topic.size();
  if (filter[at] == "#") return true;  // "the parent and any number of child levels"
  if (at == topic.size()) return false;
  if (filter[at] != "+" && filter[at] != topic[at]) return false;
  return slow_levels_match(filter, topic, at + 1);
}

bool slow_matches(const std::string& filter, const std::string& topic) {
  const bool wildcard_first = filter[0] == '+' || filter[0] == '#';
  if (topic[0] == '$' && wildcard_first) return false;
  return slow_levels_match(split(filter), split(topic), 0);
}

// MQTT 5 §4.7.1: every wildcard is a whole level, `#` the last one.
bool slow_is_filter(const std::string& text) {
  const auto levels = split(text);
  for (std::size_t i = 0; i < levels.size(); ++i) {
    const bool has_plus = levels[i].find('+') != std::string::npos;
    const bool has_hash = levels[i].find('#') != std::string::npos;
    if (has_plus && levels[i] != "+") return false;
    if (has_hash && (levels[i] != "#" || i + 1 != levels.size())) return false;
  }
  return !text.empty();
}

// Every text of 1..size characters of `alphabet`.
std::vector<std::string> all_texts(const std::string& alphabet, std::size_t size) {
  std::vector<std::string> texts;
  std::vector<std::string> layer = {""};
  for (std::size_t length = 1; length <= size; ++length) {
    std::vector<std::string> longer;
    for (const auto& text : layer) {
      for (const char c : alphabet)
        longer.push_back(text + c);
    }
    texts.insert(texts.end(), longer.begin(), longer.end());
    layer = std::move(longer);
  }
  return texts;
}

std::vector<std::string> all_filters(std::size_t size) {
  auto texts = all_texts("ab+#/$", size);
  texts.erase(std::remove_if(texts.begin(), texts.end(),
                             [](const auto& text) { return !slow_is_filter(text); }),
              texts.end());
  return texts;
}

TEST_CASE("a filter is well-formed exactly when the standard says so", "[policy][topics]") {
  std::size_t differences = 0;
  for (const auto& text : all_texts("ab+#/$", 6)) {
    if (is_topic_filter(text) != slow_is_filter(text)) {
      ++differences;
      UNSCOPED_INFO(text);
    }
  }
  CHECK(differences == 0);
}

TEST_CASE("matches() agrees with the slow matcher on every small filter and topic",
          "[policy][topics]") {
  const auto filters = all_filters(4);
  const auto topics = all_texts("ab/$", 5);
  REQUIRE(filters.size() > 400);
  REQUIRE(topics.size() > 1000);

  std::size_t differences = 0;
  std::size_t matched = 0;
  for (const auto& filter : filters) {
    for (const auto& topic : topics) {
      const bool expected = slow_matches(filter, topic);
      if (expected) ++matched;
      if (matches(filter, topic) != expected && ++differences < 20) {
        UNSCOPED_INFO(filter << " against " << topic);
      }
    }
  }
  CHECK(differences == 0);
  CHECK(matched > 1000);
}

TEST_CASE("a session's rules agree with the slow matcher as well", "[policy][topics]") {
  const auto topics = all_texts("ab/$", 5);
  std::size_t differences = 0;
  for (const auto& filter : all_filters(4)) {
    TopicRule rule;
    rule.publish.push_back(TopicPattern::compile(filter).value());
    const BoundTopics bound({rule}, {});
    for (const auto& topic : topics) {
      const bool allowed = bound.allowing_rule({Access::kPublish, topic}).has_value();
      if (allowed != slow_matches(filter, topic) && ++differences < 20) {
        UNSCOPED_INFO(filter << " against " << topic);
      }
    }
  }
  CHECK(differences == 0);
}

TEST_CASE("contains() is exactly: every topic of the inner filter is one of the outer filter",
          "[policy][topics]") {
  // Topics one character longer than the longest filter are enough to tell any two filters apart.
  constexpr std::size_t kFilterSize = 5;
  const auto filters = all_filters(kFilterSize);
  const auto topics = all_texts("ab/$", kFilterSize + 1);
  constexpr std::size_t kTopicsMax = 6000;
  REQUIRE(topics.size() <= kTopicsMax);
  using TopicSet = std::bitset<kTopicsMax>;
  std::vector<TopicSet> matched(filters.size());
  for (std::size_t f = 0; f < filters.size(); ++f) {
    for (std::size_t t = 0; t < topics.size(); ++t)
      matched[f][t] = slow_matches(filters[f], topics[t]);
    REQUIRE(matched[f].any());
  }

  std::size_t differences = 0;
  std::size_t contained = 0;
  for (std::size_t outer = 0; outer < filters.size(); ++outer) {
    for (std::size_t inner = 0; inner < filters.size(); ++inner) {
      const bool expected = (matched[inner] & ~matched[outer]).none();
      if (expected) ++contained;
      if (contains(filters[outer], filters[inner]) != expected && ++differences < 20) {
        UNSCOPED_INFO(filters[inner] << " in " << filters[outer]);
      }
    }
  }
  CHECK(differences == 0);
  CHECK(contained > filters.size());
}

}  // namespace
}  // namespace leafgate::policy
