// SPDX-License-Identifier: Apache-2.0
#include "tests/admin/cli.h"
#include "tests/catch.h"

using namespace leafgate::test;

TEST_CASE("a certificate goes from import through its states, and each is in Redis", "[cli]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");

  REQUIRE(cli.run({"cert", "import", dev1.certificate}).status == 0);
  CHECK(cli.field(dev1.fingerprint, "state") == "pending");
  CHECK(cli.field(dev1.fingerprint, "device") == "dev1");
  CHECK(cli.field(dev1.fingerprint, "spki").size() == 64);
  CHECK(cli.field(dev1.fingerprint, "not_after").size() == 10);

  REQUIRE(cli.run({"cert", "activate", dev1.certificate}).status == 0);
  CHECK(cli.field(dev1.fingerprint, "state") == "active");
  REQUIRE(cli.run({"cert", "deactivate", dev1.fingerprint, "--note", "in repair", "--by", "alice"})
              .status == 0);
  CHECK(cli.field(dev1.fingerprint, "state") == "inactive");
  CHECK(cli.field(dev1.fingerprint, "note") == "in repair");
  CHECK(cli.field(dev1.fingerprint, "updated_by") == "alice");
  REQUIRE(cli.run({"cert", "activate", "--device", "dev1"}).status == 0);
  REQUIRE(cli.run({"cert", "retire", dev1.fingerprint, "--at", "+7d"}).status == 0);
  CHECK(cli.field(dev1.fingerprint, "state") == "retiring");
  REQUIRE(cli.run({"cert", "revoke", dev1.fingerprint, "--reason", "keyCompromise"}).status == 0);
  CHECK(cli.field(dev1.fingerprint, "state") == "revoked");
  CHECK(cli.field(dev1.fingerprint, "reason") == "keyCompromise");
}

TEST_CASE("what the state machine refuses ends in 1, says why, and changes nothing", "[cli]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  cli.run({"cert", "import", dev1.certificate, "--activate"});
  cli.run({"cert", "revoke", dev1.fingerprint});

  const Ran ran = cli.run({"cert", "activate", dev1.fingerprint});
  CHECK(ran.status == 1);
  CHECK_THAT(ran.err, ContainsSubstring("a revocation is final"));
  CHECK(cli.field(dev1.fingerprint, "state") == "revoked");
  CHECK(cli.run({"cert", "delete", dev1.fingerprint}).status == 1);
  CHECK(cli.run({"cert", "revoke", dev1.fingerprint}).status == 0);
}

TEST_CASE("doing it twice is no failure", "[cli]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  const std::vector<std::string> import = {"cert", "import", dev1.certificate, "--activate"};
  REQUIRE(cli.run(import).status == 0);

  const Ran again = cli.run(import);
  CHECK(again.status == 0);
  CHECK_THAT(again.out, ContainsSubstring("unchanged"));
  CHECK(cli.run({"cert", "activate", dev1.fingerprint}).status == 0);
}

TEST_CASE("a dry run says what would change and writes nothing at all", "[cli]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  cli.run({"cert", "import", dev1.certificate});
  const std::string before = cli.redis.cli({"HGETALL", "leafgate:cert:" + dev1.fingerprint}) +
                             cli.redis.cli({"XLEN", "leafgate:log"}) + cli.redis.cli({"DBSIZE"});

  for (const std::string verb : {"activate", "deactivate", "revoke", "delete"}) {
    const Ran ran = cli.run({"cert", verb, dev1.fingerprint, "--dry-run"});
    INFO(verb << ": " << ran.out << ran.err);
    CHECK(ran.status == 0);
    CHECK_THAT(ran.out, ContainsSubstring("would be"));
  }
  CHECK(cli.run({"cert", "import", device("dev2").certificate, "--dry-run"}).status == 0);
  CHECK(cli.run({"device", "block", "dev1", "--dry-run"}).status == 0);
  CHECK(cli.run({"registry", "init", "--dry-run"}).status == 0);

  CHECK(cli.redis.cli({"HGETALL", "leafgate:cert:" + dev1.fingerprint}) +
            cli.redis.cli({"XLEN", "leafgate:log"}) + cli.redis.cli({"DBSIZE"}) ==
        before);
}

TEST_CASE("a certificate nobody registered is not found", "[cli]") {
  const Cli cli;
  const std::string nobody(64, 'a');

  CHECK(cli.run({"cert", "activate", nobody}).status == 3);
  CHECK(cli.run({"cert", "show", nobody}).status == 3);
  CHECK(cli.run({"cert", "activate", "--device", "dev1"}).status == 3);
  CHECK(cli.run({"cert", "activate", "./none.pem"}).status == 3);
}

