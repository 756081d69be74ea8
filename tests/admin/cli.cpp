// SPDX-License-Identifier: Apache-2.0
#include "tests/admin/cli.h"

#include <cstdio>

#include "tests/catch.h"

namespace leafgate::test {

Ran Cli::run(const std::vector<std::string>& arguments, const std::string& input) const {
  std::vector<std::string> argv = {LEAFGATE_CLI};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return test::run(argv, input, {{"LEAFGATE_REDIS_URL", redis.url()}});
}

Json Cli::json(const std::vector<std::string>& arguments) const {
  std::vector<std::string> all = arguments;
  all.emplace_back("--json");
  const Ran ran = run(all);
  INFO(ran.out << ran.err);
  const Json document = Json::parse(ran.out, nullptr, false);
  REQUIRE_FALSE(document.is_discarded());
  return document;
}

std::string Cli::field(const std::string& fingerprint, const std::string& name) const {
  return redis.cli({"HGET", "leafgate:cert:" + fingerprint, name});
}

Pki& pki() {
  static Pki instance;
  return instance;
}

CertFiles device(const std::string& id) {
  CertSpec spec;
  spec.cn = id;
  return pki().issue(spec);
}

std::vector<std::string> made_up_fingerprints(int count) {
  std::vector<std::string> out;
  for (int i = 0; i < count; ++i) {
    char text[65];
    std::snprintf(text, sizeof text, "%064x", i + 1);
    out.emplace_back(text);
  }
  return out;
}

}  // namespace leafgate::test
