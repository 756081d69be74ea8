// SPDX-License-Identifier: Apache-2.0
#include "plugin/sessions.h"

#include <vector>

#include "tests/catch.h"
#include "tests/plugin/sessions_fixture.h"

using leafgate::plugin::Admission;
using leafgate::plugin::Session;
using leafgate::plugin::Sessions;
using leafgate::policy::kNever;
using leafgate::policy::Reason;
using leafgate::policy::Time;
using leafgate::test::a_session;
using leafgate::test::beginning_with;
using leafgate::test::of_certificate;
using leafgate::test::of_device;
using namespace std::chrono_literals;

TEST_CASE("a session is found by its pointer and its client id together", "[plugin][sessions]") {
  Sessions sessions;
  const mosquitto client;
  const Session& session = sessions.insert(a_session(client, "dev1"));

  CHECK(sessions.find(&client, "dev1") == &session);
  CHECK(sessions.find(&client, "dev2") == nullptr);  // the broker uses the pointer again
  const mosquitto other;
  CHECK(sessions.find(&other, "dev1") == nullptr);
}

TEST_CASE("a pointer that is used again replaces its old session everywhere",
          "[plugin][sessions]") {
  Sessions sessions;
  const mosquitto client;
  Session old = a_session(client, "dev1", 1);
  old.deadline = Time(5s);
  sessions.insert(std::move(old));

  const Session& fresh = sessions.insert(a_session(client, "dev2", 2));

  CHECK(sessions.size() == 1);
  CHECK(sessions.holder("dev1") == nullptr);
  CHECK(sessions.holder("dev2") == &fresh);
  CHECK(of_certificate(sessions, 1).empty());
  CHECK(of_device(sessions, "dev1").empty());
  CHECK(sessions.first_deadline() == kNever);
}

TEST_CASE("a client id means the session admitted last, and none before it once that is gone",
          "[plugin][sessions]") {
  Sessions sessions;
  const mosquitto old_client;
  const mosquitto new_client;
  CHECK(sessions.holder("dev1") == &sessions.insert(a_session(old_client, "dev1")));

  const Session& new_session = sessions.insert(a_session(new_client, "dev1"));
  CHECK(sessions.holder("dev1") == &new_session);

  sessions.leave(&new_client);
  CHECK(sessions.holder("dev1") == nullptr);  // the broker only has yet to close the old one
  sessions.leave(&old_client);
  CHECK(sessions.holder("dev1") == nullptr);
}

TEST_CASE("a client id does not mean a session that others have yet to accept",
          "[plugin][sessions]") {
  Sessions sessions;
  const mosquitto live_client;
  const mosquitto asking_client;
  const Session& live = sessions.insert(a_session(live_client, "dev1"));
  Session asking = a_session(asking_client, "dev1");
  asking.confirmed = false;
  Session& pending = sessions.insert(std::move(asking));

  CHECK(sessions.holder("dev1") == &live);

  sessions.confirm(pending);
  CHECK(sessions.holder("dev1") == &pending);
}

TEST_CASE("a session nobody else shares the client id with is meant even unconfirmed",
          "[plugin][sessions]") {
  Sessions sessions;
  const mosquitto client;
  Session asking = a_session(client, "dev1");
  asking.confirmed = false;
  const Session& pending = sessions.insert(std::move(asking));

  CHECK(sessions.holder("dev1") == &pending);
}

TEST_CASE("sessions are due in the order of their deadlines", "[plugin][sessions]") {
  Sessions sessions;
  const mosquitto clients[3];
  for (int i = 0; i < 3; ++i) {
    Session session = a_session(clients[i], "dev" + std::to_string(i));
    session.deadline = i == 2 ? kNever : Time(std::chrono::seconds(20 - 10 * i));
    sessions.insert(std::move(session));
  }

  CHECK(sessions.first_deadline() == Time(10s));
  CHECK(sessions.first_due(Time(10s) - 1ms) == nullptr);
  CHECK(sessions.first_due(Time(10s)) == sessions.find(&clients[1]));
  CHECK(sessions.first_due(Time(20s)) == sessions.find(&clients[1]));

  sessions.set_deadline(*sessions.find(&clients[1]), Time(30s));
  CHECK(sessions.first_deadline() == Time(20s));
}

TEST_CASE("a session given another device is found by that one only", "[plugin][sessions]") {
  Sessions sessions;
  const mosquitto client;
  Session& session = sessions.insert(a_session(client, "dev1"));

  sessions.set_device(session, "renamed");

  CHECK(of_device(sessions, "dev1").empty());
  CHECK(of_device(sessions, "renamed") == std::vector<const Session*>{&session});
}

TEST_CASE("a condemned session keeps its first reason and has no deadline", "[plugin][sessions]") {
  Sessions sessions;
  const mosquitto client;
  Session made = a_session(client, "dev1");
  made.deadline = Time(10s);
  Session& session = sessions.insert(std::move(made));

  sessions.condemn(session, Reason::kRevoked);
  sessions.condemn(session, Reason::kInactive);

  CHECK(session.condemned == Reason::kRevoked);
  CHECK(sessions.first_deadline() == kNever);
  CHECK(sessions.take_condemned() == std::vector<const mosquitto*>{&client});
  CHECK_FALSE(sessions.any_condemned());
}

TEST_CASE("a session that left is remembered until told to forget, and found by nothing",
          "[plugin][sessions]") {
  Sessions sessions;
  const mosquitto client;
  sessions.insert(a_session(client, "dev1"));

  sessions.leave(&client);
  sessions.leave(&client);  // the broker may say so twice

  REQUIRE(sessions.gone(&client).has_value());
  REQUIRE(sessions.gone(&client)->session != nullptr);
  CHECK(sessions.gone(&client)->session->client_id == "dev1");
  CHECK(sessions.find(&client) == nullptr);
  CHECK(of_certificate(sessions, 1).empty());
  CHECK(sessions.size() == 0);

  sessions.forget_gone();
  CHECK_FALSE(sessions.gone(&client).has_value());
}

TEST_CASE("a client turned away leaves no session behind", "[plugin][sessions]") {
  Sessions sessions;
  const mosquitto client;

  sessions.turn_away(&client);

  CHECK(sessions.size() == 0);
  REQUIRE(sessions.gone(&client).has_value());
  CHECK(sessions.gone(&client)->session == nullptr);

  sessions.insert(a_session(client, "dev1"));
  CHECK_FALSE(sessions.gone(&client).has_value());
}

TEST_CASE("a certificate is live elsewhere by a session of another client id that may stay",
          "[plugin][sessions]") {
  Sessions sessions;
  const mosquitto client;
  Session& session = sessions.insert(a_session(client, "dev1/a"));

  CHECK_FALSE(sessions.is_live_elsewhere(beginning_with(1), "dev1/a"));
  CHECK(sessions.is_live_elsewhere(beginning_with(1), "dev1/b"));
  CHECK_FALSE(sessions.is_live_elsewhere(beginning_with(2), "dev1/b"));
  sessions.condemn(session, Reason::kRevoked);
  CHECK_FALSE(sessions.is_live_elsewhere(beginning_with(1), "dev1/b"));
}

TEST_CASE("sessions without a certificate are in no certificate's list", "[plugin][sessions]") {
  Sessions sessions;
  const mosquitto client;
  Session session;
  session.client = &client;
  session.client_id = "exporter";
  session.admission = Admission::kByException;
  sessions.insert(std::move(session));

  CHECK(of_certificate(sessions, 0).empty());
}
