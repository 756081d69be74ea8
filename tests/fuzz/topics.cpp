// SPDX-License-Identifier: Apache-2.0
// Filters, topics, patterns and the values put into them, one a line. What contains() says must
// agree with matches(), and what bind() gives must be a filter no wider than its pattern.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "policy/topics.h"

namespace {

std::array<std::string_view, 4> lines(std::string_view text) {
  std::array<std::string_view, 4> found;
  for (auto& line : found) {
    const auto end = text.find('\n');
    line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
  return found;
}

auto wildcards(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return c == '+' || c == '#'; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace leafgate::policy;
  const auto [outer, inner, topic, value] = lines({reinterpret_cast<const char*>(data), size});
  if (is_topic_filter(outer) && is_topic_filter(inner)) {
    const bool both = contains(outer, inner) && matches(inner, topic);
    if (both && !matches(outer, topic)) std::abort();
    if (!contains(inner, inner)) std::abort();
  }
  const auto unshared = strip_share(inner);
  if (unshared && unshared->size() > inner.size()) std::abort();
  const auto pattern = TopicPattern::compile(outer);
  if (!pattern) return 0;
  const auto filter = pattern.value().bind(
      {.device = value, .client_id = topic, .common_name = value, .organizational_unit = value});
  if (filter && (!is_topic_filter(*filter) || wildcards(*filter) != wildcards(outer))) std::abort();
  return 0;
}
