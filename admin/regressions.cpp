// SPDX-License-Identifier: Apache-2.0
// `leafgate registry regressions`: what brokers refuse although the registry, having lost writes,
// calls it active, and nobody has decided since.
#include <algorithm>
#include <cstdint>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
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

namespace field = registry::field;

// Records asked for at once.
constexpr std::size_t kPage = 1000;

struct Regression {
  std::string broker;
  std::string key;  // without the prefix: untrusted
  std::string held;
  std::string registry;
  std::string device;
  policy::Time at;
};

// The newest of each broker and key, newest first.
Result<std::vector<Regression>> reported(Access& access) {
  std::vector<Regression> found;
  std::set<std::pair<std::string, std::string>> seen;
  const Result<void> read = for_each_newest(
      access, access.schema().events(), kStreamEntriesMax, [&](const StreamEntry& event) {
        if (event.field("kind") != "regressed") return true;
        Regression regression{std::string(event.field("broker")),
                              std::string(event.field("key")),
                              std::string(event.field("held")),
                              std::string(event.field("registry")),
                              "",
                              event.time()};
        if (seen.emplace(regression.broker, regression.key).second)
          found.push_back(std::move(regression));
        return true;
      });
  if (!read) return read.error();
  return found;
}

// When each key was changed last, of those changed since `oldest`. A confirmation settles all
// before it: it stands under the empty name.
Result<std::map<std::string, policy::Time>> decided(Access& access, policy::Time oldest) {
  std::map<std::string, policy::Time> last;
  const std::string& prefix = access.schema().prefix();
  const Result<void> read = for_each_newest(
      access, access.schema().log(), kStreamEntriesMax, [&](const StreamEntry& entry) {
        if (entry.time() < oldest) return false;
        const std::string_view key = entry.field("key");
        if (key.starts_with(prefix)) last.emplace(key.substr(prefix.size()), entry.time());
        if (!entry.field("confirmed").empty()) last.emplace("", entry.time());
        return true;
      });
  if (!read) return read.error();
  return last;
}

bool admits(const Record& record, policy::Time now) {
  return record.parsed.state == policy::CertState::kActive ||
         (record.parsed.state == policy::CertState::kRetiring && record.parsed.retire_at > now);
}

// True when the record is what it was when the broker spoke of it, and would admit.
bool stands(const Record& record, const Regression& regression, policy::Time now) {
  const auto updated = record.time(field::kUpdatedAt);
  return admits(record, now) && (!updated || *updated <= regression.at);
}

// Keeps those whose record nobody has written since, and names their devices. A key that names no
// certificate stays as it is: somebody has to look at it.
Result<std::vector<Regression>> still_standing(Access& access, std::vector<Regression> all) {
  std::vector<Regression> kept;
  const policy::Time now = system_now();
  for (std::size_t at = 0; at < all.size(); at += kPage) {
    const std::size_t end = std::min(all.size(), at + kPage);
    std::vector<policy::Fingerprint> page;
    for (std::size_t i = at; i < end; ++i) {
      page.push_back(
          registry::parse_key(access.schema(), access.schema().prefix() + all[i].key).fingerprint);
    }
    const Result<std::vector<std::optional<Record>>> records = read_records(access, page);
    if (!records) return records.error();
    for (std::size_t i = at; i < end; ++i) {
      const bool certificate =
          access.schema().prefix() + all[i].key == access.schema().cert(page[i - at]);
      const std::optional<Record>& record = records.value()[i - at];
      if (certificate && (!record || !stands(*record, all[i], now))) continue;
      if (certificate) all[i].device = std::string(record->field(field::kDevice));
      kept.push_back(std::move(all[i]));
    }
  }
  return kept;
}

