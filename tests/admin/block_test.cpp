// SPDX-License-Identifier: Apache-2.0
#include "tests/admin/cli.h"
#include "tests/catch.h"

using namespace leafgate::test;

TEST_CASE("a blocked device is refused, an unblocked one is not", "[cli]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  cli.run({"cert", "import", dev1.certificate, "--activate"});
  REQUIRE(cli.run({"explain", dev1.certificate}).status == 0);

  REQUIRE(cli.run({"device", "block", "dev1", "--note", "stolen"}).status == 0);
  CHECK(cli.redis.cli({"HGET", "leafgate:block:device:dev1", "note"}) == "stolen");
  CHECK(cli.json({"explain", dev1.certificate})["reason"] == "device_blocked");
  REQUIRE(cli.run({"device", "unblock", "dev1"}).status == 0);
  CHECK(cli.run({"explain", dev1.certificate}).status == 0);
  CHECK(cli.run({"device", "unblock", "dev1"}).status == 3);
}

TEST_CASE("a block before a moment spares certificates issued later", "[cli]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  cli.run({"cert", "import", dev1.certificate, "--activate"});

  REQUIRE(cli.run({"device", "block", "dev1", "--before", "-2d"}).status == 0);
  CHECK(cli.run({"explain", dev1.certificate}).status == 0);
  REQUIRE(cli.run({"device", "block", "dev1", "--before", "now"}).status == 0);
  CHECK(cli.run({"explain", dev1.certificate}).status == 1);
}

TEST_CASE("blocking a CA by its certificate refuses what it issued, with or without key id",
          "[cli]") {
  const Cli cli;
  CertSpec spec;
  spec.cn = "dev2";
  spec.authority_key_id = false;
  const CertFiles with = device("dev1");
  const CertFiles without = pki().issue(spec);
  cli.run({"cert", "import", with.certificate, without.certificate, "--activate"});

  const auto done = cli.json({"issuer", "block", pki().ca_file()});
  CHECK(done["summary"]["applied"] == 2);
  CHECK(cli.json({"explain", with.certificate})["reason"] == "issuer_blocked");
  CHECK(cli.json({"explain", without.certificate})["reason"] == "issuer_blocked");
  CHECK(cli.json({"issuer", "unblock", with.certificate})["summary"]["applied"] == 2);
  CHECK(cli.run({"explain", with.certificate}).status == 0);
}

TEST_CASE("an issuer is also named by its id, and by nothing else", "[cli]") {
  const Cli cli;

  CHECK(cli.run({"issuer", "block", "0a1b2c"}).status == 0);
  CHECK(cli.redis.cli({"EXISTS", "leafgate:block:issuer:0a1b2c"}) == "1");
  CHECK(cli.run({"issuer", "block", "name-" + std::string(64, 'a')}).status == 0);
  CHECK(cli.run({"issuer", "block", "Example CA"}).status == 2);
}

TEST_CASE("device ids are checked before they become keys", "[cli]") {
  const Cli cli;
  const Ran ran = cli.run({"device", "block", "dev1", "a/b", "dev+"});

  CHECK(ran.status == 1);
  CHECK(cli.redis.cli({"EXISTS", "leafgate:block:device:dev1"}) == "1");
  CHECK(cli.redis.cli({"EXISTS", "leafgate:block:device:a/b"}) == "0");
}

TEST_CASE("devices are blocked from a list", "[cli]") {
  const Cli cli;
  const Ran ran = cli.run({"device", "block", "--from", "-"}, "dev1\ndev2\ndev3\n");

  CHECK(ran.status == 0);
  CHECK_THAT(ran.out, ContainsSubstring("blocked 3, unchanged 0, failed 0"));
  CHECK(cli.redis.cli({"EXISTS", "leafgate:block:device:dev1", "leafgate:block:device:dev3"}) ==
        "2");
}

TEST_CASE("a device named like a command is a device", "[cli]") {
  const Cli cli;
  CHECK(cli.run({"device", "block", "status"}).status == 0);
  CHECK(cli.redis.cli({"EXISTS", "leafgate:block:device:status"}) == "1");
}
