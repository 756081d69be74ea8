// SPDX-License-Identifier: Apache-2.0
// `leafgate cert list`. Streams: a million certificates take no memory here.
#include <algorithm>
#include <iostream>
#include <nlohmann/json.hpp>

#include "admin/access.h"
#include "admin/inspect.h"
#include "admin/output.h"
#include "admin/record.h"
#include "admin/text.h"
#include "base/log.h"

namespace leafgate::admin {
namespace {

namespace field = registry::field;

constexpr std::size_t kPage = 1000;

struct Filter {
  std::vector<std::string> states;
  std::string device;
  std::string issuer;
  std::optional<std::pair<policy::Time, policy::Time>> expires;  // both inclusive
};

Result<Filter> filter_of(const ListOptions& options) {
  Filter filter{options.states, options.device, options.issuer, std::nullopt};
  for (const std::string& state : options.states) {
    if (!policy::parse_cert_state(state) &&
        state != policy::to_string(policy::CertState::kMalformed)) {
      return Error{ErrorKind::kInvalid,
                   "--state: `" + state +
                       "`: write pending, active, inactive, retiring, retired, revoked or "
                       "malformed"};
    }
  }
  if (!options.expires_within.empty()) {
    const auto within = parse_duration(options.expires_within);
    if (!within) return with_context("--expires-within", within.error());
    const policy::Time now = system_now();
    filter.expires = {now, now + within.value()};
  }
  return filter;
}

bool passes(const Filter& filter, const Record& record) {
  const auto is_state = [&record](const std::string& state) {
    return state == policy::to_string(record.parsed.state);
  };
  if (!filter.states.empty() && std::none_of(filter.states.begin(), filter.states.end(), is_state))
    return false;
  if (!filter.device.empty() && record.field(field::kDevice) != filter.device) return false;
  if (!filter.issuer.empty() && record.field(field::kIssuer) != filter.issuer) return false;
  if (!filter.expires) return true;
  const auto not_after = record.time(field::kNotAfter);
  return not_after && *not_after >= filter.expires->first && *not_after <= filter.expires->second;
}

class Lister {
 public:
  Lister(Access& access, Filter filter, std::size_t limit, bool json)
      : access_(access), filter_(std::move(filter)), limit_(limit), json_(json) {}

  // False when there is no need for more.
  Result<bool> take(std::span<const policy::Fingerprint> fingerprints) {
    const Result<std::vector<std::optional<Record>>> records = read_records(access_, fingerprints);
    if (!records) return records.error();
    for (const std::optional<Record>& record : records.value()) {
      if (!record || !passes(filter_, *record)) continue;
      emit(*record);
      if (limit_ != 0 && shown_ == limit_) return false;
    }
    return true;
  }

  void finish() const {
    if (json_) std::cout << (shown_ == 0 ? "{\"certificates\": [" : "\n") << "]}\n";
  }

  // Whichever index answers the question, otherwise every record.
  Result<void> run() {
    if (!filter_.device.empty()) {
      const Result<std::vector<policy::Fingerprint>> found =
          certificates_of(access_, filter_.device);
      if (!found) return found.error();
      return take_all(found.value());
    }
    if (filter_.expires) return by_expiry();
    Result<void> failure;
    const Result<void> scanned =
        for_each_certificate(access_, [&](std::span<const policy::Fingerprint> batch) {
          const Result<bool> more = take(batch);
          if (!more) failure = more.error();
          return more && more.value();
        });
    return failure.ok() ? scanned : failure;
  }

 private:
  Result<void> take_all(std::span<const policy::Fingerprint> fingerprints) {
    while (!fingerprints.empty()) {
      const auto page = fingerprints.first(std::min(fingerprints.size(), kPage));
      fingerprints = fingerprints.subspan(page.size());
      const Result<bool> more = take(page);
      if (!more) return more.error();
      if (!more.value()) break;
    }
    return {};
  }

  Result<void> by_expiry() {
    for (std::size_t offset = 0;; offset += kPage) {
      const Result<registry::Reply> reply =
          access_.ask({"ZRANGEBYSCORE", access_.schema().index_expiry(),
                       unix_seconds(filter_.expires->first), unix_seconds(filter_.expires->second),
                       "LIMIT", std::to_string(offset), std::to_string(kPage)});
      if (!reply) return reply.error();
      std::vector<policy::Fingerprint> page;
      for (std::size_t i = 0; i < reply.value().size(); ++i) {
        const auto fingerprint =
            policy::parse_stored_fingerprint(reply.value().text_at(i).value_or(""));
        if (fingerprint) page.push_back(*fingerprint);
      }
      const Result<bool> more = take(page);
      if (!more) return more.error();
      if (!more.value() || reply.value().size() < kPage) return {};
    }
  }

  void emit(const Record& record) {
    if (json_) {
      std::cout << (shown_ == 0 ? "{\"certificates\": [\n" : ",\n") << to_line(to_json(record));
    } else {
      if (shown_ == 0)
        std::cout << "STATE      NOT AFTER             FINGERPRINT" << std::string(55, ' ')
                  << "DEVICE\n";
      const std::string state(policy::to_string(record.parsed.state));
      const auto not_after = record.time(field::kNotAfter);
      const std::string device(record.field(field::kDevice));
      std::cout << state << std::string(11 - state.size(), ' ')
                << (not_after ? format_time(*not_after) : "-" + std::string(19, ' ')) << "  "
                << policy::to_hex(record.fingerprint) << "  "
                << (device.empty() ? "-" : log::escape(device)) << '\n';
    }
    ++shown_;
  }

  Access& access_;
  Filter filter_;
  std::size_t limit_;
  bool json_;
  std::size_t shown_ = 0;
};

}  // namespace

Exit cert_list(const CommonOptions& common, const ListOptions& options) {
  Result<Filter> filter = filter_of(options);
  if (!filter) return fail(filter.error(), common.json);
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);

  Lister lister(access.value(), std::move(filter).value(), options.limit, common.json);
  if (const Result<void> listed = lister.run(); !listed) {
    print_error(listed.error(), false);  // half a document may be out already
    return exit_for(listed.error().kind);
  }
  lister.finish();
  return Exit::kOk;
}

}  // namespace leafgate::admin
