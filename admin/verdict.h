// SPDX-License-Identifier: Apache-2.0
// What a broker would say: the same reading of the certificate, of the registry and of the rules,
// and the same decide(). Blocking where it asks Redis; one thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "admin/access.h"
#include "admin/record.h"
#include "certs/describe.h"
#include "policy/decision.h"
#include "policy/rules.h"
#include "policy/vocabulary.h"

namespace leafgate::admin {

// A certificate to be judged, and where the facts come from.
struct Presented {
  enum class Origin {
    kNone,         // the client presents no certificate
    kCertificate,  // the certificate itself
    kRecord,       // its record: key, usage and names are taken to be right
  } origin = Origin::kNone;
  policy::CertFacts facts;
  std::string device;                             // empty: it gives none
  std::optional<certs::Description> description;  // of kCertificate, when it can be described
};

// The first certificate of the file, whatever it is: that is what a TLS client presents.
Result<Presented> presented_file(const std::string& path, const policy::Rules& rules);

// Facts stood in for by the record. `device` is empty when there is no record or it names none.
Presented presented_record(const policy::Fingerprint& fingerprint,
                           const std::optional<Record>& record, const policy::Rules& rules);

// What the registry says of it now: record, TTL, blocks of its device and of both its issuer ids. A
// key of the wrong type is a malformed record, or a block of everything, as it is for brokers.
Result<policy::RegistryView> read_view(Access& access, const Presented& presented);

struct Question {
  std::string client_id;                 // empty: the device's id
  std::optional<policy::Access> access;  // with `topic`
  std::string topic;
  bool certificate_in_use = false;
  bool client_id_taken = false;
};

policy::Decision judge(const Presented& presented, const policy::RegistryView& view,
                       const Question& question, const policy::Rules& rules, policy::Time now);

}  // namespace leafgate::admin
