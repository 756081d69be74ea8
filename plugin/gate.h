// SPDX-License-Identifier: Apache-2.0
// Who may connect, and who may do what: gathers certificate, registry and rules for
// policy::decide(), keeps the table of sessions true, and applies `mode: report` and `then: defer`.
//
// Who asks is known by the broker's pointer, the client id and the certificate:
//
// - A judged session (pointer and client id in the table): its rules; no once it is condemned.
// - Live, never judged (has a certificate; the listener takes user names from certificates): judged
//   now; refused, the answer is no and TICK ends it.
// - Not live (no certificate: offline session, delayed will, source of a retained message): no when
//   its device is blocked. Otherwise receive: yes; publish: by the rules of the device it is named
//   after; subscribe: no.
// - Not live, while the broker reloads: yes, because on 2.0 a no corrupts its list of sessions.
// - A client of `without_certificate`, by user name and address: neither yes nor no.
//
// Before the first TICK everybody is refused, but for sessions from disk at a reload: a broker that
// never ticks could never end a session (2.0.11 with per_listener_settings). A healthy one ticks
// before it reads its first packet.
//
// The broker's thread only. May throw std::bad_alloc; the caller answers no then.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "config/config.h"
#include "plugin/broker.h"
#include "plugin/notices.h"
#include "plugin/sessions.h"
#include "plugin/takeovers.h"
#include "registry/replica.h"

namespace leafgate::plugin {

// Where time and freshness come from; tests bring their own.
struct Clocks {
  std::function<policy::Time()> now;
  std::function<std::chrono::milliseconds()> uptime;  // never goes back
  // Of the registry's data; nullopt: never synced.
  std::function<std::optional<std::chrono::milliseconds>()> age;
};

class Gate {
 public:
  // `config` is copied; the others outlive the gate.
  Gate(config::Config config, const registry::Replica& replica, Clocks clocks, Sessions& sessions,
       Notices& notices);

  // The rules of a reload. Sessions are judged by them in rejudge().
  void configure(config::Config config);
  const config::Config& config() const { return config_; }

  // A CONNECT, or the question of a reload whether a session may stay.
  Verdict connect(mosquitto* client);
  // MQTT 5 authentication, first packet or later ones: its yes is at most "the others decide".
  Verdict authenticate(mosquitto* client);
  // 2.1: the broker accepted this connection, perhaps without asking us.
  void connected(mosquitto* client);
  // A pre-shared key stands in for a certificate we could judge.
  Verdict pre_shared_key(const mosquitto* client, std::string_view identity);

  Verdict topic(mosquitto* client, const policy::TopicRequest& request);
  // Letting go takes nothing from anybody.
  static Verdict unsubscribe() {
    return {{.allow = true, .reason = policy::Reason::kGranted}, policy::Then::kAccept};
  }

  // Before the broker takes the certificate away: one that was never judged is turned away.
  void left(const mosquitto* client);
  // A connection whose judgement failed half way.
  void abandon(const mosquitto* client) { sessions_.turn_away(client); }

  // The broker will ask connect() for every session it knows, until the next tick().
  void reload_begins() { reloading_ = true; }
  void tick();

  // Judges a live session again, from what its certificate said. It outlasts a stale registry
  // unless `when_stale` is `disconnect`.
  void rejudge(Session& session, policy::Time now);

  // For how long new connections may be admitted by what the registry said, if no more is heard of
  // it. Below zero: they may not. milliseconds::max(): without end.
  std::chrono::milliseconds fresh_for() const;
  bool is_stale() const { return fresh_for() < std::chrono::milliseconds(0); }
  bool ends_when_stale() const {
    return config_.freshness.when_stale == config::WhenStale::kDisconnect;
  }

 private:
  enum class Door { kBasicAuth, kExtendedAuth, kAlreadyIn };
  // A client that asks, as far as we can read it.
  struct Candidate {
    mosquitto* client = nullptr;
    std::string client_id;
    std::string address;
    std::string username;  // what the client calls itself: never trusted
    certs::Certificate certificate;
    policy::CertFacts facts;
    std::string device;
    policy::RegistryView known;  // as of decide()

    Subject subject() const;
  };

  Candidate read(mosquitto* client) const;
  Verdict judge(Candidate& candidate, Door door);
  policy::Decision decide(Candidate& candidate, policy::Time now);
  Verdict refuse(Candidate& candidate, Door door, const policy::Decision& decision);
  Verdict refuse_unticked(const Candidate& candidate);
  Verdict admit(Candidate& candidate, Door door, const policy::Decision& decision);
  Session session_of(Candidate& candidate) const;  // takes the facts
  void watch_for_clones(const Candidate& candidate);
  void report_unknown(const Candidate& candidate);

  bool is_offline(const Candidate& candidate) const;
  bool is_exception(std::string_view username, std::string_view address) const;
  bool is_exception_named(std::string_view username) const;
  bool of_other_device(const Candidate& candidate);

  Session* same_session(const Candidate& candidate);
  Verdict standing(Session& session, Candidate& candidate);
  policy::Then then_of(const Session& session) const;
  void bind(Session& session) const;
  void rejudge_without_certificate(Session& session);

  Verdict session_topic(const Session& session, const policy::TopicRequest& request);
  Verdict stranger_topic(mosquitto* client, const policy::TopicRequest& request);
  Verdict gone_topic(const Session* session, const policy::TopicRequest& request) const;
  Verdict offline_topic(const mosquitto* client, const policy::TopicRequest& request) const;
  bool offline_may(std::string_view username, std::string_view client_id,
                   const policy::TopicRequest& request) const;
  policy::Decision by_rules(const policy::BoundTopics& topics,
                            const policy::TopicRequest& request) const;
  policy::Then topics_then() const;

  policy::RegistryView view(const policy::CertFacts& facts, std::string_view device) const;
  bool reports() const { return config_.rules.spec().mode == policy::Mode::kReport; }

  config::Config config_;
  unsigned rules_ = 1;  // generation of config_
  const registry::Replica& replica_;
  const Clocks clocks_;
  Sessions& sessions_;
  Notices& notices_;
  Takeovers takeovers_;

  bool ticked_ = false;
  bool reloading_ = false;
  // Admitted since the last tick, and not refused by those we deferred to if still there at the
  // next.
  std::vector<const mosquitto*> unconfirmed_;
};

}  // namespace leafgate::plugin