Result<std::vector<Regression>> find_regressions(Access& access) {
  Result<std::vector<Regression>> all = reported(access);
  if (!all || all.value().empty()) return all;
  const Result<std::map<std::string, policy::Time>> last = decided(access, all.value().back().at);
  if (!last) return last.error();
  std::erase_if(all.value(), [&last](const Regression& regression) {
    const auto later = [&](const std::string& name) {
      const auto found = last.value().find(name);
      return found != last.value().end() && found->second > regression.at;
    };
    return later(regression.key) || later("");
  });
  return still_standing(access, std::move(all).value());
}

// A broker that refuses more than is listed, and by how many: what was written while it was away is
// no news to it, and what it has not reported yet is in no list.
struct Unlisted {
  std::string broker;
  std::uint64_t count;
};

std::vector<Unlisted> unlisted(const std::vector<Regression>& all,
                               const std::vector<Broker>& brokers) {
  std::vector<Unlisted> found;
  for (const Broker& broker : brokers) {
    const auto listed = static_cast<std::uint64_t>(std::count_if(
        all.begin(), all.end(),
        [&](const Regression& regression) { return regression.broker == broker.name; }));
    const std::uint64_t refused = broker.number("regressions");
    if (refused > listed) found.push_back({broker.name, refused - listed});
  }
  return found;
}

void print_json(const std::vector<Regression>& all, const std::vector<Unlisted>& more,
                const std::vector<std::string>& reading) {
  Json list = Json::array();
  for (const Regression& regression : all) {
    list.push_back({{"broker", regression.broker},
                    {"key", regression.key},
                    {"device", regression.device.empty() ? Json() : Json(regression.device)},
                    {"held", regression.held},
                    {"registry", regression.registry},
                    {"at", json_time(regression.at)}});
  }
  Json others = Json::array();
  for (const Unlisted& broker : more)
    others.push_back({{"broker", broker.broker}, {"count", broker.count}});
  print(Json{{"regressions", std::move(list)},
             {"unlisted", std::move(others)},
             {"still_reading", reading}});
}

std::string or_dash(const std::string& text) {
  return text.empty() ? "-" : log::escape(text);
}

void print_words(const std::vector<Regression>& all, const std::vector<Unlisted>& more,
                 const std::vector<std::string>& reading) {
  for (const std::string& name : reading)
    std::cout << name << " still reads the registry: it may find more\n";
  for (const Unlisted& broker : more) {
    std::cout << broker.broker << " refuses " << broker.count
              << " that are not listed: they were written while it was away, or its report is on "
                 "its way. Look again in\nsome seconds; then write their states once more, or "
                 "`leafgate registry confirm`.\n";
  }
  if (all.empty() && !more.empty()) return;
  if (all.empty()) {
    std::cout << "no regressions: what brokers refuse is what the registry says\n";
    return;
  }
  Table table({"WHEN", "BROKER", "HELD", "REGISTRY", "KEY", "DEVICE"});
  for (const Regression& regression : all) {
    table.add({format_time(regression.at), or_dash(regression.broker), or_dash(regression.held),
               or_dash(regression.registry), or_dash(regression.key), or_dash(regression.device)});
  }
  table.print();
  std::cout << "Brokers refuse these until somebody decides. For each: `leafgate cert revoke` or "
               "`leafgate cert deactivate`\nwrites the refusal again; `leafgate cert deactivate`, "
               "then `leafgate cert activate` admits it. To admit all of them\nas the registry "
               "says: `leafgate registry confirm`.\n";
}

}  // namespace

Exit registry_regressions(const CommonOptions& common) {
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  const Result<std::vector<Regression>> found = find_regressions(access.value());
  if (!found) return fail(found.error(), common.json);
  const Result<std::vector<Broker>> brokers = read_brokers(access.value());
  if (!brokers) return fail(brokers.error(), common.json);
  const std::vector<std::string> reading = still_reading(brokers.value());
  const std::vector<Unlisted> more = unlisted(found.value(), brokers.value());
  if (common.json) {
    print_json(found.value(), more, reading);
  } else {
    print_words(found.value(), more, reading);
  }
  return Exit::kOk;
}

}  // namespace leafgate::admin
