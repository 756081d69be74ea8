// SPDX-License-Identifier: Apache-2.0
// `leafgate registry confirm`: a person accepts what the registry holds after a loss.
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "admin/access.h"
#include "admin/brokers.h"
#include "admin/output.h"
#include "admin/record.h"
#include "admin/state.h"
#include "admin/text.h"
#include "base/log.h"

namespace leafgate::admin {
namespace {

// What a confirmation is about.
struct Loss {
  std::vector<Broker> brokers;       // those that wait for it
  std::vector<std::string> reading;  // those that do not know yet what they keep
  std::string id;                    // the data set's; empty: it has none
  std::string replaces;              // the one that brokers remember; empty: none
  std::size_t certificates = 0;

  std::uint64_t sum(std::string_view field) const {
    return std::accumulate(
        brokers.begin(), brokers.end(), std::uint64_t{0},
        [field](std::uint64_t all, const Broker& broker) { return all + broker.number(field); });
  }
};

// The one id that all of them remember.
Result<std::string> remembered_id(const std::vector<Broker>& brokers) {
  std::set<std::string> ids;
  std::string list;
  for (const Broker& broker : brokers) {
    if (broker.held_id().empty()) continue;
    ids.insert(std::string(broker.held_id()));
    list += (list.empty() ? "" : ", ") + broker.name + " " + std::string(broker.held_id());
  }
  if (ids.size() > 1) {
    return Error{ErrorKind::kInvalid, "brokers remember different data sets (" + list +
                                          "): say with --replaces which one this one replaces, and "
                                          "confirm once for each"};
  }
  return ids.empty() ? std::string() : *ids.begin();
}

Result<std::size_t> count_certificates(Access& access) {
  std::size_t count = 0;
  Progress progress("counted", std::nullopt);
  const Result<void> scanned =
      for_each_certificate(access, [&](std::span<const policy::Fingerprint> batch) {
        count += batch.size();
        progress.show(count);
        return true;
      });
  if (!scanned) return scanned.error();
  return count;
}

Result<Loss> look(Access& access, const std::string& replaces) {
  Loss loss;
  Result<std::vector<Broker>> brokers = read_brokers(access);
  if (!brokers) return brokers.error();
  loss.reading = still_reading(brokers.value());
  for (Broker& broker : brokers.value()) {
    if (!broker.held_id().empty() || broker.number("regressions") != 0)
      loss.brokers.push_back(std::move(broker));
  }
  if (loss.brokers.empty() && loss.reading.empty() && replaces.empty()) {
    return Error{ErrorKind::kRefused,
                 brokers.value().empty()
                     ? "nothing to confirm: no broker reports to this registry"
                     : "nothing to confirm: no broker holds absences back or refuses what the "
                       "registry calls active"};
  }
  const Result<std::string> remembered =
      replaces.empty() ? remembered_id(loss.brokers) : Result<std::string>(replaces);
  if (!remembered) return remembered.error();
  loss.replaces = remembered.value();

  const Result<registry::Reply> id = access.ask({"HGET", access.schema().meta(), "id"});
  if (!id) return id.error();
  loss.id = std::string(id.value().text().value_or(""));
  const Result<std::size_t> count = count_certificates(access);
  if (!count) return count.error();
  loss.certificates = count.value();
  return loss;
}

std::string list(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names)
    text += (text.empty() ? "" : ", ") + name;
  return text;
}

void print_words(const Access& access, const Loss& loss) {
  std::cout << "registry `" << access.schema().prefix() << "` at "
            << access.settings().endpoint.text() << ": id "
            << (loss.id.empty() ? "none" : printable(loss.id)) << ", " << loss.certificates
            << " certificates, would replace " << (loss.replaces.empty() ? "none" : loss.replaces)
            << '\n';
  Table table({"BROKER", "REMEMBERS", "ABSENT HELD", "REGRESSIONS"});
  for (const Broker& broker : loss.brokers) {
    table.add({broker.name, broker.held_id().empty() ? "-" : std::string(broker.held_id()),
               std::to_string(broker.number("absent_held")),
               std::to_string(broker.number("regressions"))});
  }
  if (!table.empty()) table.print();
  if (!loss.reading.empty()) {
    std::cout << "Still reading, so that nobody knows what else they keep refusing: "
              << list(loss.reading) << ".\n";
  }
  if (loss.sum("absent_held") != 0) {
    std::cout << "Brokers will forget the records that the registry lacks: those certificates are "
                 "refused, and blocks among them end.\n";
  }
  if (loss.sum("regressions") != 0) {
    std::cout << "Certificates that brokers still refuse will be admitted where the registry calls "
                 "them active: see `leafgate registry regressions` first.\n";
  }
}

void print_json(const Access& access, const Loss& loss, const registry::Outcome& outcome,
                bool dry_run) {
  Json brokers = Json::array();
  for (const Broker& broker : loss.brokers) {
    brokers.push_back({{"name", broker.name},
                       {"held_id", broker.held_id().empty() ? Json() : Json(broker.held_id())},
                       {"absent_held", broker.number("absent_held")},
                       {"regressions", broker.number("regressions")}});
  }
  print(Json{{"dry_run", dry_run},
             {"prefix", access.schema().prefix()},
             // In a dry run nobody has drawn the id of a data set that has none.
             {"id", dry_run && loss.id.empty() ? Json() : Json(outcome.to)},
             {"replaces", loss.replaces.empty() ? Json() : Json(loss.replaces)},
             {"certificates", loss.certificates},
             {"brokers", std::move(brokers)},
             {"still_reading", loss.reading},
             {"seq", outcome.seq == 0 ? Json() : Json(outcome.seq)}});
}

// kRefused while a broker may keep refusals that it has not told of.
Result<void> check_all_is_known(const Loss& loss, const RegistryConfirmOptions& options) {
  if (loss.reading.empty() || options.while_reading || options.dry_run) return {};
  return Error{ErrorKind::kRefused,
               "still reading the registry: " + list(loss.reading) +
                   ". What they keep refusing against it shows when they are done: wait until "
                   "`leafgate status` calls them live, look at `leafgate registry regressions`, "
                   "and confirm then; or accept what nobody has seen with --while-reading"};
}

// kRefused when the person at the terminal does not say yes.
Result<void> ask_person() {
  std::cout << "Accept the registry as it is? Type yes: " << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  if (answer == "yes" || answer == "y") return {};
  return Error{ErrorKind::kRefused, "not confirmed, nothing written"};
}

Result<void> check_options(const CommonOptions& common, const RegistryConfirmOptions& options) {
  if (!options.replaces.empty() && !is_data_set_id(options.replaces)) {
    return Error{ErrorKind::kInvalid, "--replaces: `" + options.replaces.substr(0, 100) +
                                          "` is not the id of a data set: 32 lower-case hex "
                                          "digits, as `leafgate status` shows them"};
  }
  const bool asks = !options.yes && !options.dry_run;
  if (asks && (common.json || isatty(STDIN_FILENO) == 0)) {
    return Error{ErrorKind::kInvalid,
                 "nobody is there to be asked: look with --dry-run, then accept with --yes"};
  }
  return {};
}

}  // namespace

Exit registry_confirm(const CommonOptions& common, const RegistryConfirmOptions& options) {
  if (const auto checked = check_options(common, options); !checked)
    return fail(checked.error(), common.json);
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  const Result<Loss> loss = look(access.value(), options.replaces);
  if (!loss) return fail(loss.error(), common.json);
  if (const auto known = check_all_is_known(loss.value(), options); !known)
    return fail(known.error(), common.json);
  if (!common.json) print_words(access.value(), loss.value());
  if (!options.yes && !options.dry_run) {
    if (const Result<void> asked = ask_person(); !asked) return fail(asked.error(), common.json);
  }

  const Settings& settings = access.value().settings();
  const Result<registry::Outcome> outcome =
      access.value()
          .writer(options.dry_run)
          .confirm(loss.value().replaces, settings.by, settings.note);
  if (!outcome) return fail(outcome.error(), common.json);
  if (common.json) {
    print_json(access.value(), loss.value(), outcome.value(), options.dry_run);
  } else if (options.dry_run) {
    std::cout << "dry run, nothing written\n";
  } else {
    std::cout << "confirmed: id " << printable(outcome.value().to)
              << "; brokers go on with it within seconds\n";
  }
  return Exit::kOk;
}

}  // namespace leafgate::admin
