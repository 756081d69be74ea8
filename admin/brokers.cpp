// SPDX-License-Identifier: Apache-2.0
#include "admin/brokers.h"

#include <algorithm>
#include <charconv>
#include <set>

namespace leafgate::admin {

std::string_view Broker::field(std::string_view wanted) const {
  for (const auto& [key, value] : fields) {
    if (key == wanted) return value;
  }
  return {};
}

std::uint64_t Broker::number(std::string_view wanted) const {
  const std::string_view text = field(wanted);
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  return failure == std::errc() && end == text.data() + text.size() ? value : 0;
}

std::string_view Broker::held_id() const {
  const std::string_view id = field("held_id");
  return is_data_set_id(id) ? id : std::string_view();
}

registry::Fields fields_of(const registry::Reply& reply) {
  registry::Fields fields;
  for (std::size_t i = 0; i + 1 < reply.size(); i += 2) {
    fields.emplace_back(reply.text_at(i).value_or(""), reply.text_at(i + 1).value_or(""));
  }
  return fields;
}

Result<std::vector<Broker>> read_brokers(Access& access) {
  const std::string prefix = access.schema().broker("");
  std::set<std::string> names;
  const Result<void> scanned = access.scan(prefix + "*", [&](const std::vector<std::string>& keys) {
    for (const std::string& key : keys) {
      const std::string name = key.substr(prefix.size());
      if (registry::is_broker_name(name)) names.insert(name);
    }
    return true;
  });
  if (!scanned) return scanned.error();
  std::vector<Broker> brokers;
  for (const std::string& name : names) {
    const Result<registry::Reply> reply = access.ask({"HGETALL", access.schema().broker(name)});
    if (!reply) return reply.error();
    brokers.push_back({name, fields_of(reply.value())});
  }
  return brokers;
}

std::vector<std::string> still_reading(const std::vector<Broker>& brokers) {
  std::vector<std::string> names;
  for (const Broker& broker : brokers) {
    const std::string_view sync = broker.field("sync");
    if (sync == "arm" || sync == "syncing") names.push_back(broker.name);
  }
  return names;
}

bool is_data_set_id(std::string_view text) {
  constexpr std::size_t kDigits = 32;
  return text.size() == kDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace leafgate::admin
