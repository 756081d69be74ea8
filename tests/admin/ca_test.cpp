// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include <filesystem>

#include "tests/admin/cli.h"
#include "tests/catch.h"

using namespace leafgate::test;

namespace {

int rights(const std::string& path) {
  struct stat found {};
  return stat(path.c_str(), &found) == 0 ? static_cast<int>(found.st_mode & 0777U) : -1;
}

std::string fingerprint(const std::string& certificate) {
  std::string text =
      run({"openssl", "x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"}).out;
  std::string out;
  for (const char c : text.substr(text.find('=') + 1)) {
    if (c != ':' && c != '\n') out += static_cast<char>(std::tolower(c));
  }
  return out;
}

// A CA that a test may issue from.
struct Ca {
  Ca() { REQUIRE(cli.run({"ca", "init", ca(), "--name", "Example"}).status == 0); }
  std::string ca() const { return dir / "ca"; }
  std::string out(const std::string& file) const { return dir / ("certs/" + file); }
  Ran issue(std::vector<std::string> more, const std::string& input = "") const {
    more.insert(more.begin(), {"ca", "issue", "--ca", ca(), "--out", dir / "certs"});
    return cli.run(more, input);
  }

  Cli cli;
  TempDir dir;
};

}  // namespace

TEST_CASE("ca init makes a root and an issuing CA that openssl accepts, keys for the owner only",
          "[cli][ca]") {
  const Ca ca;

  CHECK(rights(ca.ca()) == 0700);
  CHECK(rights(ca.ca() + "/root.key") == 0600);
  CHECK(rights(ca.ca() + "/issuing.key") == 0600);
  CHECK(run({"openssl", "verify", "-x509_strict", "-CAfile", ca.ca() + "/root.crt",
             ca.ca() + "/issuing.crt"})
            .status == 0);
}

TEST_CASE("a CA is never made over another one", "[cli][ca]") {
  const Ca ca;
  const std::string key = read_file(ca.ca() + "/root.key");

  CHECK(ca.cli.run({"ca", "init", ca.ca()}).status != 0);
  CHECK(read_file(ca.ca() + "/root.key") == key);

  std::filesystem::remove(ca.ca() + "/root.key");
  std::filesystem::remove(ca.ca() + "/root.crt");
  CHECK(ca.cli.run({"ca", "init", ca.ca()}).status != 0);
  CHECK_FALSE(std::filesystem::exists(ca.ca() + "/root.key"));
  CHECK(std::filesystem::exists(ca.ca() + "/issuing.key"));
}

TEST_CASE("device certificates verify as TLS clients and carry the device's name", "[cli][ca]") {
  const Ca ca;
  const Ran ran = ca.issue({"--device", "dev1", "--device", "dev2", "--days", "30"});

  CHECK(ran.status == 0);
  for (const std::string id : {"dev1", "dev2"}) {
    CHECK(rights(ca.out(id + ".key")) == 0600);
    CHECK(run({"openssl", "verify", "-x509_strict", "-purpose", "sslclient", "-CAfile",
               ca.ca() + "/ca-chain.crt", ca.out(id + ".crt")})
              .status == 0);
    CHECK_THAT(run({"openssl", "x509", "-in", ca.out(id + ".crt"), "-noout", "-subject"}).out,
               ContainsSubstring("CN = " + id));
  }
}

TEST_CASE("issued and registered devices are admitted at once when they are activated",
          "[cli][ca]") {
  const Ca ca;
  REQUIRE(ca.issue({"--device", "dev1", "--register", "--activate"}).status == 0);
  REQUIRE(ca.issue({"--device", "dev2", "--register"}).status == 0);

  CHECK(ca.cli.field(fingerprint(ca.out("dev1.crt")), "state") == "active");
  CHECK(ca.cli.run({"explain", ca.out("dev1.crt")}).status == 0);
  CHECK(ca.cli.json({"explain", ca.out("dev2.crt")})["reason"] == "pending");
}

TEST_CASE("issuing a list again goes on where it stopped and overwrites nothing", "[cli][ca]") {
  const Ca ca;
  CHECK(ca.issue({"--from", "-"}, "dev1\ndev2\n").out == "issued 2, unchanged 0, failed 0\n");
  const std::string key = read_file(ca.out("dev1.key"));
  const Ran again = ca.issue({"--from", "-", "--register"}, "dev1\ndev2\ndev3\nno/good\n");

  CHECK(again.status == 1);
  CHECK_THAT(again.out, ContainsSubstring("registered 3, unchanged 0, failed 1"));
  CHECK(read_file(ca.out("dev1.key")) == key);
  std::filesystem::remove(ca.out("dev2.crt"));
  CHECK(ca.issue({"--device", "dev2"}).status == 1);
  CHECK_FALSE(std::filesystem::exists(ca.out("dev2.crt")));
}

TEST_CASE("a server certificate verifies for each of its names", "[cli][ca]") {
  const Ca ca;
  REQUIRE(ca.issue({"--server", "broker.example", "127.0.0.1"}).status == 0);

  for (const std::vector<std::string>& name : std::vector<std::vector<std::string>>{
           {"-verify_hostname", "broker.example"}, {"-verify_ip", "127.0.0.1"}}) {
    CHECK(run({"openssl", "verify", "-x509_strict", "-purpose", "sslserver", name[0], name[1],
               "-CAfile", ca.ca() + "/ca-chain.crt", ca.out("broker.example.crt")})
              .status == 0);
  }
  CHECK(ca.issue({"--server", "../../evil"}).status == 2);
}

TEST_CASE("every kind of key can be asked for", "[cli][ca]") {
  const Ca ca;
  for (const std::string kind : {"p256", "p384", "ed25519", "rsa3072"}) {
    INFO(kind);
    CHECK(ca.issue({"--device", kind, "--key", kind}).status == 0);
    CHECK(ca.cli.json({"explain", ca.out(kind + ".crt"), "--record", "state=active"})["reason"] ==
          "granted");
  }
  CHECK(ca.issue({"--device", "x", "--key", "dsa"}).status == 2);
  CHECK(ca.issue({"--device", "x", "--days", "0"}).status == 2);
}
