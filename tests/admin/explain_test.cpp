// SPDX-License-Identifier: Apache-2.0
#include "tests/admin/cli.h"
#include "tests/catch.h"

using namespace leafgate::test;

namespace {

constexpr const char* kTopics =
    "topics:\n"
    "  - allow: {publish: [\"all/{device}\"]}\n"
    "  - allow: {publish: [\"devices/{device}/#\"], subscribe: [\"devices/{device}/cmd/#\"]}\n";

}  // namespace

TEST_CASE("the decision follows the record in Redis, and the exit code follows the decision",
          "[cli][explain]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  const std::vector<std::string> explain = {"explain", dev1.certificate, "--client-id", "dev1"};

  CHECK(cli.json(explain)["reason"] == "unknown_certificate");
  CHECK(cli.run(explain).status == 1);
  cli.run({"cert", "import", dev1.certificate});
  CHECK(cli.json(explain)["reason"] == "pending");
  cli.run({"cert", "activate", dev1.certificate});
  const auto admitted = cli.json(explain);
  CHECK(admitted["reason"] == "granted");
  CHECK(admitted["allow"] == true);
  CHECK(admitted["device"] == "dev1");
  CHECK(admitted["rule"] == -1);
  CHECK(admitted["record"]["state"] == "active");
  CHECK(admitted["certificate"]["fingerprint"] == dev1.fingerprint);
  CHECK(cli.run(explain).status == 0);
  cli.redis.cli({"HSET", "leafgate:cert:" + dev1.fingerprint, "state", "Active"});
  CHECK(cli.json(explain)["reason"] == "unknown_certificate");
  cli.redis.cli(
      {"HSET", "leafgate:cert:" + dev1.fingerprint, "state", "active", "revoked_at", "1"});
  CHECK(cli.json(explain)["reason"] == "revoked");
}

TEST_CASE("a key of the wrong type refuses, it does not fail", "[cli][explain]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  cli.redis.cli({"SET", "leafgate:cert:" + dev1.fingerprint, "active"});
  CHECK(cli.json({"explain", dev1.certificate})["reason"] == "unknown_certificate");
  CHECK(cli.json({"cert", "show", dev1.fingerprint})["certificates"][0]["state"] == "malformed");

  cli.redis.cli({"DEL", "leafgate:cert:" + dev1.fingerprint});
  cli.run({"cert", "import", dev1.certificate, "--activate"});
  cli.redis.cli({"SET", "leafgate:block:device:dev1", "x"});
  CHECK(cli.json({"explain", dev1.certificate})["reason"] == "device_blocked");
}

TEST_CASE("a record can be supposed, and time moved, without any Redis", "[cli][explain]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  const auto reason = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"explain", dev1.certificate, "--url", "redis://127.0.0.1:1"});
    return cli.json(more)["reason"];
  };

  CHECK(reason({"--record", "state=active"}) == "granted");
  CHECK(reason({"--record", "state=inactive"}) == "inactive");
  CHECK(reason({"--record", "state=active", "--record", "revoked_at=5"}) == "revoked");
  CHECK(reason({"--record", "state=retiring", "--record", "retire_at=1"}) == "retired");
  CHECK(reason({"--record", "state=retiring", "--record", "retire_at=4000000000"}) == "granted");
  CHECK(reason({"--record", "state=active", "--at", "+31d"}) == "certificate_expired");
  CHECK(reason({"--record", "state=active", "--at", "-1d"}) == "certificate_not_yet_valid");
  CHECK(reason({"--offline"}) == "unknown_certificate");
  CHECK(cli.run({"explain", dev1.certificate, "--record", "colour=red"}).status == 2);
}

