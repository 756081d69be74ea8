// SPDX-License-Identifier: Apache-2.0
#include "plugin/notices.h"

#include <utility>

#include "base/log.h"
#include "plugin/broker.h"
#include "registry/schema.h"

namespace leafgate::plugin {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kToldMax = 4096;
// Repetitions told by one flush(). A line costs about 15 us: more would keep the broker from its
// clients. At five flushes a second all of kToldMax still get their turn every kRepeatAfter.
constexpr std::size_t kToldEachMax = 100;
constexpr std::size_t kClonesMax = 1024;
// 48 bytes each. Past it all are forgotten and the events come again: readers take them as
// repeatable.
constexpr std::size_t kSeenMax = 262144;

constexpr milliseconds kCloneRepeatAfter = std::chrono::minutes(1);

std::string key_of(const Subject& subject, const Notices::Refused& what) {
  std::string key = subject.fingerprint ? policy::to_hex(*subject.fingerprint) : subject.address;
  key += what.only_reported ? '?' : '!';
  key += policy::to_string(what.reason);
  return key;
}

std::string cut(std::string_view value) {
  return std::string(value.substr(0, registry::kValueBytesMax));
}

// What a line will show of it. Client ids and topics have up to 64 KiB, and strangers choose them.
std::string kept(std::string_view text) {
  return std::string(text.substr(0, log::kMaxValue + 1));
}

// What a stranger may make long comes last, so that a full line keeps who it was.
void add_subject(log::Line& line, const Subject& subject) {
  if (!subject.device.empty()) line.add("device", subject.device);
  if (subject.fingerprint) line.add("fingerprint", policy::to_hex(*subject.fingerprint));
  if (!subject.address.empty()) line.add("address", subject.address);
  line.add("client_id", subject.client_id);
}

registry::Event event_about(std::string kind, const Subject& subject) {
  registry::Event event{std::move(kind), {}};
  if (subject.fingerprint) {
    event.fields.emplace_back("fingerprint", policy::to_hex(*subject.fingerprint));
  }
  if (!subject.device.empty()) event.fields.emplace_back("device", cut(subject.device));
  event.fields.emplace_back("client_id", cut(subject.client_id));
  if (!subject.address.empty()) event.fields.emplace_back("address", cut(subject.address));
  return event;
}

std::string unix_seconds(policy::Time time) {
  return std::to_string(
      std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count());
}

}  // namespace

Subject subject_of(const Session& session) {
  Subject subject{std::nullopt, session.device, session.client_id, session.address};
  if (session.certificate() != nullptr) subject.fingerprint = session.facts.fingerprint;
  return subject;
}

bool Notices::refused(const Subject& subject, const Refused& what) {
  if (what.only_reported) {
    ++counters_.would_refuse;
  } else {
    ++counters_.refused[static_cast<std::size_t>(what.reason)];
  }

  std::string key = key_of(subject, what);
  const auto known = told_.find(key);
  if (known != told_.end()) {
    ++known->second.withheld;
    return false;
  }
  if (told_.size() >= kToldMax) {
    ++not_listed_;
    return false;
  }
  const Subject shown{subject.fingerprint, subject.device, kept(subject.client_id),
                      subject.address};
  const Told told{shown,
                  what.reason,
                  std::string(what.action),
                  kept(what.topic),
                  what.only_reported,
                  0,
                  uptime_() + kRepeatAfter};
  told_.emplace(std::move(key), told);
  tell(told, 1);
  return true;
}

void Notices::tell(const Told& told, std::uint64_t count) {
  registry::Event event = event_about("refused", told.subject);
  event.fields.emplace_back("reason", policy::to_string(told.reason));
  event.fields.emplace_back("action", told.action);
  event.fields.emplace_back("count", std::to_string(count));
  if (told.only_reported) event.fields.emplace_back("mode", "report");
  outbox_.event(std::move(event));

  log::Line line(told.only_reported ? log::Level::kWarning : log::Level::kNotice,
                 told.only_reported ? "would_refuse" : "refused");
  line.add("reason", policy::to_string(told.reason)).add("action", told.action);
  if (count > 1) line.add("repeated", static_cast<std::int64_t>(count));
  add_subject(line, told.subject);
  if (!told.topic.empty()) line.add("topic", told.topic);
  broker::log(line);
}

void Notices::flush() {
  const milliseconds now = uptime_();
  std::vector<Told> repeated;
  for (auto at = told_.begin(); at != told_.end();) {
    Told& told = at->second;
    if (told.until > now) {
      ++at;
    } else if (told.withheld == 0) {
      at = told_.erase(at);
    } else if (repeated.size() >= kToldEachMax) {
      break;  // the next time
    } else {
      repeated.push_back(told);
      told.withheld = 0;
      told.until = now + kRepeatAfter;
      ++at;
    }
  }
  for (const Told& told : repeated)
    tell(told, told.withheld);

  const std::uint64_t not_listed = std::exchange(not_listed_, 0);
  if (not_listed > 0) {
    broker::log(log::Line(log::Level::kWarning, "refusals_not_listed")
                    .add("count", static_cast<std::int64_t>(not_listed)));
  }
}

bool Notices::first_time(const policy::Fingerprint& fingerprint) {
  if (seen_.size() >= kSeenMax && !seen_.contains(fingerprint)) seen_.clear();
  return seen_.insert(fingerprint).second;
}

void Notices::admitted(const Session& session) {
  ++counters_.admitted;
  if (session.certificate() == nullptr || !first_time(session.facts.fingerprint)) return;

  const Subject subject = subject_of(session);
  outbox_.event(event_about("first_seen", subject));
  log::Line line(log::Level::kInfo, "first_seen");
  add_subject(line, subject);
  broker::log(line);
}

void Notices::ended(const Subject& subject, policy::Reason reason) {
  ++counters_.ended;
  registry::Event event = event_about("ended", subject);
  event.fields.emplace_back("reason", policy::to_string(reason));
  outbox_.event(std::move(event));

  log::Line line(log::Level::kNotice, "ended");
  line.add("reason", policy::to_string(reason));
  add_subject(line, subject);
  broker::log(line);
}

void Notices::unknown(const certs::Description& facts, std::string_view device) {
  registry::Event event{"unknown", {}};
  event.fields.emplace_back("fingerprint", policy::to_hex(facts.fingerprint));
  if (!device.empty()) event.fields.emplace_back("device", cut(device));
  event.fields.emplace_back("serial", cut(facts.serial));
  event.fields.emplace_back("issuer", cut(facts.issuer_key_id));
  event.fields.emplace_back("not_before", unix_seconds(facts.not_before));
  event.fields.emplace_back("not_after", unix_seconds(facts.not_after));
  event.fields.emplace_back("spki", cut(facts.spki));
  outbox_.event(std::move(event));
}

void Notices::clone(const Subject& subject, std::string_view how) {
  ++counters_.clones;
  const milliseconds now = uptime_();
  std::string key = subject.fingerprint ? policy::to_hex(*subject.fingerprint) : subject.address;
  key += how;
  if (clones_.size() >= kClonesMax) clones_.clear();
  const auto [at, is_new] = clones_.try_emplace(std::move(key), now + kCloneRepeatAfter);
  if (!is_new && at->second > now) return;
  at->second = now + kCloneRepeatAfter;

  registry::Event event = event_about("clone", subject);
  event.fields.emplace_back("how", how);
  outbox_.event(std::move(event));

  log::Line line(log::Level::kWarning, "clone");
  line.add("how", how);
  add_subject(line, subject);
  broker::log(line);
}

}  // namespace leafgate::plugin
