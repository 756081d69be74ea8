// SPDX-License-Identifier: Apache-2.0
// The real `leafgate` program and a Redis of its own.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "tests/support/pki.h"
#include "tests/support/process.h"
#include "tests/support/redis_server.h"

namespace leafgate::test {

using Json = nlohmann::json;

class Cli {
 public:
  // `leafgate <arguments>` with LEAFGATE_REDIS_URL set to our Redis.
  Ran run(const std::vector<std::string>& arguments, const std::string& input = "") const;
  // With --json; fails the test when the output is not one JSON document.
  Json json(const std::vector<std::string>& arguments) const;

  // A field of a certificate's record, as redis-cli says.
  std::string field(const std::string& fingerprint, const std::string& name) const;

  RedisServer redis;
};

// One CA for all tests of this binary.
Pki& pki();
CertFiles device(const std::string& id);

// `count` fingerprints nobody has a certificate for.
std::vector<std::string> made_up_fingerprints(int count);

}  // namespace leafgate::test
