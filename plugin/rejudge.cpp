// SPDX-License-Identifier: Apache-2.0
#include "plugin/rejudge.h"

#include <algorithm>
#include <string>

#include "plugin/broker.h"

namespace leafgate::plugin {
namespace {

using std::chrono::microseconds;

// Sessions may be named so many times more than there are before everybody is judged instead.
constexpr std::size_t kNamedAgainMax = 5000;

}  // namespace

void Rejudge::everything() {
  to_judge_.clear();
  to_judge_.reserve(sessions_.size());
  to_end_.clear();
  later_.clear();
  sessions_.each([this](const Session& session) {
    if (!session.condemned) return to_judge_.push_back(session.client);
    if (!session.told) to_end_.push_back(session.client);
  });
}

void Rejudge::changed(const registry::ChangeBatch& batch) {
  if (batch.all) return everything();

  const auto add = [this](const Session& session) { judge_again(session.client); };
  for (const policy::Fingerprint& fingerprint : batch.certificates) {
    notices_.forget(fingerprint);
    sessions_.each_of_certificate(fingerprint, add);
  }
  for (const std::string& device : batch.devices)
    sessions_.each_of_device(device, add);
  if (!batch.issuers.empty()) {
    // Issuers change seldom and concern thousands: no index pays for itself.
    sessions_.each([&](const Session& session) {
      const auto is_issuer = [&](const std::string& id) {
        return id == session.facts.issuer_key_id || id == session.facts.issuer_name_id;
      };
      const auto& ids = batch.issuers;
      if (std::any_of(ids.begin(), ids.end(), is_issuer)) judge_again(session.client);
    });
  }
  // Changes that come faster than they are judged: everybody once is less work.
  if (to_judge_.size() > 2 * sessions_.size() + kNamedAgainMax) everything();
}

void Rejudge::judge_again(const mosquitto* client) {
  to_judge_.push_back(client);
}

void Rejudge::run(policy::Time now) {
  const microseconds start = uptime_();
  if (start < rests_until_) return;
  judge_some(now, start + kJudgingMax);
  end_some(start + kTurnMax);
  if (busy() || sessions_.first_due(now) != nullptr) rests_until_ = uptime_() + kRest;
}

void Rejudge::judge_some(policy::Time now, microseconds until) {
  // Judging puts a deadline that has passed off, or takes it away. They are not queued: each turn
  // would queue all of those that are still waiting again.
  Session* due = nullptr;
  while (uptime_() < until && (due = sessions_.first_due(now)) != nullptr)
    gate_.rejudge(*due, now);
  while (!to_judge_.empty() && uptime_() < until) {
    Session* session = sessions_.find(to_judge_.back());
    to_judge_.pop_back();
    if (session != nullptr) gate_.rejudge(*session, now);
  }
  if (to_judge_.empty()) to_judge_.shrink_to_fit();
}

void Rejudge::end_some(microseconds until) {
  if (sessions_.any_condemned()) {
    const auto condemned = sessions_.take_condemned();
    to_end_.insert(to_end_.end(), condemned.begin(), condemned.end());
  }
  while (!to_end_.empty() && uptime_() < until) {
    Session* session = sessions_.find(to_end_.front());
    to_end_.pop_front();
    if (session == nullptr || !session->condemned || session->told) continue;
    if (leads_to(*session)) {
      end(*session);
    } else {
      later_.push_back(session->client);
    }
  }
}

bool Rejudge::leads_to(const Session& session) const {
  switch (broker::holds_client_id(session.client, session.client_id)) {
    case broker::Holds::kYes:
      return true;
    case broker::Holds::kNo:
      return false;
    case broker::Holds::kUnknown:
      // The id of one that still authenticates may lead to an offline session. It can do nothing.
      return session.confirmed && sessions_.holder(session.client_id) == &session;
  }
  return false;
}

void Rejudge::end(Session& session) {
  const mosquitto* client = session.client;
  const std::string client_id = session.client_id;
  const bool with_will = !is_disgraced(session);
  // First, so that our reason stands above the broker's own line about the disconnection.
  notices_.ended(subject_of(session), *session.condemned);
  session.told = true;
  session.ending = true;
  const bool is_known = broker::kick(client_id, with_will);

  // `session` is gone by now, unless libwebsockets closes it later.
  Session* left = sessions_.find(client);
  if (left == nullptr) return;
  left->ending = false;
  if (!is_known) sessions_.erase(client);
}

void Rejudge::retry() {
  to_end_.insert(to_end_.end(), later_.begin(), later_.end());
  later_.clear();
}

}  // namespace leafgate::plugin
