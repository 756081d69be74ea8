// SPDX-License-Identifier: Apache-2.0
// Every connection we have judged and that is still up, found by the broker's pointer and by
// everything that can end it: its certificate, its device, its deadline.
//
// Keyed by the broker's pointer, never by client id: in a takeover two connections have the same
// one. The pointer is an identity and is never followed; the broker reuses it, so find() wants the
// client id to match as well. References stay valid until the session is erased. The broker's
// thread only.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "plugin/fingerprint_hash.h"
#include "policy/decision.h"
#include "policy/topics.h"
#include "policy/vocabulary.h"

struct mosquitto;

namespace leafgate::plugin {

enum class Admission : std::uint8_t {
  kByCertificate,
  kByException,  // named in `without_certificate`; password_file or another plugin vouches for it
  kByReport,     // no certificate, and `mode: report` let it pass
};

struct Session {
  const mosquitto* client = nullptr;
  std::string client_id;
  std::string address;
  Admission admission = Admission::kByCertificate;
  std::string username;        // kByException: whom password_file vouched for
  std::string device;          // empty: the certificate gave none, and `mode: report` let it pass
  policy::CertFacts facts;     // kByCertificate
  policy::BoundTopics topics;  // kByCertificate
  policy::Time deadline = policy::kNever;  // change with Sessions::set_deadline() once inserted

  // Why it may do nothing any more and will be ended.
  std::optional<policy::Reason> condemned;
  bool told = false;    // the broker was told to end it; libwebsockets does so later
  bool ending = false;  // the broker is ending it at this moment
  // The broker accepted the connection, so its client id means this session. Not yet so while
  // another plugin or password_file still decides.
  bool confirmed = false;
  // The broker gave its client id to another connection, and closes this one sooner or later.
  bool displaced = false;
  unsigned rules = 0;  // generation of the rules that `device` and `topics` were made by

  // As decide() wants it: nullptr when there is no certificate.
  const policy::CertFacts* certificate() const noexcept {
    return admission == Admission::kByCertificate ? &facts : nullptr;
  }
};

// Condemned for something its device or its issuer did: then its last will is not published and its
// subscriptions are not kept. The others are only sent away.
bool is_disgraced(const Session& session);

class Sessions {
 public:
  Sessions() = default;
  Sessions(const Sessions&) = delete;
  Sessions& operator=(const Sessions&) = delete;

  // nullptr when `client` is not in the table, or is there under another client id.
  Session* find(const mosquitto* client, std::string_view client_id);
  // nullptr when `client` is not in the table.
  Session* find(const mosquitto* client);
  const Session* find(const mosquitto* client) const;

  // Replaces what was there for the same pointer. It is in every index, or, when this throws, in
  // none. One that is condemned already waits to be ended.
  Session& insert(Session session);
  void erase(const mosquitto* client) noexcept;

  // The connection ended. The broker asks about its will afterwards, so the session is remembered,
  // out of reach of find() and the indexes, until forget_gone().
  void leave(const mosquitto* client) noexcept;
  // We refused the connection: what it left behind (its will) must not pass for an offline
  // session's.
  void turn_away(const mosquitto* client) noexcept;
  struct Gone {
    const Session* session = nullptr;  // nullptr: turned away
  };
  // Whoever is not in the table counts as turned away once there was no memory to remember one.
  std::optional<Gone> gone(const mosquitto* client) const;
  void forget_gone();

  // The broker accepted the connection; from now on its client id means this session.
  void confirm(Session& session);
  void set_deadline(Session& session, policy::Time deadline);
  void set_device(Session& session, std::string device);

  // Nothing is allowed from now on; the session waits to be ended.
  void condemn(Session& session, policy::Reason reason);
  bool any_condemned() const { return !condemned_.empty(); }
  // The sessions condemned since the last call, oldest first. They may have left in the meantime.
  std::vector<const mosquitto*> take_condemned() { return std::exchange(condemned_, {}); }

  // The session that the broker means by `client_id`: the one confirmed last, never again one that
  // it took the id from, or, when none is, the one inserted last. nullptr when no session has it.
  const Session* holder(std::string_view client_id) const;

  using Visit = std::function<void(Session&)>;  // must not insert or erase
  void each(const Visit& visit);
  void each_of_certificate(const policy::Fingerprint& fingerprint, const Visit& visit);
  // Is one of this certificate's sessions live under another client id? Asks no more than it needs:
  // whoever holds a certificate may open any number of sessions.
  bool is_live_elsewhere(const policy::Fingerprint& fingerprint, std::string_view client_id) const;
  void each_of_device(std::string_view device, const Visit& visit);

  // kNever when no session has one.
  policy::Time first_deadline() const;
  // The one with the earliest deadline, when that is at or before `now`; nullptr otherwise.
  Session* first_due(policy::Time now);

  std::size_t size() const { return by_client_.size(); }

 private:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept {
      return std::hash<std::string_view>{}(text);
    }
  };
  template <typename Key, typename Hash>
  using Index = std::unordered_map<Key, std::vector<Session*>, Hash, std::equal_to<>>;
  using TextIndex = Index<std::string, TextHash>;

  void index(Session& session);
  void displace_others(const Session& session);
  void unindex(Session& session) noexcept;
  void remember_gone(const mosquitto* client, std::unique_ptr<Session> session) noexcept;

  using Owned = std::unordered_map<const mosquitto*, std::unique_ptr<Session>>;

  Owned by_client_;
  Owned gone_;
  bool lost_gone_ = false;  // one could not be remembered
  std::vector<const mosquitto*> condemned_;
  TextIndex by_client_id_;  // in the order of insertion, confirmed ones moved to the end
  Index<policy::Fingerprint, FingerprintHash> by_certificate_;
  TextIndex by_device_;
  std::set<std::pair<policy::Time, Session*>> by_deadline_;  // without kNever
};

}  // namespace leafgate::plugin
