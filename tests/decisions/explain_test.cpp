// SPDX-License-Identifier: Apache-2.0
// The corpus against `leafgate explain`: real certificates, real records, the program people run.
#include <nlohmann/json.hpp>

#include "tests/catch.h"
#include "tests/decisions/stage.h"

namespace leafgate::test {
namespace {

policy::Time system_now() {
  return std::chrono::floor<std::chrono::milliseconds>(std::chrono::system_clock::now());
}

std::vector<std::string> question(const Case& c, const CertFiles& certificate,
                                  const std::string& config) {
  std::vector<std::string> argv = {LEAFGATE_CLI, "explain"};
  argv.push_back(c.presents == Presents::kNothing ? "--no-certificate" : certificate.certificate);
  argv.insert(argv.end(), {"--json", "--config", config, "--client-id", c.client_id});
  if (c.stale) argv.emplace_back("--stale");
  if (c.other_session == OtherSession::kSameCertificate) argv.emplace_back("--certificate-in-use");
  if (c.other_session == OtherSession::kSameClientId) argv.emplace_back("--client-id-taken");
  if (!c.access) return argv;
  switch (*c.access) {
    case policy::Access::kPublish:
      argv.emplace_back("--publish");
      break;
    case policy::Access::kSubscribe:
      argv.emplace_back("--subscribe");
      break;
    case policy::Access::kReceive:
      argv.emplace_back("--receive");
      break;
  }
  argv.push_back(c.topic);
  return argv;
}

TEST_CASE("leafgate explain decides every case of the corpus as expected", "[decisions]") {
  Stage stage;
  const TempDir dir;
  const std::string config = dir / "leafgate.yaml";
  const auto corpus = load_corpus(system_now());
  REQUIRE_FALSE(corpus.empty());

  for (const auto& c : corpus) {
    INFO(c.where);
    const auto certificate = stage.certificate(c);
    stage.write(c, certificate);
    write_file(config, stage.yaml(c));

    const auto ran = run(question(c, certificate, config));

    INFO(ran.out << ran.err);
    CHECK(ran.status == (c.allow ? 0 : 1));
    const auto said = nlohmann::json::parse(ran.out, nullptr, false);
    CHECK(said.value("reason", "") == policy::to_string(c.reason));
    CHECK(said.value("allow", !c.allow) == c.allow);
    CHECK(said.value("rule", -2) == c.rule);
    stage.clear();
  }
}

}  // namespace
}  // namespace leafgate::test
