// SPDX-License-Identifier: Apache-2.0
// `leafgate cert show` and `leafgate device show`.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "admin/access.h"
#include "admin/inspect.h"
#include "admin/output.h"
#include "admin/record.h"
#include "admin/stream.h"
#include "admin/targets.h"
#include "admin/text.h"
#include "admin/verdict.h"
#include "base/log.h"
#include "policy/identity.h"

namespace leafgate::admin {
namespace {

namespace field = registry::field;

struct Shown {
  policy::Fingerprint fingerprint;
  std::optional<Record> record;
  std::shared_ptr<const Leaf> leaf;
  policy::Decision decision;
  std::vector<StreamEntry> history;  // newest first
};

// The latest log entries that are about `key`.
Result<std::vector<StreamEntry>> history_of(Access& access, const std::string& key,
                                            std::size_t most) {
  std::vector<StreamEntry> out;
  if (most == 0) return out;
  const Result<void> read = for_each_newest(access, access.schema().log(), kStreamEntriesMax,
                                            [&](const StreamEntry& entry) {
                                              if (entry.field("key") == key) out.push_back(entry);
                                              return out.size() < most;
                                            });
  if (!read) return read.error();
  return out;
}

Result<Shown> look_up(Access& access, const Target& target, const policy::Rules& rules,
                      std::size_t history) {
  Shown shown;
  shown.fingerprint = target.fingerprint;
  shown.leaf = target.leaf;
  Result<std::vector<std::optional<Record>>> records =
      read_records(access, {&target.fingerprint, 1});
  if (!records) return records.error();
  shown.record = std::move(records.value().front());

  Presented presented = presented_record(target.fingerprint, shown.record, rules);
  if (target.leaf) {
    presented.origin = Presented::Origin::kCertificate;
    presented.facts = target.leaf->facts;
    presented.device = policy::device_id(target.leaf->facts, rules).value_or("");
  }
  const Result<policy::RegistryView> view = read_view(access, presented);
  if (!view) return view.error();
  shown.decision = judge(presented, view.value(), Question{}, rules, system_now());

  Result<std::vector<StreamEntry>> found =
      history_of(access, access.schema().cert(target.fingerprint), history);
  if (!found) return found.error();
  shown.history = std::move(found).value();
  return shown;
}

Json to_json(const Shown& shown) {
  Json out = shown.record
                 ? to_json(*shown.record)
                 : Json{{"fingerprint", policy::to_hex(shown.fingerprint)}, {"state", nullptr}};
  out["registered"] = shown.record.has_value();
  if (shown.leaf) {
    const certs::Description& d = shown.leaf->description;
    out["certificate"] = {{"subject", d.subject},
                          {"issuer", d.issuer},
                          {"serial", d.serial},
                          {"not_before", json_time(d.not_before)},
                          {"not_after", json_time(d.not_after)},
                          {"key", d.key},
                          {"signature", d.signature},
                          {"san", d.san},
                          {"key_usage", d.key_usage},
                          {"spki", d.spki}};
  }
  out["verdict"] = {{"allow", shown.decision.allow},
                    {"reason", policy::to_string(shown.decision.reason)}};
  out["history"] = Json::array();
  for (const StreamEntry& entry : shown.history)
    out["history"].push_back(to_json("log", entry));
  return out;
}

void row(std::string_view name, const std::string& value) {
  std::cout << "  " << name << std::string(14 - name.size(), ' ') << value << '\n';
}

void text_row(const Record& record, std::string_view name, std::string_view label) {
  const std::string_view value = record.field(name);
  if (!value.empty()) row(label, log::escape(value));
}

void time_row(const Record& record, std::string_view name, std::string_view label) {
  const std::string_view value = record.field(name);
  if (value.empty()) return;
  const auto time = record.time(name);
  row(label, time ? format_time(*time) : log::escape(value) + " (not a time)");
}

void print_record(const Record& record) {
  std::string state(policy::to_string(record.parsed.state));
  const std::string_view stored = record.field(field::kState);
  if (stored != state)
    state += stored.empty() ? " (no state stored)" : " (stored: " + log::escape(stored) + ")";
  row("state", state);
  text_row(record, field::kDevice, "device");
  text_row(record, field::kSerial, "serial");
  text_row(record, field::kIssuer, "issuer key");
  time_row(record, field::kNotBefore, "not before");
  time_row(record, field::kNotAfter, "not after");
  text_row(record, field::kSpki, "public key");
  time_row(record, field::kRetireAt, "retire at");
  time_row(record, field::kRevokedAt, "revoked at");
  text_row(record, field::kReason, "reason");
  text_row(record, field::kNote, "note");
  text_row(record, field::kVersion, "version");
  time_row(record, field::kUpdatedAt, "updated at");
  text_row(record, field::kUpdatedBy, "updated by");
}

void print_words(const Shown& shown) {
  std::cout << policy::to_hex(shown.fingerprint) << '\n';
  if (shown.record) {
    print_record(*shown.record);
  } else {
    row("state", "not registered");
  }
  if (shown.leaf) {
    row("subject", log::escape(shown.leaf->description.subject));
    row("issuer", log::escape(shown.leaf->description.issuer));
    row("key", printable(shown.leaf->description.key));
    row("valid", format_time(shown.leaf->description.not_before) + " to " +
                     format_time(shown.leaf->description.not_after));
  }
  row("brokers say", std::string(shown.decision.allow ? "admitted" : "refused") + ": " +
                         std::string(policy::to_string(shown.decision.reason)));
  for (const StreamEntry& entry : shown.history) {
    row(&entry == &shown.history.front() ? "history" : "",
        format_time(entry.time()) + "  " +
            (entry.field("from").empty() ? "" : printable(entry.field("from")) + " -> ") +
            (entry.field("to").empty() ? "deleted" : printable(entry.field("to"))) + "  by " +
            log::escape(entry.field("by")) +
            (entry.field("note").empty() ? "" : "  " + log::escape(entry.field("note"))));
  }
}

Result<std::vector<Shown>> look_up_all(Access& access, Targets& targets, std::size_t history) {
  const Result<policy::Rules> rules = access.rules();
  if (!rules) return rules.error();
  std::vector<Shown> all;
  while (const std::optional<Result<Target>> target = targets.next()) {
    if (!*target) return target->error();
    Result<Shown> shown = look_up(access, target->value(), rules.value(), history);
    if (!shown) return shown.error();
    all.push_back(std::move(shown).value());
  }
  return all;
}

// What one device's `block:` key says; nullopt when there is none.
Result<std::optional<StreamEntry>> read_block(Access& access, const std::string& device) {
  const Result<registry::Reply> reply =
      access.ask({"HGETALL", access.schema().block_device(device)});
  if (!reply) return reply.error();
  if (reply.value().size() == 0) return std::optional<StreamEntry>();
  StreamEntry block;
  for (std::size_t i = 0; i + 1 < reply.value().size(); i += 2) {
    block.fields.emplace_back(reply.value().text_at(i).value_or(""),
                              reply.value().text_at(i + 1).value_or(""));
  }
  return std::optional<StreamEntry>(std::move(block));
}

struct ShownDevice {
  std::string device;
  std::optional<StreamEntry> block;
  std::vector<Shown> certificates;

