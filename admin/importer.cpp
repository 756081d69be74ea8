// SPDX-License-Identifier: Apache-2.0
#include "admin/importer.h"

#include <algorithm>
#include <utility>

#include "admin/text.h"
#include "config/config.h"
#include "policy/decision.h"
#include "policy/identity.h"

namespace leafgate::admin {
namespace {

namespace field = registry::field;

// Certificates may be older than Unix time; the registry's times are not.
std::string stored_time(policy::Time time) {
  return unix_seconds(std::max(time, policy::Time()));
}

// The record's facts, out of the certificate itself.
Result<registry::Fields> fields_of(const Target& target, const policy::Rules& rules) {
  const Leaf& leaf = *target.leaf;
  const std::optional<std::string> device = policy::device_id(leaf.facts, rules);
  if (!device) {
    return Error{ErrorKind::kInvalid, target.where + ": no device id: the rule `" +
                                          config::device_id_rule(rules) + "` finds none in `" +
                                          leaf.description.subject + "`"};
  }
  if (!target.device.empty() && target.device != *device) {
    return Error{ErrorKind::kInvalid, target.where + ": the list says device `" + target.device +
                                          "`, the certificate says `" + *device + "`"};
  }
  registry::Fields fields;
  fields.emplace_back(field::kDevice, *device);
  // RFC 5280 §4.1.2.2 forbids negative serials; who has one is registered without.
  if (leaf.description.serial.front() != '-') {
    fields.emplace_back(field::kSerial, leaf.description.serial);
  }
  if (registry::is_issuer_id(leaf.description.issuer_key_id)) {
    fields.emplace_back(field::kIssuer, leaf.description.issuer_key_id);
  }
  fields.emplace_back(field::kNotBefore, stored_time(leaf.description.not_before));
  fields.emplace_back(field::kNotAfter, stored_time(leaf.description.not_after));
  fields.emplace_back(field::kSpki, leaf.description.spki);
  return fields;
}

// The record's facts, as a list states them. The Lua script checks each once more.
Result<registry::Fields> fields_as_stated(const Target& target) {
  registry::Fields fields;
  if (!target.device.empty() && !policy::is_device_id(target.device)) {
    return Error{ErrorKind::kInvalid,
                 target.where + ": `" + target.device.substr(0, 100) + "` is not a device id"};
  }
  if (!target.device.empty()) fields.emplace_back(field::kDevice, target.device);
  for (const auto& [name, value] : target.stated) {
    if (name == field::kNote) continue;
    if (name != field::kNotBefore && name != field::kNotAfter) {
      fields.emplace_back(name, value);
      continue;
    }
    const Result<policy::Time> time = parse_time(value, system_now());
    if (!time) return with_context(target.where + ": " + name, time.error());
    fields.emplace_back(name, stored_time(time.value()));
  }
  return fields;
}

// What brokers will say of the certificate once it is active, when that is a no.
std::string warning_for(const Leaf& leaf, const policy::Rules& rules) {
  policy::RegistryView view;
  view.record = policy::CertRecord{policy::CertState::kActive, policy::kNever, policy::kNever};
  const std::string device = policy::device_id(leaf.facts, rules).value_or("");
  policy::Session session;
  session.device = device;
  session.client_id = session.device;
  const policy::Decision decision = policy::decide(&leaf.facts, view, session, rules, system_now());
  if (decision.allow) return {};
  return "brokers will refuse it even when it is active: " +
         std::string(policy::to_string(decision.reason));
}

}  // namespace

Result<Item> Importer::item(const Target& target) const {
  Result<registry::Fields> fields =
      target.leaf ? fields_of(target, rules_) : fields_as_stated(target);
  if (!fields) return fields.error();

  Item item{target.where, policy::to_hex(target.fingerprint), "", {}};
  item.change.op = registry::Op::kImport;
  item.change.key = access_.schema().cert(target.fingerprint);
  item.change.by = access_.settings().by;
  item.change.note = access_.settings().note;
  for (const auto& [name, value] : target.stated) {
    if (name == field::kNote) item.change.note = value;
  }
  item.change.fields = std::move(fields).value();
  item.change.fields.emplace_back(field::kState, state_);
  if (target.leaf) item.warning = warning_for(*target.leaf, rules_);
  return item;
}

}  // namespace leafgate::admin
