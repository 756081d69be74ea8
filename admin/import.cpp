// SPDX-License-Identifier: Apache-2.0
// `leafgate cert import`: certificates from files, lists and bundles, or from what brokers saw.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>
#include <unordered_set>
#include <utility>

#include "admin/access.h"
#include "admin/change.h"
#include "admin/importer.h"
#include "admin/output.h"
#include "admin/record.h"
#include "admin/state.h"
#include "admin/stream.h"
#include "admin/targets.h"
#include "admin/text.h"
#include "base/log.h"

namespace leafgate::admin {
namespace {

namespace field = registry::field;

// `unknown` events shown or adopted at once.
constexpr std::size_t kAdoptMax = 1000;

void add_if_stated(registry::Fields& fields, std::string_view name, const std::string& value) {
  if (!value.empty()) fields.emplace_back(name, value);
}

Target target_of(const StreamEntry& event, const policy::Fingerprint& fingerprint) {
  Target target;
  target.where = "event " + event.id;
  target.fingerprint = fingerprint;
  target.device = std::string(event.field(field::kDevice));
  for (const std::string_view name :
       {field::kSerial, field::kIssuer, field::kNotBefore, field::kNotAfter, field::kSpki}) {
    add_if_stated(target.stated, name, std::string(event.field(name)));
  }
  return target;
}

// The latest `unknown` event of each certificate that has no record yet, newest first.
Result<std::vector<Target>> unknown_certificates(Access& access) {
  std::vector<Target> targets;
  std::vector<policy::Fingerprint> fingerprints;
  std::unordered_set<std::string> seen;
  const Result<void> read = for_each_newest(
      access, access.schema().events(), kStreamEntriesMax, [&](const StreamEntry& event) {
        if (event.field("kind") != "unknown") return true;
        const auto fingerprint = policy::parse_stored_fingerprint(event.field("fingerprint"));
        if (!fingerprint || !seen.insert(policy::to_hex(*fingerprint)).second) return true;
        targets.push_back(target_of(event, *fingerprint));
        fingerprints.push_back(*fingerprint);
        return targets.size() < kAdoptMax;
      });
  if (!read) return read.error();

  const Result<std::vector<std::optional<Record>>> records = read_records(access, fingerprints);
  if (!records) return records.error();
  std::vector<Target> unregistered;
  for (std::size_t i = 0; i < targets.size(); ++i) {
    if (!records.value()[i]) unregistered.push_back(std::move(targets[i]));
  }
  return unregistered;
}

// Only those that were named; all when none was.
Result<std::vector<Target>> chosen(std::vector<Target> found,
                                   const std::vector<std::string>& selectors) {
  if (selectors.empty()) return found;
  std::vector<Target> out;
  for (const std::string& text : selectors) {
    const auto fingerprint = policy::parse_fingerprint(text);
    if (!fingerprint) {
      return Error{ErrorKind::kInvalid, "`" + text.substr(0, 100) +
                                            "` is not a fingerprint: with --from-events name "
                                            "certificates by their fingerprints"};
    }
    const auto match = std::find_if(found.begin(), found.end(), [&](const Target& target) {
      return target.fingerprint == *fingerprint;
    });
    if (match == found.end()) {
      return Error{ErrorKind::kNotFound, "no broker reported " + policy::to_hex(*fingerprint) +
                                             " as unknown, or it is registered by now"};
    }
    out.push_back(*match);
  }
  return out;
}

void show_unknown(const std::vector<Target>& targets, bool json) {
  if (json) {
    Json list = Json::array();
    for (const Target& target : targets) {
      Json entry = {{"fingerprint", policy::to_hex(target.fingerprint)}, {"device", target.device}};
      for (const auto& [name, value] : target.stated)
        entry[name] = value;
      entry["where"] = target.where;
      list.push_back(std::move(entry));
    }
    print(Json{{"unknown", std::move(list)}});
    return;
  }
  if (targets.empty()) {
    std::cout << "no broker reported an unknown certificate (brokers report them with "
                 "`admission.unknown_certificate: report`)\n";
    return;
  }
  Table table({"FINGERPRINT", "DEVICE", "SERIAL"});
  for (const Target& target : targets) {
    const auto serial =
        std::find_if(target.stated.begin(), target.stated.end(),
                     [](const auto& entry) { return entry.first == field::kSerial; });
    table.add({policy::to_hex(target.fingerprint), log::escape(target.device),
               serial == target.stated.end() ? "-" : log::escape(serial->second)});
  }
  table.print();
  std::cout << "import them all with --yes, or some by naming their fingerprints\n";
}

}  // namespace

Exit cert_import(const CommonOptions& common, const ImportOptions& options) {
  Result<Access> opened = Access::open(common);
  if (!opened) return fail(opened.error(), common.json);
  Access& access = opened.value();
  const Result<policy::Rules> rules = access.rules();
  if (!rules) return fail(rules.error(), common.json);
  const Importer importer(access, rules.value(), options.activate ? "active" : options.state);
  ChangeRun run(access, {"fingerprint", "imported"}, options.which, common.json);

  if (options.from_events) {
    Result<std::vector<Target>> found = unknown_certificates(access);
    if (!found) return fail(found.error(), common.json);
    Result<std::vector<Target>> targets = chosen(std::move(found).value(), options.which.selectors);
    if (!targets) return fail(targets.error(), common.json);
    if (!options.yes && options.which.selectors.empty()) {
      show_unknown(targets.value(), common.json);
      return Exit::kOk;
    }
    std::size_t at = 0;
    return run.run([&]() -> std::optional<Result<Item>> {
      if (at == targets.value().size()) return std::nullopt;
      return importer.item(targets.value()[at++]);
    });
  }

  Result<Targets> targets = Targets::certificates(access, options.which);
  if (!targets) return fail(targets.error(), common.json);
  return run.run([&]() -> std::optional<Result<Item>> {
    std::optional<Result<Target>> target = targets.value().next();
    if (!target) return std::nullopt;
    if (!*target) return target->error();
    return importer.item(target->value());
  });
}

}  // namespace leafgate::admin