TEST_CASE("of several, those that can be changed are, and the rest makes it a 1", "[cli]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  cli.run({"cert", "import", dev1.certificate});

  const Ran ran = cli.run({"cert", "activate", std::string(64, 'a'), dev1.fingerprint});
  CHECK(ran.status == 1);
  CHECK(cli.field(dev1.fingerprint, "state") == "active");
  CHECK_THAT(ran.out, ContainsSubstring("activated 1, unchanged 0, failed 1"));
}

TEST_CASE("a selector may follow --device", "[cli]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  const CertFiles dev2 = device("dev2");
  cli.run({"cert", "import", dev1.certificate, dev2.certificate});

  CHECK(cli.run({"cert", "activate", "--device", "dev1", dev2.fingerprint}).status == 0);
  CHECK(cli.field(dev1.fingerprint, "state") == "active");
  CHECK(cli.field(dev2.fingerprint, "state") == "active");
}

TEST_CASE("a slip in one selector is found before any certificate is changed", "[cli]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  cli.run({"cert", "import", dev1.certificate});

  CHECK(cli.run({"cert", "activate", dev1.fingerprint, "dev2"}).status == 2);
  CHECK(cli.field(dev1.fingerprint, "state") == "pending");
}

TEST_CASE("a change can be bound to the version that was looked at", "[cli]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  cli.run({"cert", "import", dev1.certificate});
  const std::string version = cli.field(dev1.fingerprint, "version");

  CHECK(cli.run({"cert", "activate", dev1.fingerprint, "--if-version", "999"}).status == 1);
  CHECK(cli.run({"cert", "activate", dev1.fingerprint, "--if-version", version}).status == 0);
  CHECK(cli.run({"cert", "activate", "--device", "dev1", "--if-version", version}).status == 2);
}

TEST_CASE("an imported certificate takes its device from the rule the registry records", "[cli]") {
  const Cli cli;
  CertSpec spec;
  spec.cn = "no matter";
  spec.san = {"URI:urn:device:dev9"};
  const CertFiles dev9 = pki().issue(spec);
  REQUIRE(cli.run({"registry", "init", "--device-id", "san_uri:urn:device:"}).status == 0);

  REQUIRE(cli.run({"cert", "import", dev9.certificate}).status == 0);
  CHECK(cli.field(dev9.fingerprint, "device") == "dev9");
  const Ran without = cli.run({"cert", "import", device("dev1").certificate});
  CHECK(without.status == 2);
  CHECK_THAT(without.err, ContainsSubstring("no device id: the rule `san_uri:urn:device:`"));
}

TEST_CASE("the device-id rule is recorded once and replaced only on demand", "[cli]") {
  const Cli cli;
  const auto first = cli.json({"registry", "init"});
  CHECK(first["device_id"] == "cn");
  CHECK(first["id"].get<std::string>().size() == 32);

  CHECK(cli.json({"registry", "init"})["id"] == first["id"]);
  CHECK(cli.run({"registry", "init", "--device-id", "san_dns"}).status == 1);
  CHECK(cli.json({"registry", "init", "--device-id", "san_dns", "--change-rule"})["id"] ==
        first["id"]);
  CHECK(cli.redis.cli({"HGET", "leafgate:meta", "device_id"}) == "san_dns");
  CHECK(cli.run({"registry", "init", "--device-id", "email"}).status == 2);
}

TEST_CASE("importing what brokers will refuse anyway warns by the broker's own reason", "[cli]") {
  const Cli cli;
  CertSpec spec;
  spec.cn = "dev1";
  spec.not_before = "-30d";
  spec.not_after = "-1d";
  const Ran ran = cli.run({"cert", "import", pki().issue(spec).certificate, "--activate"});

  CHECK(ran.status == 0);
  CHECK_THAT(ran.err, ContainsSubstring("certificate_expired"));
}

TEST_CASE("a CA certificate is not imported as a device's", "[cli]") {
  const Cli cli;
  const Ran ran = cli.run({"cert", "import", pki().ca_file()});

  CHECK(ran.status == 2);
  CHECK(cli.redis.cli({"DBSIZE"}) == "0");
}

TEST_CASE("a change's JSON says for each certificate what became of it", "[cli]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  cli.run({"cert", "import", dev1.certificate});
  const auto document = cli.json({"cert", "activate", dev1.fingerprint, std::string(64, 'a')});

  CHECK(document["dry_run"] == false);
  CHECK(document["summary"] == Json{{"applied", 1}, {"unchanged", 0}, {"failed", 1}});
  REQUIRE(document["results"].size() == 2);
  CHECK(document["results"][0]["fingerprint"] == dev1.fingerprint);
  CHECK(document["results"][0]["outcome"] == "applied");
  CHECK(document["results"][0]["from"] == "pending");
  CHECK(document["results"][0]["to"] == "active");
  CHECK(document["results"][0]["seq"].get<int>() > 0);
  CHECK(document["results"][1]["outcome"] == "not_found");
  CHECK_FALSE(document["results"][1]["message"].get<std::string>().empty());
}
