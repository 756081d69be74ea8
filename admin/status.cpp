// SPDX-License-Identifier: Apache-2.0
// `leafgate status`: is the fleet's gate in order?
#include <algorithm>
#include <array>
#include <charconv>
#include <iostream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <utility>

#include "admin/access.h"
#include "admin/brokers.h"
#include "admin/inspect.h"
#include "admin/output.h"
#include "admin/record.h"
#include "admin/stream.h"
#include "admin/text.h"
#include "base/log.h"

namespace leafgate::admin {
namespace {

// Above this, states are not counted unless --count asks: it would read every record.
constexpr std::size_t kCountedMax = 100'000;

constexpr std::array kStates = {policy::CertState::kPending,  policy::CertState::kActive,
                                policy::CertState::kInactive, policy::CertState::kRetiring,
                                policy::CertState::kRetired,  policy::CertState::kRevoked,
                                policy::CertState::kMalformed};

// Certificates in each state, indexed by its value.
using Counts = std::array<std::size_t, kStates.size()>;

struct Overview {
  registry::Fields meta;
  std::optional<Counts> counts;
  std::string counted_by;  // `registry` or `broker <name>`; empty: nobody has counted
  std::size_t certificates = 0;
  std::size_t device_blocks = 0;
  std::size_t issuer_blocks = 0;
  std::size_t log_entries = 0;
  std::optional<StreamEntry> last_change;
  std::vector<Broker> brokers;
  std::vector<std::string> warnings;
};

// What a broker says of its own copy, which is in step with the registry while it is live.
std::optional<Counts> counts_of(const Broker& broker) {
  if (broker.field("sync") != "live") return std::nullopt;
  Counts counts{};
  for (const policy::CertState state : kStates) {
    const std::string_view text =
        broker.field("certificates_" + std::string(policy::to_string(state)));
    std::size_t& count = counts[static_cast<std::size_t>(state)];
    const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (text.empty() || failure != std::errc()) return std::nullopt;
  }
  return counts;
}

// nullopt: there are more than kCountedMax, and not `all` were asked for.
Result<std::optional<Counts>> count_in_registry(Access& access, bool all) {
  Counts counts{};
  std::size_t total = 0;
  Result<void> failure;
  const Result<void> scanned =
      for_each_certificate(access, [&](std::span<const policy::Fingerprint> batch) {
        const Result<std::vector<std::optional<Record>>> records = read_records(access, batch);
        if (!records) {
          failure = records.error();
          return false;
        }
        for (const std::optional<Record>& record : records.value()) {
          if (!record) continue;
          ++counts[static_cast<std::size_t>(record->parsed.state)];
          ++total;
        }
        return all || total <= kCountedMax;
      });
  if (!failure) return failure.error();
  if (!scanned) return scanned.error();
  if (!all && total > kCountedMax) return std::optional<Counts>();
  return std::optional<Counts>(counts);
}

Result<void> count_certificates(Access& access, bool all, Overview& overview) {
  const Result<std::optional<Counts>> counted = count_in_registry(access, all);
  if (!counted) return counted.error();
  overview.counts = counted.value();
  if (overview.counts) overview.counted_by = "registry";
  for (const Broker& broker : overview.brokers) {
    if (overview.counts) break;
    overview.counts = counts_of(broker);
    if (overview.counts) overview.counted_by = "broker " + broker.name;
  }
  if (overview.counts) {
    overview.certificates =
        std::accumulate(overview.counts->begin(), overview.counts->end(), std::size_t{0});
    return {};
  }
  const Result<registry::Reply> indexed = access.ask({"ZCARD", access.schema().index_expiry()});
  if (!indexed) return indexed.error();
  overview.certificates = static_cast<std::size_t>(indexed.value().integer().value_or(0));
  return {};
}

Result<void> count_blocks(Access& access, Overview& overview) {
  std::set<std::string> seen;
  return access.scan(access.schema().block_prefix() + "*",
                     [&](const std::vector<std::string>& keys) {
                       for (const std::string& key : keys) {
                         if (!seen.insert(key).second) continue;
                         const registry::KeyName name = registry::parse_key(access.schema(), key);
                         if (name.kind == registry::KeyName::Kind::kDeviceBlock)
                           ++overview.device_blocks;
                         if (name.kind == registry::KeyName::Kind::kIssuerBlock)
                           ++overview.issuer_blocks;
                       }
                       return true;
                     });
}

Result<void> add_brokers(Access& access, Overview& overview) {
  Result<std::vector<Broker>> brokers = read_brokers(access);
  if (!brokers) return brokers.error();
  overview.brokers = std::move(brokers).value();
  return {};
}

Result<void> read_log(Access& access, Overview& overview) {
  const Result<registry::Reply> length = access.ask({"XLEN", access.schema().log()});
  if (!length) return length.error();
  overview.log_entries = static_cast<std::size_t>(length.value().integer().value_or(0));
  return for_each_newest(access, access.schema().log(), 1, [&](const StreamEntry& entry) {
    overview.last_change = entry;
    return false;
  });
}

std::string_view value_of(const registry::Fields& fields, std::string_view name) {
  for (const auto& [key, value] : fields) {
    if (key == name) return value;
  }
  return {};
}

// A broker that trusts its memory more than the registry waits for a person.
void add_loss_warnings(const Broker& broker, std::vector<std::string>& warnings) {
  if (!broker.field("held_id").empty()) {
    warnings.push_back("broker " + broker.name + " is on HOLD: it remembers the data set " +
                       std::string(broker.field("held_id")) + ", which is gone, and goes on with " +
                       std::to_string(broker.number("absent_held")) +
                       " records that the registry lacks. Restore a backup (`leafgate registry "
                       "import`) or accept the loss (`leafgate registry confirm`)");
  }
  if (const std::uint64_t regressions = broker.number("regressions"); regressions != 0) {
    warnings.push_back("broker " + broker.name + " refuses " + std::to_string(regressions) +
                       " certificates that the registry, having lost writes, calls active: see "
                       "`leafgate registry regressions`");
  }
}

void add_warnings(Overview& overview) {
  if (value_of(overview.meta, "id").empty()) {
    overview.warnings.emplace_back(
        "the registry records no device-id rule: run `leafgate registry init` once, so that "
        "brokers "
        "and tools notice when theirs differs");
  }
  if (overview.brokers.empty())
    overview.warnings.emplace_back("no broker reports to this registry");
  for (const Broker& broker : overview.brokers) {
    add_loss_warnings(broker, overview.warnings);
    if (broker.field("mode") == "report") {
      overview.warnings.push_back("broker " + broker.name +
                                  " is in mode report: it admits what it would refuse (" +
                                  std::string(broker.field("would_refuse")) + " so far)");
    }
    if (broker.field("stale") == "1") {
      const bool ends = broker.field("when_stale") == "disconnect";
      overview.warnings.push_back(
          "broker " + broker.name +
          (ends ? " admits nobody and ends sessions" : " refuses new connections") +
          ": its copy of the registry is too old");
    }
    if (!broker.field("snapshot_error").empty()) {
      overview.warnings.push_back("broker " + broker.name + " has no good snapshot: " +
                                  std::string(broker.field("snapshot_error")));
    }
    if (broker.field("sync") != "live") {
      overview.warnings.push_back("broker " + broker.name +
                                  " is not in sync: " + std::string(broker.field("sync")));
    }
  }
}

Result<Overview> look(Access& access, bool count_all) {
  Overview overview;
  const Result<registry::Reply> meta = access.ask({"HGETALL", access.schema().meta()});
  if (!meta) return meta.error();
  overview.meta = fields_of(meta.value());
  for (const auto& step : {add_brokers, count_blocks, read_log}) {
    if (const Result<void> done = step(access, overview); !done) return done.error();
  }
  if (const Result<void> counted = count_certificates(access, count_all, overview); !counted)
    return counted.error();
  add_warnings(overview);
  return overview;
}

// Numbers as numbers: a broker's own fields are its text.
Json json_value(const std::string& text) {
  std::int64_t number = 0;
  const auto [end, failure] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool whole = !text.empty() && failure == std::errc() && end == text.data() + text.size();
  return whole ? Json(number) : Json(text);
}

Json json_fields(const registry::Fields& fields) {
  Json out = Json::object();
  for (const auto& [name, value] : fields)
    out[name] = json_value(value);
  return out;
}

void print_json(const Access& access, const Overview& overview) {
  Json states;
  if (overview.counts) {
    for (const policy::CertState state : kStates) {
      states[std::string(policy::to_string(state))] =
          (*overview.counts)[static_cast<std::size_t>(state)];
    }
  }
  Json brokers = Json::array();
  for (const Broker& broker : overview.brokers) {
    brokers.push_back({{"name", broker.name}, {"status", json_fields(broker.fields)}});
  }
  print(Json{{"registry",
              {{"url", access.settings().endpoint.text()},
               {"prefix", access.settings().schema.prefix()},
               {"meta", json_fields(overview.meta)}}},
             {"certificates",
              {{"total", overview.certificates},
               {"by_state", std::move(states)},
               {"counted_by", overview.counted_by.empty() ? Json() : Json(overview.counted_by)}}},
             {"blocks", {{"devices", overview.device_blocks}, {"issuers", overview.issuer_blocks}}},
             {"log",
              {{"entries", overview.log_entries},
               {"last", overview.last_change ? to_json("log", *overview.last_change) : Json()}}},
             {"brokers", std::move(brokers)},
             {"warnings", overview.warnings}});
}

std::string or_dash(std::string_view text) {
  return text.empty() ? "-" : log::escape(text);
}

void print_brokers(const std::vector<Broker>& brokers) {
  Table table({"BROKER", "MODE", "SYNC", "AGE MS", "SNAPSHOT S", "SESSIONS", "ADMITTED", "REFUSED",
               "ENDED", "VERSION"});
  for (const Broker& broker : brokers) {
    std::vector<std::string> cells = {broker.name};
    for (const std::string_view name : {"mode", "sync", "age_ms", "snapshot_age_s", "sessions",
                                        "admitted", "refused", "ended", "version"}) {
      cells.push_back(or_dash(broker.field(name)));
    }
    table.add(std::move(cells));
  }
  if (!table.empty()) table.print();
}

void print_words(const Access& access, const Overview& overview) {
  std::cout << "registry      " << access.settings().endpoint.text() << ", prefix `"
            << access.settings().schema.prefix() << "`, id "
            << or_dash(value_of(overview.meta, "id")) << ", device-id rule "
            << or_dash(value_of(overview.meta, "device_id")) << '\n';
  std::cout << "certificates  " << overview.certificates;
  if (overview.counts) {
    const char* separator = ": ";
    for (const policy::CertState state : kStates) {
      const std::size_t count = (*overview.counts)[static_cast<std::size_t>(state)];
      if (count == 0) continue;
      std::cout << std::exchange(separator, ", ") << count << ' ' << policy::to_string(state);
    }
    if (overview.counted_by != "registry")
      std::cout << " (counted by " << overview.counted_by << ')';
  } else {
    std::cout << " in the index (states are counted with --count)";
  }
  std::cout << "\nblocks        " << overview.device_blocks << " devices, "
            << overview.issuer_blocks << " issuers\nlog           " << overview.log_entries
            << " entries";
  if (overview.last_change) {
    std::cout << ", last " << format_time(overview.last_change->time()) << "  "
              << to_words(*overview.last_change);
  }
  std::cout << '\n';
  print_brokers(overview.brokers);
  for (const std::string& warning : overview.warnings)
    std::cout << "warning: " << printable(warning) << '\n';
}

}  // namespace

Exit status(const CommonOptions& common, const StatusOptions& options) {
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  const Result<Overview> overview = look(access.value(), options.count);
  if (!overview) return fail(overview.error(), common.json);
  if (common.json) {
    print_json(access.value(), overview.value());
  } else {
    print_words(access.value(), overview.value());
  }
  return Exit::kOk;
}

}  // namespace leafgate::admin
