// SPDX-License-Identifier: Apache-2.0
// The decision corpus: cases in *.yaml, run against the library, `leafgate explain` and a real
// broker. tests/decisions/README.md explains the fields; unknown ones are errors. Plain values; any
// thread.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "policy/decision.h"
#include "tests/support/pki.h"

namespace leafgate::test {

// What a real broker can make of a case.
enum class AtBroker {
  kDecides,       // the plugin is asked and must answer as expected
  kTlsRefuses,    // the handshake must fail: the plugin is never asked
  kNotReachable,  // the situation cannot be brought about from outside
};

enum class Presents { kNothing, kUnreadable, kCertificate };

// Another session that lives while the case is judged.
enum class OtherSession {
  kNone,
  kSameCertificate,  // of the same certificate, under another client id
  kSameClientId,     // of another device, under the same client id
};

struct BlockFields {
  std::optional<std::string> before;  // the Redis field as stored
  bool by_name = false;               // issuer blocks: on the issuer's name, not on its key id
};

struct Case {
  std::string where;     // FILE: SENTENCE
  std::string sentence;  // what the case claims
  std::string rules;     // `admission` and `topics` as in leafgate.yaml, one line each
  Presents presents = Presents::kCertificate;
  CertSpec certificate;
  std::optional<std::map<std::string, std::string>> record;  // Redis fields; nullopt: no key
  std::optional<BlockFields> device_block;
  std::optional<BlockFields> issuer_block;
  bool stale = false;
  std::string client_id;
  OtherSession other_session = OtherSession::kNone;
  std::optional<policy::Access> access;  // nullopt: the question is the connection
  std::string topic;
  AtBroker broker = AtBroker::kDecides;

  policy::Reason reason = policy::Reason::kInternalError;
  bool allow = false;
  int rule = -1;
};

// Every case of every file in tests/decisions/, in the order of file names. Times written as `+1h`
// or
// `-1h` are counted from `now`. Throws std::runtime_error, naming file and line, for a bad corpus.
std::vector<Case> load_corpus(policy::Time now);

// `text` is `+1h`, `-30d`, … from `now`, or YYYYMMDDHHMMSSZ. Throws for anything else.
policy::Time parse_corpus_time(const std::string& text, policy::Time now);

// The rules of a case. Throws when they are not valid.
policy::Rules rules_of(const Case& c);

}  // namespace leafgate::test
