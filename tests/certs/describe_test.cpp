// SPDX-License-Identifier: Apache-2.0
#include "certs/describe.h"

#include <algorithm>
#include <string>

#include "tests/certs/data.h"
#include "tests/support/pki.h"

using leafgate::ErrorKind;
using leafgate::certs::describe;
using leafgate::certs::Description;
using leafgate::test::CertSpec;
using leafgate::test::crafted;
using leafgate::test::load;
using leafgate::test::Pki;
using leafgate::test::run;

namespace {

using Strings = std::vector<std::string>;

Description described(const leafgate::certs::Certificate& certificate) {
  auto description = describe(*certificate);
  INFO((description ? "" : description.error().message));
  REQUIRE(description);
  return std::move(description).value();
}

// `openssl x509 -noout <question>`, the part after `=`, without colons, in lower case.
std::string said(const std::string& certificate, const std::string& question) {
  const std::string out = run({"openssl", "x509", "-in", certificate, "-noout", question}).out;
  std::string digits;
  for (const char c : out.substr(out.find('=') + 1)) {
    if (c != ':' && c != '\n') digits += static_cast<char>(std::tolower(c));
  }
  return digits;
}

}  // namespace

TEST_CASE("a description says what openssl says", "[certs][describe]") {
  Pki pki;
  const auto files = pki.issue({.cn = "dev1",
                                .san = {"URI:urn:device:dev1", "DNS:dev1.example", "IP:10.0.0.1",
                                        "IP:2001:db8::1", "email:a@b.example"},
                                .not_before = "20260101120000Z",
                                .not_after = "20300630235959Z"});

  const Description d = described(load(files.certificate));

  CHECK(to_hex(d.fingerprint) == files.fingerprint);
  CHECK(d.subject == "CN=dev1");
  CHECK(d.issuer == "CN=test CA");
  CHECK(d.serial == said(files.certificate, "-serial"));
  CHECK(d.not_before == std::chrono::sys_seconds(std::chrono::seconds(1767268800)));
  CHECK(d.not_after == std::chrono::sys_seconds(std::chrono::seconds(1909094399)));
  CHECK(d.key == "P-256");
  CHECK(d.signature == "ecdsa-with-SHA256");
  CHECK_FALSE(d.is_ca);
  CHECK(d.san == Strings{"URI:urn:device:dev1", "DNS:dev1.example", "IP:10.0.0.1", "IP:2001:db8::1",
                         "email:a@b.example"});
  CHECK(d.key_usage == Strings{"digitalSignature", "clientAuth"});
}

TEST_CASE("the key hash is the SHA-256 of the public key's DER", "[certs][describe]") {
  Pki pki;
  const auto files = pki.issue({});
  const leafgate::test::TempDir dir;
  run({"openssl", "pkey", "-in", files.key, "-pubout", "-outform", "DER", "-out", dir / "key.der"});

  const Description d = described(load(files.certificate));

  CHECK(d.spki == run({"sha256sum", dir / "key.der"}).out.substr(0, 64));
}

TEST_CASE("a certificate names its issuer's key", "[certs][describe]") {
  Pki pki;

  const Description ca = described(load(pki.ca_file()));
  const Description leaf = described(load(pki.issue({}).certificate));
  const Description bare = described(load(pki.issue({.authority_key_id = false}).certificate));

  CHECK(ca.is_ca);
  CHECK(ca.key_usage == Strings{"keyCertSign", "cRLSign"});
  CHECK(ca.subject_key_id.size() == 40);
  CHECK(leaf.issuer_key_id == ca.subject_key_id);
  CHECK(bare.issuer_key_id.empty());
}

TEST_CASE("each kind of key has its name", "[certs][describe]") {
  struct Case {
    std::string key;
    std::string name;
  };
  const auto c = GENERATE(values<Case>({{"P-384", "P-384"},
                                        {"P-521", "P-521"},
                                        {"ed25519", "Ed25519"},
                                        {"ed448", "Ed448"},
                                        {"rsa:2048", "RSA 2048"},
                                        {"secp256k1", "unsupported: id-ecPublicKey"}}));
  INFO(c.key);
  Pki pki;

  CHECK(described(load(pki.issue({.key = c.key}).certificate)).key == c.name);
}

TEST_CASE("names from a certificate are printable ASCII and nothing else", "[certs][describe]") {
  Pki pki("Ä\nCA");
  const auto files = pki.issue({.cn = "a\x1b[2Jb,c\xc3\xa9", .san = {"DNS:ok"}});

  const Description d = described(load(files.certificate));

  CHECK(d.subject == R"(CN=a\1B[2Jb\,c\C3\A9)");
  CHECK(d.issuer == R"(CN=\C3\84\0ACA)");
  CHECK(described(crafted("san-nul")).san == Strings{R"(URI:urn:device:dev1\x00x)"});
  CHECK(described(crafted("san-high")).san == Strings{R"(DNS:d\xe9v)"});
  CHECK(described(crafted("cn-nul")).subject == R"(CN=dev1\00.evil)");
}

TEST_CASE("names of rare kinds are shown, not hidden", "[certs][describe]") {
  Pki pki;
  const auto files = pki.issue({.san = {"otherName:1.3.6.1.4.1.311.20.2.3;UTF8:user@example"}});

  const Description d = described(load(files.certificate));

  REQUIRE(d.san.size() == 1);
  CHECK_THAT(d.san.front(), ContainsSubstring("othername"));
  CHECK(described(crafted("san-short-ip")).san == Strings{"IP:7f0000"});
}

TEST_CASE("odd serial numbers keep their sign and their bytes", "[certs][describe]") {
  CHECK(described(crafted("serial-negative")).serial == "-02");
  CHECK(described(crafted("serial-zero")).serial == "00");
}

TEST_CASE("a certificate that breaks its own fields is not described", "[certs][describe]") {
  struct Case {
    std::string name;
    std::string field;
  };
  const auto c =
      GENERATE(values<Case>({{"serial-long", "serial number"}, {"time-letters", "validity"}}));
  INFO(c.name);

  const auto description = describe(*crafted(c.name));

  REQUIRE_FALSE(description);
  CHECK(description.error().kind == ErrorKind::kInvalid);
  CHECK_THAT(description.error().message, ContainsSubstring(c.field));
}
