// SPDX-License-Identifier: Apache-2.0
// leafgate.yaml: a whole file becomes a Config, or an Error that names file, line, key and the
// values that would be right. Unknown keys are errors. config/ is the only home of yaml-cpp;
// nothing it throws leaves this folder. Any thread.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "policy/rules.h"
#include "registry/endpoint.h"

namespace leafgate::config {

enum class WhenStale { kServe, kRefuseNew, kDisconnect };

// As it is written in the file.
std::string_view to_string(WhenStale when_stale);

struct Freshness {
  std::chrono::seconds max_staleness{3600};
  WhenStale when_stale = WhenStale::kRefuseNew;
};

struct RegistryConfig {
  registry::Endpoint endpoint;
  std::string prefix;
  std::string snapshot;  // absolute path; empty: none is kept
  std::chrono::milliseconds wait_at_start{10000};
  bool hold_on_data_loss = true;  // `on_data_loss: hold`

  bool operator==(const RegistryConfig&) const = default;
};

// A client that may come without a certificate; another plugin or password_file must still accept
// it. Its username is a reserved name as well: no certificate may claim it.
struct WithoutCertificate {
  std::string username;
  std::string address;  // numeric IPv4 or IPv6 as inet_ntop() writes it: compared as text
};

struct Config {
  std::string broker;  // default: the host name, with other characters than [A-Za-z0-9._-] replaced
  RegistryConfig registry;
  Freshness freshness;
  policy::Rules rules;
  std::vector<WithoutCertificate> without_certificate;
};

// `name` stands for the file in error messages. kInvalid for whatever is wrong with the text.
Result<Config> parse(std::string_view yaml, const std::string& name);
// kNotFound, kUnreachable (cannot be read) or kInvalid. Regular files only: a FIFO would block.
Result<Config> load(const std::string& path);

// What `registry init` records as the device-id rule, and brokers compare: e.g. `cn` or
// `san_uri:urn:device:`.
std::string device_id_rule(const policy::Rules& rules);

}  // namespace leafgate::config
