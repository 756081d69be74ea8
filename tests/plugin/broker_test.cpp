// SPDX-License-Identifier: Apache-2.0
#include "plugin/broker.h"

#include "tests/catch.h"
#include "tests/plugin/fake_broker.h"

using leafgate::plugin::code_of;
using leafgate::plugin::Refusal;
using leafgate::plugin::Verdict;
using leafgate::policy::Decision;
using leafgate::policy::kReasonCount;
using leafgate::policy::Reason;
using leafgate::policy::Then;
namespace broker = leafgate::plugin::broker;

TEST_CASE("a verdict nobody filled in is a no", "[plugin][broker]") {
  CHECK(code_of(Verdict{}, Refusal::kConnection) == MOSQ_ERR_AUTH);
  CHECK(code_of(Verdict{}, Refusal::kTopic) == MOSQ_ERR_ACL_DENIED);
}

TEST_CASE("gotchas 7 and 25: a refusal has the one code that each question allows",
          "[plugin][broker][gotcha]") {
  for (int i = 0; i < kReasonCount; ++i) {
    for (const Then then : {Then::kAccept, Then::kDefer}) {
      const Verdict verdict{{.allow = false, .reason = static_cast<Reason>(i), .rule = -1}, then};
      CHECK(code_of(verdict, Refusal::kConnection) == MOSQ_ERR_AUTH);
      CHECK(code_of(verdict, Refusal::kTopic) == MOSQ_ERR_ACL_DENIED);
    }
  }
}

TEST_CASE("gotcha 7: where 2.1 asks at CONNECT, a refusal says what a client can do about it",
          "[plugin][broker][gotcha]") {
#ifdef FAKE_BROKER_2_1
  constexpr int kUnavailable = 0x88;
  constexpr int kNotValid = 0x85;
#else
  constexpr int kUnavailable = MOSQ_ERR_AUTH;
  constexpr int kNotValid = MOSQ_ERR_AUTH;
#endif
  for (int i = 0; i < kReasonCount; ++i) {
    const auto reason = static_cast<Reason>(i);
    const Verdict verdict{{.allow = false, .reason = reason, .rule = -1}, Then::kAccept};
    const bool ours = reason == Reason::kRegistryStale || reason == Reason::kInternalError;
    const int code = reason == Reason::kClientIdMismatch ? kNotValid : MOSQ_ERR_AUTH;
    CHECK(code_of(verdict, Refusal::kConnect) == (ours ? kUnavailable : code));
  }
}

TEST_CASE("only an allowing decision that accepts is a yes", "[plugin][broker]") {
  const Decision granted{.allow = true, .reason = Reason::kGranted, .rule = -1};
  CHECK(code_of({granted, Then::kAccept}, Refusal::kConnection) == MOSQ_ERR_SUCCESS);
  CHECK(code_of({granted, Then::kDefer}, Refusal::kConnection) == MOSQ_ERR_PLUGIN_DEFER);
  CHECK(code_of({granted, Then::kAccept}, Refusal::kTopic) == MOSQ_ERR_SUCCESS);
  CHECK(code_of({granted, Then::kDefer}, Refusal::kTopic) == MOSQ_ERR_PLUGIN_DEFER);
}

TEST_CASE("gotcha 10: a context without an id, an address or a name is empty text, not a crash",
          "[plugin][broker][gotcha]") {
  mosquitto bare;
  bare.id.reset();
  bare.address.reset();

  CHECK(broker::client_id(&bare).empty());
  CHECK(broker::address(&bare).empty());
  CHECK(broker::username(&bare).empty());
  CHECK(broker::certificate(&bare) == nullptr);
}

TEST_CASE("who holds a client id is known to 2.1 only", "[plugin][broker]") {
  const mosquitto client;
  leafgate::test::fake_broker().by_id = {{"dev1", const_cast<mosquitto*>(&client)}};
#ifdef FAKE_BROKER_2_1
  CHECK(broker::is_2_1());
  CHECK(broker::holds_client_id(&client, "dev1") == broker::Holds::kYes);
  CHECK(broker::holds_client_id(&client, "dev2") == broker::Holds::kNo);
#else
  CHECK_FALSE(broker::is_2_1());
  CHECK(broker::holds_client_id(&client, "dev1") == broker::Holds::kUnknown);
#endif
}
