// SPDX-License-Identifier: Apache-2.0
// Records as Redis has them, for people: every stored field, and what a broker makes of it.
// Blocking; one thread.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "admin/access.h"
#include "admin/output.h"
#include "policy/vocabulary.h"

namespace leafgate::admin {

struct Record {
  policy::Fingerprint fingerprint;
  std::map<std::string, std::string, std::less<>> fields;  // as stored: untrusted
  policy::CertRecord parsed;  // as a broker reads them; gone_at is not set

  // Empty when it is not there.
  std::string_view field(std::string_view name) const;
  // nullopt when it is not there or not Unix seconds.
  std::optional<policy::Time> time(std::string_view name) const;
};

// In the order of `fingerprints`; nullopt where there is no record. A key that holds something else
// than a hash is a record without fields, malformed.
Result<std::vector<std::optional<Record>>> read_records(
    Access& access, std::span<const policy::Fingerprint> fingerprints);

// Every certificate the registry holds a record of, a batch at a time, each once, until `batch`
// says false. For a million of them this takes seconds.
Result<void> for_each_certificate(
    Access& access, const std::function<bool(std::span<const policy::Fingerprint>)>& batch);

// The certificates of one device, from index:device.
Result<std::vector<policy::Fingerprint>> certificates_of(Access& access, std::string_view device);

// Every field, null where there is none or where it is not what it should be.
Json to_json(const Record& record);

}  // namespace leafgate::admin
