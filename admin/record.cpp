// SPDX-License-Identifier: Apache-2.0
#include "admin/record.h"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>

namespace leafgate::admin {
namespace {

namespace field = registry::field;

constexpr std::size_t kIndexPage = 1000;

struct FingerprintHash {
  std::size_t operator()(const policy::Fingerprint& fingerprint) const noexcept {
    return std::hash<std::string_view>()(std::string_view(
        reinterpret_cast<const char*>(fingerprint.bytes.data()), fingerprint.bytes.size()));
  }
};

Record from_reply(const policy::Fingerprint& fingerprint, const registry::Reply& reply) {
  Record record;
  record.fingerprint = fingerprint;
  for (std::size_t i = 0; i + 1 < reply.size(); i += 2) {
    const auto name = reply[i].text();
    const auto value = reply[i + 1].text();
    if (name && value) record.fields.emplace(*name, *value);
  }
  const auto get = [&record](std::string_view name) -> std::optional<std::string_view> {
    const auto found = record.fields.find(name);
    if (found == record.fields.end()) return std::nullopt;
    return found->second;
  };
  record.parsed =
      registry::parse_record(get(field::kState), get(field::kRetireAt), get(field::kRevokedAt));
  return record;
}

bool is_wrong_type(const registry::Reply& reply) {
  return reply.is_error() && reply.text().value_or("").substr(0, 9) == "WRONGTYPE";
}

Json text_or_null(const Record& record, std::string_view name) {
  const auto found = record.fields.find(name);
  if (found == record.fields.end()) return nullptr;
  return found->second;
}

Json number_or_null(const Record& record, std::string_view name) {
  const std::string_view text = record.field(name);
  std::uint64_t value = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || failure != std::errc() || end != text.data() + text.size()) return nullptr;
  return value;
}

}  // namespace

std::string_view Record::field(std::string_view name) const {
  const auto found = fields.find(name);
  return found == fields.end() ? std::string_view() : std::string_view(found->second);
}

std::optional<policy::Time> Record::time(std::string_view name) const {
  return registry::parse_unix_seconds(field(name));
}

Result<std::vector<std::optional<Record>>> read_records(
    Access& access, std::span<const policy::Fingerprint> fingerprints) {
  std::vector<registry::Command> commands;
  commands.reserve(fingerprints.size());
  for (const policy::Fingerprint& fingerprint : fingerprints) {
    commands.push_back({"HGETALL", access.schema().cert(fingerprint)});
  }
  const Result<std::vector<registry::Reply>> replies = access.client().pipeline(commands);
  if (!replies) return replies.error();

  std::vector<std::optional<Record>> records;
  records.reserve(fingerprints.size());
  for (std::size_t i = 0; i < fingerprints.size(); ++i) {
    const registry::Reply& reply = replies.value()[i];
    if (reply.is_error() && !is_wrong_type(reply)) return registry::to_error(reply);
    if (!reply.is_error() && reply.size() == 0) {
      records.emplace_back(std::nullopt);
    } else {
      records.emplace_back(from_reply(fingerprints[i], reply));
    }
  }
  return records;
}

Result<void> for_each_certificate(
    Access& access, const std::function<bool(std::span<const policy::Fingerprint>)>& batch) {
  // SCAN may name a key twice while Redis resizes its table.
  std::unordered_set<policy::Fingerprint, FingerprintHash> seen;
  return access.scan(access.schema().cert_prefix() + "*",
                     [&](const std::vector<std::string>& keys) {
                       std::vector<policy::Fingerprint> fresh;
                       for (const std::string& key : keys) {
                         const registry::KeyName name = registry::parse_key(access.schema(), key);
                         if (name.kind != registry::KeyName::Kind::kCert) continue;
                         if (seen.insert(name.fingerprint).second)
                           fresh.push_back(name.fingerprint);
                       }
                       return fresh.empty() || batch(fresh);
                     });
}

Result<std::vector<policy::Fingerprint>> certificates_of(Access& access, std::string_view device) {
  // Members are `<device>/<fingerprint>` and ids hold no `/`; `0` is the byte behind it.
  const std::string end = "(" + std::string(device) + "0";
  std::string begin = "[" + std::string(device) + "/";
  std::vector<policy::Fingerprint> out;
  for (;;) {
    const Result<registry::Reply> page =
        access.ask({"ZRANGEBYLEX", access.schema().index_device(), begin, end, "LIMIT", "0",
                    std::to_string(kIndexPage)});
    if (!page) return page.error();
    for (std::size_t i = 0; i < page.value().size(); ++i) {
      const std::string member(page.value()[i].text().value_or(""));
      const std::size_t slash = member.rfind('/');
      if (slash == std::string::npos) continue;
      const auto fingerprint =
          policy::parse_stored_fingerprint(std::string_view(member).substr(slash + 1));
      if (fingerprint) out.push_back(*fingerprint);
      begin = "(" + member;
    }
    if (page.value().size() < kIndexPage) return out;
  }
}

Json to_json(const Record& record) {
  Json out;
  out["fingerprint"] = policy::to_hex(record.fingerprint);
  out["state"] = policy::to_string(record.parsed.state);
  out["stored_state"] = text_or_null(record, field::kState);
  for (const std::string_view name : {field::kDevice, field::kSerial, field::kIssuer}) {
    out[std::string(name)] = text_or_null(record, name);
  }
  for (const std::string_view name : {field::kNotBefore, field::kNotAfter}) {
    out[std::string(name)] = json_time(record.time(name));
  }
  out[std::string(field::kSpki)] = text_or_null(record, field::kSpki);
  for (const std::string_view name : {field::kRetireAt, field::kRevokedAt}) {
    out[std::string(name)] = json_time(record.time(name));
  }
  for (const std::string_view name : {field::kReason, field::kNote}) {
    out[std::string(name)] = text_or_null(record, name);
  }
  out[std::string(field::kVersion)] = number_or_null(record, field::kVersion);
  out[std::string(field::kUpdatedAt)] = json_time(record.time(field::kUpdatedAt));
  out[std::string(field::kUpdatedBy)] = text_or_null(record, field::kUpdatedBy);
  return out;
}

}  // namespace leafgate::admin
