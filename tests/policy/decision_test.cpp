// SPDX-License-Identifier: Apache-2.0
#include "policy/decision.h"

#include <functional>
#include <vector>

#include "tests/catch.h"
#include "tests/policy/samples.h"

namespace leafgate::policy {
namespace {

constexpr Time kNow = at(1500s);

// Everything decide() is given, in one place that a test can break.
struct Question {
  std::optional<CertFacts> facts = good_certificate();
  RegistryView view = view_of(CertState::kActive);
  Session session = good_session();
  RulesSpec spec;
  Time now = kNow;
  std::optional<BoundTopics> topics;
};

Decision ask(const Question& q) {
  return decide(q.facts ? &*q.facts : nullptr, q.view, q.session, rules(q.spec), q.now,
                q.topics ? &*q.topics : nullptr);
}

Reason reason(const Question& q) {
  const auto decision = ask(q);
  CHECK(decision.allow == (decision.reason == Reason::kGranted));
  return decision.reason;
}

TEST_CASE("an active certificate with a clean record is granted", "[policy][decide]") {
  const auto decision = ask({});

  CHECK(decision.allow);
  CHECK(decision.reason == Reason::kGranted);
  CHECK(decision.rule == -1);
}

TEST_CASE("a decision nobody made is a refusal", "[policy][decide]") {
  const Decision decision;

  CHECK_FALSE(decision.allow);
  CHECK(decision.reason == Reason::kInternalError);
}

TEST_CASE("reasons have stable names in a fixed order", "[policy][decide]") {
  const std::vector<std::string> names = {
      "no_certificate",
      "certificate_unreadable",
      "certificate_not_yet_valid",
      "certificate_expired",
      "weak_key",
      "wrong_usage",
      "identity_missing",
      "registry_stale",
      "issuer_blocked",
      "device_blocked",
      "unknown_certificate",
      "pending",
      "inactive",
      "retired",
      "revoked",
      "client_id_mismatch",
      "certificate_in_use",
      "topic_not_allowed",
      "internal_error",
      "granted",
  };
  REQUIRE(names.size() == static_cast<std::size_t>(kReasonCount));

  for (int i = 0; i < kReasonCount; ++i) {
    const auto value = static_cast<Reason>(i);
    CHECK(to_string(value) == names[static_cast<std::size_t>(i)]);
    CHECK(parse_reason(to_string(value)) == value);
  }
  CHECK_FALSE(parse_reason("Granted"));
  CHECK_FALSE(parse_reason(""));
}

// Everything is wrong at once; each step mends the one fault that is reported.
TEST_CASE("checks run in the order of Reason and the first that refuses wins", "[policy][decide]") {
  Question q;
  const CertFacts good = good_certificate();
  CertFacts bad = good;
  bad.readable = false;
  bad.not_before = at(1501s);
  bad.not_after = at(1400s);
  bad.key = KeyKind::kOther;
  bad.client_auth = false;
  q.facts.reset();
  q.view = {
      .record = std::nullopt, .device_block = Block{}, .issuer_block = Block{}, .stale = true};
  q.session.device = "";
  q.session.client_id = "someone";
  q.session.certificate_live_elsewhere = true;
  q.session.topic = TopicRequest{Access::kPublish, "not/allowed"};
  q.spec.certificate_in_use = CertificateInUse::kRefuse;
  const auto set_state = [&](CertState state) {
    q.view.record = CertRecord{.state = state, .retire_at = kNow, .gone_at = kNever};
  };
  const std::vector<std::pair<Reason, std::function<void()>>> steps = {
      {Reason::kNoCertificate, [&] { q.facts = bad; }},
      {Reason::kCertificateUnreadable, [&] { q.facts->readable = true; }},
      {Reason::kCertificateNotYetValid, [&] { q.facts->not_before = good.not_before; }},
      {Reason::kCertificateExpired, [&] { q.facts->not_after = good.not_after; }},
      {Reason::kWeakKey, [&] { q.facts->key = good.key; }},
      {Reason::kWrongUsage, [&] { q.facts->client_auth = true; }},
      {Reason::kIdentityMissing, [&] { q.session.device = "dev1"; }},
      {Reason::kRegistryStale, [&] { q.view.stale = false; }},
      {Reason::kIssuerBlocked, [&] { q.view.issuer_block.reset(); }},
      {Reason::kDeviceBlocked, [&] { q.view.device_block.reset(); }},
      {Reason::kUnknownCertificate, [&] { set_state(CertState::kPending); }},
      {Reason::kPending, [&] { set_state(CertState::kInactive); }},
      {Reason::kInactive, [&] { set_state(CertState::kRetiring); }},
      {Reason::kRetired, [&] { set_state(CertState::kRevoked); }},
      {Reason::kRevoked, [&] { set_state(CertState::kActive); }},
      {Reason::kClientIdMismatch, [&] { q.session.client_id = "dev1"; }},
      {Reason::kCertificateInUse, [&] { q.session.certificate_live_elsewhere = false; }},
      {Reason::kTopicNotAllowed, [&] { q.session.topic.reset(); }},
  };

  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& [expected, mend] = steps[i];
    INFO(to_string(expected));
    CHECK(static_cast<std::size_t>(expected) == i);  // the steps stand in the order of Reason
    CHECK(reason(q) == expected);
    mend();
  }
  CHECK(reason(q) == Reason::kGranted);
}

TEST_CASE("a certificate is valid through its last second, and not one longer",
          "[policy][decide]") {
  const std::vector<std::pair<Time, Reason>> cases = {
      {at(999999ms), Reason::kCertificateNotYetValid},
      {at(1000s), Reason::kGranted},
      {at(2000s), Reason::kGranted},
      {at(2000999ms), Reason::kGranted},
      {at(2001s), Reason::kCertificateExpired},
  };
  for (const auto& [now, expected] : cases) {
    INFO(now.time_since_epoch().count());
    Question q;
    q.now = now;
    CHECK(reason(q) == expected);
  }
}

TEST_CASE("a certificate without a real end does not overflow", "[policy][decide]") {
  Question q;
  q.facts->not_after = at(253402300799s);  // the last second of year 9999

  CHECK(reason(q) == Reason::kGranted);
  CHECK(next_deadline(*q.facts, q.view) == at(253402300800s));
  q.facts->not_after = kNever;
  CHECK(reason(q) == Reason::kGranted);
  CHECK(next_deadline(*q.facts, q.view) == kNever);
}

TEST_CASE("weak keys and signatures are refused, strong ones are not", "[policy][decide]") {
  struct Case {
    KeyKind key;
    int bits;
    bool weak_signature;
    int floor;
    Reason expected;
  };
  const std::vector<Case> cases = {
      {KeyKind::kRsa, 2048, false, 2048, Reason::kGranted},
      {KeyKind::kRsa, 2047, false, 2048, Reason::kWeakKey},
      {KeyKind::kRsa, 3071, false, 3072, Reason::kWeakKey},
      {KeyKind::kRsa, 3072, false, 3072, Reason::kGranted},
      {KeyKind::kP256, 256, false, 3072, Reason::kGranted},
      {KeyKind::kP384, 384, false, 2048, Reason::kGranted},
      {KeyKind::kP521, 521, false, 2048, Reason::kGranted},
      {KeyKind::kEd25519, 256, false, 2048, Reason::kGranted},
      {KeyKind::kEd448, 456, false, 2048, Reason::kGranted},
      {KeyKind::kOther, 4096, false, 2048, Reason::kWeakKey},
      {KeyKind::kP256, 256, true, 2048, Reason::kWeakKey},
      {KeyKind::kRsa, 4096, true, 2048, Reason::kWeakKey},
  };
  for (const auto& c : cases) {
    INFO("key " << static_cast<int>(c.key) << " bits " << c.bits);
    Question q;
    q.facts->key = c.key;
    q.facts->key_bits = c.bits;
    q.facts->weak_signature = c.weak_signature;
    q.spec.min_rsa_bits = c.floor;
    CHECK(reason(q) == c.expected);
  }
}

TEST_CASE("a block with a date refuses certificates from before it only", "[policy][decide]") {
  for (const bool issuer : {true, false}) {
    const auto expected = issuer ? Reason::kIssuerBlocked : Reason::kDeviceBlocked;
    const auto with_block = [&](std::optional<Time> before) {
      Question q;  // notBefore is second 1000
      (issuer ? q.view.issuer_block : q.view.device_block) = Block{.before = before};
      return reason(q);
    };

    CHECK(with_block(std::nullopt) == expected);
    CHECK(with_block(at(1001s)) == expected);
    CHECK(with_block(at(1000s)) == Reason::kGranted);
    CHECK(with_block(at(0s)) == Reason::kGranted);
  }
}

TEST_CASE("a retiring certificate is retired from its deadline on", "[policy][decide]") {
  Question q;
  q.view = view_of(CertState::kRetiring);

  q.view.record->retire_at = kNow + 1ms;
  CHECK(reason(q) == Reason::kGranted);
  q.view.record->retire_at = kNow;
  CHECK(reason(q) == Reason::kRetired);
  q.view.record->retire_at = kNow - 1ms;
  CHECK(reason(q) == Reason::kRetired);
}

TEST_CASE("an active record ignores a retire_at left over from earlier", "[policy][decide]") {
  Question q;
  q.view.record->retire_at = kNow - 1h;

  CHECK(reason(q) == Reason::kGranted);
}

TEST_CASE("a record is unknown from the moment its key is gone", "[policy][decide]") {
  Question q;

  q.view.record->gone_at = kNow + 1ms;
  CHECK(reason(q) == Reason::kGranted);
  q.view.record->gone_at = kNow;
  CHECK(reason(q) == Reason::kUnknownCertificate);
}

TEST_CASE("a malformed record is no record", "[policy][decide]") {
  Question q;
  q.view = view_of(CertState::kMalformed);

  CHECK(reason(q) == Reason::kUnknownCertificate);
}

TEST_CASE("a state that does not exist is an internal error and a refusal", "[policy][decide]") {
  Question q;
  q.view = view_of(static_cast<CertState>(200));

  CHECK(reason(q) == Reason::kInternalError);
}

TEST_CASE("the client id rule keeps devices apart", "[policy][decide]") {
  struct Case {
    ClientIdRule rule;
    std::string client_id;
    bool fits;
  };
  const std::vector<Case> cases = {
      {ClientIdRule::kMustEqualDevice, "dev1", true},
      {ClientIdRule::kMustEqualDevice, "dev1/app", false},
      {ClientIdRule::kMustEqualDevice, "DEV1", false},
      {ClientIdRule::kMustEqualDevice, "", false},
      {ClientIdRule::kDeviceOrSuffix, "dev1", true},
      {ClientIdRule::kDeviceOrSuffix, "dev1/app", true},
      {ClientIdRule::kDeviceOrSuffix, "dev1/app/2", true},
      {ClientIdRule::kDeviceOrSuffix, "dev1/", false},
      {ClientIdRule::kDeviceOrSuffix, "dev10", false},
      {ClientIdRule::kDeviceOrSuffix, "dev10/app", false},
      {ClientIdRule::kDeviceOrSuffix, "dev", false},
      {ClientIdRule::kDeviceOrSuffix, "", false},
      {ClientIdRule::kAny, "whatever", true},
      {ClientIdRule::kAny, "", true},
  };
  for (const auto& c : cases) {
    INFO(static_cast<int>(c.rule) << " `" << c.client_id << "`");
    Question q;
    q.spec.client_id = c.rule;
    q.session.client_id = c.client_id;
    CHECK(reason(q) == (c.fits ? Reason::kGranted : Reason::kClientIdMismatch));
    q.session.client_id_of_other_device = true;
    CHECK(reason(q) == Reason::kClientIdMismatch);
  }
}

TEST_CASE("a certificate in use elsewhere is refused only when the rules say refuse",
          "[policy][decide]") {
  Question q;
  q.session.certificate_live_elsewhere = true;

  q.spec.certificate_in_use = CertificateInUse::kAllow;
  CHECK(reason(q) == Reason::kGranted);
  q.spec.certificate_in_use = CertificateInUse::kReport;
  CHECK(reason(q) == Reason::kGranted);
  q.spec.certificate_in_use = CertificateInUse::kRefuse;
  CHECK(reason(q) == Reason::kCertificateInUse);
}

TEST_CASE("topics are decided by the list, or by nobody here", "[policy][decide]") {
  Question q;
  q.session.topic = TopicRequest{Access::kPublish, "devices/dev1/up"};
  CHECK(reason(q) == Reason::kTopicNotAllowed);  // a list, and no rules bound

  TopicRule rule;
  rule.publish.push_back(TopicPattern::compile("devices/{device}/#").value());
  TopicRule other;
  other.publish.push_back(TopicPattern::compile("other").value());
  q.topics = BoundTopics(
      {other, rule},
      TopicValues{.device = "dev1", .client_id = {}, .common_name = {}, .organizational_unit = {}});
  CHECK(reason(q) == Reason::kGranted);
  CHECK(ask(q).rule == 1);

  q.session.topic = TopicRequest{Access::kSubscribe, "devices/dev1/up"};
  CHECK(reason(q) == Reason::kTopicNotAllowed);
  q.spec.topics = TopicMode::kDefer;
  CHECK(reason(q) == Reason::kGranted);
  q.spec.topics = TopicMode::kAny;
  CHECK(reason(q) == Reason::kGranted);
  CHECK(ask(q).rule == -1);
}

TEST_CASE("the connection is judged before any of its topics", "[policy][decide]") {
  Question q;
  q.spec.topics = TopicMode::kAny;
  q.session.topic = TopicRequest{Access::kPublish, "a"};
  q.view = view_of(CertState::kRevoked);

  CHECK(reason(q) == Reason::kRevoked);
}

TEST_CASE("the next deadline is the first of the ends that the clock alone brings",
          "[policy][decide]") {
  const auto facts = good_certificate();
  auto view = view_of(CertState::kActive);
  CHECK(next_deadline(facts, {}) == at(2001s));
  CHECK(next_deadline(facts, view) == at(2001s));

  view.record->retire_at = at(1600s);
  CHECK(next_deadline(facts, view) == at(2001s));  // an active record has no retire_at to obey
  view.record->state = CertState::kRetiring;
  CHECK(next_deadline(facts, view) == at(1600s));
  view.record->gone_at = at(1550s);
  CHECK(next_deadline(facts, view) == at(1550s));
}

TEST_CASE("at its deadline a yes becomes a no, and one millisecond before it is still a yes",
          "[policy][decide]") {
  std::vector<RegistryView> views = {view_of(CertState::kActive), view_of(CertState::kActive),
                                     view_of(CertState::kRetiring)};
  views[1].record->gone_at = at(1700123ms);
  views[2].record->retire_at = at(1800s);
  for (const auto& view : views) {
    Question q;
    q.view = view;
    const Time deadline = next_deadline(*q.facts, view);

    q.now = deadline - 1ms;
    CHECK(reason(q) == Reason::kGranted);
    q.now = deadline;
    CHECK(reason(q) != Reason::kGranted);
  }
}

}  // namespace
}  // namespace leafgate::policy
