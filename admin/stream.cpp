// SPDX-License-Identifier: Apache-2.0
#include "admin/stream.h"

#include <charconv>
#include <cstdint>
#include <nlohmann/json.hpp>

#include "admin/text.h"
#include "base/log.h"

namespace leafgate::admin {
namespace {

constexpr std::size_t kPage = 1000;

}  // namespace

std::string_view StreamEntry::field(std::string_view name) const {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return {};
}

policy::Time StreamEntry::time() const {
  std::int64_t ms = 0;
  std::from_chars(id.data(), id.data() + id.size(), ms);
  return policy::Time(std::chrono::milliseconds(ms));
}

std::optional<StreamEntry> parse_entry(const registry::Reply& reply) {
  if (reply.size() != 2 || !reply[0].text() || !reply[1].is_array()) return std::nullopt;
  StreamEntry entry{std::string(*reply[0].text()), {}};
  const registry::Reply fields = reply[1];
  for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
    entry.fields.emplace_back(fields[i].text().value_or(""), fields[i + 1].text().value_or(""));
  }
  return entry;
}

Result<void> for_each_newest(Access& access, const std::string& key, std::size_t most,
                             const std::function<bool(const StreamEntry&)>& entry) {
  std::string newest = "+";
  for (std::size_t seen = 0; seen < most;) {
    const Result<registry::Reply> page =
        access.ask({"XREVRANGE", key, newest, "-", "COUNT", std::to_string(kPage)});
    if (!page) return page.error();
    for (std::size_t i = 0; i < page.value().size() && seen < most; ++i, ++seen) {
      const std::optional<StreamEntry> parsed = parse_entry(page.value()[i]);
      if (!parsed)
        return Error{ErrorKind::kInternal, "redis answered XREVRANGE in a form nobody knows"};
      if (!entry(*parsed)) return {};
      newest = "(" + parsed->id;
    }
    if (page.value().size() < kPage) break;
  }
  return {};
}

Json to_json(std::string_view stream, const StreamEntry& entry) {
  Json out = {{"stream", stream}, {"id", entry.id}, {"time", format_time(entry.time())}};
  // Names are untrusted as well: ours win.
  for (const auto& [name, value] : entry.fields) {
    if (!out.contains(name)) out[name] = value;
  }
  return out;
}

std::string to_words(const StreamEntry& entry) {
  std::string out;
  for (const auto& [name, value] : entry.fields) {
    if (value.empty()) continue;
    if (!out.empty()) out += ' ';
    out += printable(name) + "=" + log::escape(value);
  }
  return out;
}

}  // namespace leafgate::admin