TEST_CASE("what only a broker knows can be supposed", "[cli][explain]") {
  const Cli cli;
  const TempDir dir;
  const CertFiles dev1 = device("dev1");
  cli.run({"cert", "import", dev1.certificate, "--activate"});
  write_file(dir / "strict.yaml",
             "registry: {url: " + cli.redis.url() +
                 "}\nadmission: {client_id: any, certificate_in_use: refuse}\ntopics: any\n");
  const std::vector<std::string> explain = {"explain", dev1.certificate, "--config",
                                            dir / "strict.yaml"};
  const auto with = [&](const std::string& option) {
    std::vector<std::string> all = explain;
    all.push_back(option);
    return cli.json(all)["reason"];
  };

  CHECK(cli.json(explain)["reason"] == "granted");
  CHECK(with("--stale") == "registry_stale");
  CHECK(with("--certificate-in-use") == "certificate_in_use");
  CHECK(with("--client-id-taken") == "client_id_mismatch");
  CHECK(cli.json({"explain", "--no-certificate", "--client-id", "x"})["reason"] ==
        "no_certificate");
  CHECK(cli.run({"explain", "--no-certificate"}).status == 1);
}

TEST_CASE("a topic is judged by the rules of --config and the rule is named", "[cli][explain]") {
  const Cli cli;
  const TempDir dir;
  const CertFiles dev1 = device("dev1");
  cli.run({"cert", "import", dev1.certificate, "--activate"});
  write_file(dir / "leafgate.yaml", "registry: {url: " + cli.redis.url() + "}\n" + kTopics);
  const auto ask = [&](const std::string& access, const std::string& topic) {
    return cli.json(
        {"explain", dev1.certificate, "--config", dir / "leafgate.yaml", access, topic});
  };

  CHECK(ask("--publish", "devices/dev1/state")["rule"] == 1);
  CHECK(ask("--publish", "all/dev1")["rule"] == 0);
  CHECK(ask("--publish", "devices/dev2/state")["reason"] == "topic_not_allowed");
  CHECK(ask("--subscribe", "devices/dev1/cmd/+")["allow"] == true);
  CHECK(ask("--subscribe", "devices/#")["allow"] == false);
  CHECK(ask("--receive", "devices/dev1/cmd/reboot")["allow"] == true);
  CHECK(cli.run({"explain", dev1.certificate, "--publish", "x"}).status == 2);
}

TEST_CASE("a fingerprint alone is explained by its record, and says so", "[cli][explain]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  CHECK(cli.json({"explain", dev1.fingerprint})["reason"] == "unknown_certificate");
  cli.run({"cert", "import", dev1.certificate, "--activate"});

  const auto document = cli.json({"explain", dev1.fingerprint});
  CHECK(document["reason"] == "granted");
  CHECK(document["device"] == "dev1");
  CHECK(document["facts_from"] == "record");
  CHECK(document["notes"].size() == 1);
}

TEST_CASE("weak keys, wrong usage and missing names are seen in the certificate itself",
          "[cli][explain]") {
  const Cli cli;
  const auto reason = [&](const CertSpec& spec) {
    return cli.json(
        {"explain", pki().issue(spec).certificate, "--record", "state=active"})["reason"];
  };
  CertSpec weak;
  weak.key = "rsa:1024";
  CertSpec server;
  server.extended_key_usage = "serverAuth";
  CertSpec nameless;
  nameless.subject = "/O=example";
  nameless.cn = "";

  CHECK(reason(weak) == "weak_key");
  CHECK(reason(server) == "wrong_usage");
  CHECK(reason(nameless) == "identity_missing");
}

TEST_CASE("a hostile name in a certificate reaches the terminal only escaped", "[cli][explain]") {
  const Cli cli;
  CertSpec spec;
  spec.subject = "/CN=dev1\x1b[2J\x1b]0;owned\x07";
  const CertFiles hostile = pki().issue(spec);
  for (const Ran& ran : {cli.run({"explain", hostile.certificate, "--client-id", "x\x1b[31m"}),
                         cli.run({"cert", "show", hostile.certificate}),
                         cli.run({"cert", "import", hostile.certificate}),
                         cli.run({"explain", hostile.certificate, "--json"})}) {
    INFO(ran.out << ran.err);
    CHECK(ran.out.find_first_of("\x1b\x07") == std::string::npos);
    CHECK(ran.err.find_first_of("\x1b\x07") == std::string::npos);
  }
}
