// SPDX-License-Identifier: Apache-2.0
#include "admin/state.h"

#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "admin/access.h"
#include "admin/change.h"
#include "admin/output.h"
#include "admin/record.h"
#include "admin/targets.h"
#include "admin/text.h"
#include "certs/facts.h"
#include "policy/identity.h"

namespace leafgate::admin {
namespace {

using registry::Op;

std::string done_word(Op op) {
  switch (op) {
    case Op::kImport:
      return "imported";
    case Op::kActivate:
      return "activated";
    case Op::kDeactivate:
      return "deactivated";
    case Op::kRetire:
      return "retired";
    case Op::kRevoke:
      return "revoked";
    case Op::kDelete:
      return "deleted";
    case Op::kBlock:
      return "blocked";
    case Op::kUnblock:
      return "unblocked";
    case Op::kRestore:
      return "restored";
  }
  return "changed";
}

// The change that `options` asks for, but for its key.
Result<registry::Change> change_template(const Settings& settings, const ChangeOptions& options,
                                         Op op) {
  registry::Change change;
  change.op = op;
  change.by = settings.by;
  change.note = settings.note;
  change.expected_version = options.if_version;
  if (options.if_version && (!options.which.from.empty() || !options.which.devices.empty() ||
                             options.which.selectors.size() != 1)) {
    return Error{ErrorKind::kInvalid, "--if-version: give exactly one fingerprint or file with it"};
  }
  if (!options.retire_at.empty()) {
    const Result<policy::Time> at = parse_time(options.retire_at, system_now());
    if (!at) return with_context("--at", at.error());
    change.fields.emplace_back(registry::field::kRetireAt, unix_seconds(at.value()));
  }
  if (!options.reason.empty()) change.fields.emplace_back(registry::field::kReason, options.reason);
  return change;
}

// A device or issuer block, but for its key.
Result<registry::Change> block_template(const Settings& settings, const BlockOptions& options,
                                        Op op) {
  registry::Change change;
  change.op = op;
  change.by = settings.by;
  change.note = settings.note;
  if (!options.before.empty()) {
    const Result<policy::Time> before = parse_time(options.before, system_now());
    if (!before) return with_context("--before", before.error());
    change.fields.emplace_back(registry::field::kBefore, unix_seconds(before.value()));
  }
  return change;
}

// The issuer ids that `text` stands for. A CA certificate stands for what it issues, a device
// certificate for what issued it: the key id, and the name, because a stolen CA key can leave the
// key id out.
Result<std::vector<std::string>> issuer_ids(const std::string& text) {
  if (registry::is_issuer_id(text)) return std::vector<std::string>{text};
  const Result<Selector> selector = parse_selector(text);
  if (!selector || selector.value().kind != Selector::Kind::kFile) {
    return Error{ErrorKind::kInvalid,
                 "`" + text.substr(0, 100) +
                     "` is neither an issuer id (a key id in lower-case hex, or `name-` and 64 "
                     "hex digits) nor a certificate file"};
  }
  const Result<std::vector<certs::Certificate>> loaded = certs::load_certificates(text);
  if (!loaded) return loaded.error();
  const x509_st& first = *loaded.value().front();
  const Result<certs::Description> description = certs::describe(first);
  if (!description) return with_context("`" + text + "`", description.error());

  const certs::Description& d = description.value();
  const std::string key_id = d.is_ca ? d.subject_key_id : d.issuer_key_id;
  std::vector<std::string> ids;
  if (registry::is_issuer_id(key_id)) ids.push_back(key_id);
  ids.push_back(d.is_ca ? d.subject_name_id
                        : certs::read_facts(first, certs::SanWanted::kNone).issuer_name_id);
  return ids;
}

}  // namespace

Exit cert_change(const CommonOptions& common, const ChangeOptions& options, Op op) {
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  const Result<registry::Change> wanted = change_template(access.value().settings(), options, op);
  if (!wanted) return fail(wanted.error(), common.json);
  Result<Targets> targets = Targets::certificates(access.value(), options.which);
  if (!targets) return fail(targets.error(), common.json);

  ChangeRun run(access.value(), {"fingerprint", done_word(op)}, options.which, common.json);
  return run.run([&]() -> std::optional<Result<Item>> {
    std::optional<Result<Target>> target = targets.value().next();
    if (!target) return std::nullopt;
    if (!*target) return target->error();
    const policy::Fingerprint& fingerprint = target->value().fingerprint;
    Item item{target->value().where, policy::to_hex(fingerprint), "", wanted.value()};
    item.change.key = access.value().schema().cert(fingerprint);
    return item;
  });
}

Exit device_change(const CommonOptions& common, const BlockOptions& options, Op op) {
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  const Result<registry::Change> wanted = block_template(access.value().settings(), options, op);
  if (!wanted) return fail(wanted.error(), common.json);
  Result<Targets> targets = Targets::device_ids(options.which);
  if (!targets) return fail(targets.error(), common.json);

  ChangeRun run(access.value(), {"device", done_word(op)}, options.which, common.json);
  return run.run([&]() -> std::optional<Result<Item>> {
    std::optional<Result<Target>> target = targets.value().next();
    if (!target) return std::nullopt;
    if (!*target) return target->error();
    const std::string& device = target->value().device;
    if (!policy::is_device_id(device)) {
      return Error{
          ErrorKind::kInvalid,
          target->value().where + ": `" + device.substr(0, 100) +
              "` is not a device id: 1 to 64 bytes without + # / $ and control characters"};
    }
    Item item{target->value().where, device, "", wanted.value()};
    item.change.key = access.value().schema().block_device(device);
    return item;
  });
}

Exit issuer_change(const CommonOptions& common, const BlockOptions& options, Op op) {
  // Named before anything is changed, as with certificates.
  std::vector<std::pair<std::string, std::string>> ids;
  for (const std::string& text : options.which.selectors) {
    const Result<std::vector<std::string>> found = issuer_ids(text);
    if (!found) return fail(found.error(), common.json);
    for (const std::string& id : found.value())
      ids.emplace_back(text, id);
  }
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  const Result<registry::Change> wanted = block_template(access.value().settings(), options, op);
  if (!wanted) return fail(wanted.error(), common.json);

  ChangeRun run(access.value(), {"issuer", done_word(op)}, options.which, common.json);
  std::size_t at = 0;
  return run.run([&]() -> std::optional<Result<Item>> {
    if (at == ids.size()) return std::nullopt;
    const auto& [where, id] = ids[at++];
    Item item{where, id, "", wanted.value()};
    item.change.key = access.value().schema().block_issuer(id);
    return item;
  });
}

Exit registry_init(const CommonOptions& common, const RegistryInitOptions& options) {
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  std::string rule = options.device_id_rule;
  const std::optional<config::Config>& config = access.value().settings().config;
  if (rule.empty()) rule = config ? config::device_id_rule(config->rules) : "cn";
  const Result<policy::Rules> checked = rules_from_text(rule);
  if (!checked) return fail(with_context("--device-id", checked.error()), common.json);

  const Result<std::string> id = access.value()
                                     .writer(options.dry_run)
                                     .init(rule, options.change_rule, access.value().settings().by);
  if (!id) return fail(id.error(), common.json);
  if (common.json) {
    print(Json{{"dry_run", options.dry_run},
               {"prefix", access.value().schema().prefix()},
               {"id", id.value()},
               {"device_id", rule}});
  } else {
    std::cout << (options.dry_run ? "dry run, nothing written: " : "") << "registry `"
              << access.value().schema().prefix() << "` at "
              << access.value().settings().endpoint.text() << ": id " << printable(id.value())
              << ", device-id rule `" << printable(rule) << "`\n";
  }
  return Exit::kOk;
}

}  // namespace leafgate::admin