  bool known() const { return block.has_value() || !certificates.empty(); }
};

Result<ShownDevice> look_up_device(Access& access, const std::string& device, std::size_t history) {
  if (!policy::is_device_id(device)) {
    return Error{ErrorKind::kInvalid, "`" + device.substr(0, 100) + "` is not a device id"};
  }
  ShownDevice shown{device, {}, {}};
  Result<std::optional<StreamEntry>> block = read_block(access, device);
  if (!block) return block.error();
  shown.block = std::move(block).value();

  const Result<std::vector<policy::Fingerprint>> found = certificates_of(access, device);
  if (!found) return found.error();
  if (found.value().empty()) return shown;
  SelectorOptions which;
  which.devices = {device};
  Result<Targets> targets = Targets::certificates(access, which);
  if (!targets) return targets.error();
  Result<std::vector<Shown>> certificates = look_up_all(access, targets.value(), history);
  if (!certificates) return certificates.error();
  shown.certificates = std::move(certificates).value();
  return shown;
}

Json to_json(const ShownDevice& shown) {
  Json block;
  if (shown.block) {
    for (const auto& [name, value] : shown.block->fields)
      block[name] = value;
    block["before"] = json_time(registry::parse_block(shown.block->field(field::kBefore)).before);
  }
  Json certificates = Json::array();
  for (const Shown& certificate : shown.certificates)
    certificates.push_back(to_json(certificate));
  return Json{{"device", shown.device},
              {"block", std::move(block)},
              {"certificates", std::move(certificates)}};
}

void print_words(const ShownDevice& shown) {
  std::cout << "device " << log::escape(shown.device) << '\n';
  row("block", shown.block ? "yes  " + to_words(*shown.block) : "none");
  for (const Shown& certificate : shown.certificates)
    print_words(certificate);
}

}  // namespace

Exit cert_show(const CommonOptions& common, const ShowOptions& options) {
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  SelectorOptions which;
  which.selectors = options.selectors;
  which.devices = options.devices;
  Result<Targets> targets = Targets::certificates(access.value(), which);
  if (!targets) return fail(targets.error(), common.json);
  const Result<std::vector<Shown>> all =
      look_up_all(access.value(), targets.value(), options.history);
  if (!all) return fail(all.error(), common.json);

  Json list = Json::array();
  for (const Shown& shown : all.value()) {
    if (common.json) {
      list.push_back(to_json(shown));
    } else {
      print_words(shown);
    }
  }
  if (common.json) print(Json{{"certificates", std::move(list)}});
  const bool all_there = std::all_of(all.value().begin(), all.value().end(),
                                     [](const Shown& shown) { return shown.record.has_value(); });
  return all_there ? Exit::kOk : Exit::kNotFound;
}

Exit device_show(const CommonOptions& common, const ShowOptions& options) {
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  Json list = Json::array();
  bool all_known = true;
  for (const std::string& device : options.devices) {
    const Result<ShownDevice> shown = look_up_device(access.value(), device, options.history);
    if (!shown) return fail(shown.error(), common.json);
    all_known = all_known && shown.value().known();
    if (common.json) {
      list.push_back(to_json(shown.value()));
    } else {
      print_words(shown.value());
    }
  }
  if (common.json) print(Json{{"devices", std::move(list)}});
  return all_known ? Exit::kOk : Exit::kNotFound;
}

}  // namespace leafgate::admin
