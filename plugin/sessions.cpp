// SPDX-License-Identifier: Apache-2.0
#include "plugin/sessions.h"

#include <algorithm>

namespace leafgate::plugin {
namespace {

template <typename Index, typename Key>
void remove_from(Index& index, const Key& key, Session& session) {
  const auto at = index.find(key);
  if (at == index.end()) return;

  auto& sessions = at->second;
  sessions.erase(std::remove(sessions.begin(), sessions.end(), &session), sessions.end());
  if (sessions.empty()) index.erase(at);
}

template <typename Index, typename Key>
void visit_each(Index& index, const Key& key, const Sessions::Visit& visit) {
  const auto at = index.find(key);
  if (at == index.end()) return;
  for (Session* session : at->second)
    visit(*session);
}

}  // namespace

bool is_disgraced(const Session& session) {
  return session.condemned == policy::Reason::kRevoked ||
         session.condemned == policy::Reason::kDeviceBlocked ||
         session.condemned == policy::Reason::kIssuerBlocked;
}

Session* Sessions::find(const mosquitto* client, std::string_view client_id) {
  Session* session = find(client);
  return session != nullptr && session->client_id == client_id ? session : nullptr;
}

Session* Sessions::find(const mosquitto* client) {
  const auto at = by_client_.find(client);
  return at == by_client_.end() ? nullptr : at->second.get();
}

const Session* Sessions::find(const mosquitto* client) const {
  const auto at = by_client_.find(client);
  return at == by_client_.end() ? nullptr : at->second.get();
}

Session& Sessions::insert(Session session) {
  erase(session.client);
  gone_.erase(session.client);

  auto owned = std::make_unique<Session>(std::move(session));
  Session& stored = *owned;
  by_client_.emplace(stored.client, std::move(owned));
  try {
    if (stored.condemned) condemned_.push_back(stored.client);
    index(stored);
  } catch (...) {  // what some index does not know would outlive its certificate
    erase(stored.client);
    throw;
  }
  if (stored.confirmed) displace_others(stored);
  return stored;
}

void Sessions::erase(const mosquitto* client) noexcept {
  const auto at = by_client_.find(client);
  if (at == by_client_.end()) return;
  unindex(*at->second);
  by_client_.erase(at);
}

void Sessions::leave(const mosquitto* client) noexcept {
  const auto at = by_client_.find(client);
  if (at == by_client_.end()) return;
  unindex(*at->second);
  std::unique_ptr<Session> session = std::move(at->second);
  by_client_.erase(at);
  remember_gone(client, std::move(session));
}

void Sessions::turn_away(const mosquitto* client) noexcept {
  erase(client);
  remember_gone(client, nullptr);
}

void Sessions::remember_gone(const mosquitto* client, std::unique_ptr<Session> session) noexcept {
  try {
    gone_.insert_or_assign(client, std::move(session));
  } catch (const std::bad_alloc&) {
    lost_gone_ = true;
  }
}

std::optional<Sessions::Gone> Sessions::gone(const mosquitto* client) const {
  const auto at = gone_.find(client);
  if (at != gone_.end()) return Gone{at->second.get()};
  return lost_gone_ ? std::optional(Gone{}) : std::nullopt;
}

void Sessions::forget_gone() {
  if (!gone_.empty()) gone_.clear();
  lost_gone_ = false;
}

void Sessions::index(Session& session) {
  by_client_id_[session.client_id].push_back(&session);
  if (session.admission == Admission::kByCertificate) {
    by_certificate_[session.facts.fingerprint].push_back(&session);
  }
  if (!session.device.empty()) by_device_[session.device].push_back(&session);
  if (session.deadline != policy::kNever) by_deadline_.emplace(session.deadline, &session);
}

void Sessions::unindex(Session& session) noexcept {
  remove_from(by_client_id_, session.client_id, session);
  remove_from(by_certificate_, session.facts.fingerprint, session);
  remove_from(by_device_, session.device, session);
  by_deadline_.erase({session.deadline, &session});
}

void Sessions::confirm(Session& session) {
  if (session.confirmed) return;
  session.confirmed = true;
  auto& sessions = by_client_id_[session.client_id];
  const auto at = std::find(sessions.begin(), sessions.end(), &session);
  if (at != sessions.end()) std::rotate(at, at + 1, sessions.end());
  displace_others(session);
}

void Sessions::displace_others(const Session& session) {
  for (Session* other : by_client_id_[session.client_id])
    other->displaced = other->displaced || (other != &session && other->confirmed);
}

void Sessions::set_deadline(Session& session, policy::Time deadline) {
  if (session.deadline == deadline) return;
  if (deadline != policy::kNever) by_deadline_.emplace(deadline, &session);
  by_deadline_.erase({session.deadline, &session});
  session.deadline = deadline;
}

void Sessions::set_device(Session& session, std::string device) {
  if (session.device == device) return;
  if (!device.empty()) by_device_[device].push_back(&session);
  remove_from(by_device_, session.device, session);
  session.device = std::move(device);
}

void Sessions::condemn(Session& session, policy::Reason reason) {
  if (session.condemned) return;
  condemned_.push_back(session.client);
  session.condemned = reason;
  set_deadline(session, policy::kNever);
}

const Session* Sessions::holder(std::string_view client_id) const {
  const auto at = by_client_id_.find(client_id);
  if (at == by_client_id_.end()) return nullptr;

  const auto& sessions = at->second;
  const auto last = [&](bool confirmed) -> const Session* {
    const auto found =
        std::find_if(sessions.rbegin(), sessions.rend(), [&](const Session* session) {
          return session->confirmed == confirmed && !session->displaced;
        });
    return found != sessions.rend() ? *found : nullptr;
  };
  const Session* const confirmed = last(true);
  return confirmed != nullptr ? confirmed : last(false);
}

void Sessions::each(const Visit& visit) {
  for (auto& [client, session] : by_client_)
    visit(*session);
}

void Sessions::each_of_certificate(const policy::Fingerprint& fingerprint, const Visit& visit) {
  visit_each(by_certificate_, fingerprint, visit);
}

bool Sessions::is_live_elsewhere(const policy::Fingerprint& fingerprint,
                                 std::string_view client_id) const {
  const auto at = by_certificate_.find(fingerprint);
  if (at == by_certificate_.end()) return false;
  return std::any_of(at->second.begin(), at->second.end(), [&](const Session* session) {
    return session->client_id != client_id && !session->condemned;
  });
}

void Sessions::each_of_device(std::string_view device, const Visit& visit) {
  visit_each(by_device_, device, visit);
}

policy::Time Sessions::first_deadline() const {
  return by_deadline_.empty() ? policy::kNever : by_deadline_.begin()->first;
}

Session* Sessions::first_due(policy::Time now) {
  if (by_deadline_.empty() || by_deadline_.begin()->first > now) return nullptr;
  return by_deadline_.begin()->second;
}

}  // namespace leafgate::plugin
