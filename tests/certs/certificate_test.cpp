// SPDX-License-Identifier: Apache-2.0
#include "certs/certificate.h"

#include <openssl/err.h>
#include <sys/stat.h>

#include <string>

#include "tests/certs/data.h"
#include "tests/support/pki.h"

using leafgate::ErrorKind;
using leafgate::certs::fingerprint;
using leafgate::certs::from_der;
using leafgate::certs::from_pem_or_der;
using leafgate::certs::load_certificates;
using leafgate::certs::to_pem;
using leafgate::policy::to_hex;
using leafgate::test::CertFiles;
using leafgate::test::crafted;
using leafgate::test::crafted_bytes;
using leafgate::test::load;
using leafgate::test::Pki;
using leafgate::test::read_file;
using leafgate::test::run;
using leafgate::test::TempDir;
using leafgate::test::write_file;

namespace {

std::span<const std::uint8_t> bytes(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

TEST_CASE("a fingerprint is what openssl says it is", "[certs][certificate]") {
  Pki pki;
  const CertFiles dev1 = pki.issue({});

  CHECK(to_hex(fingerprint(*load(dev1.certificate))) == dev1.fingerprint);
  CHECK(to_hex(fingerprint(*load(pki.ca_file()))) == pki.ca().fingerprint);
}

TEST_CASE("a fingerprint is the SHA-256 of the file in DER", "[certs][certificate]") {
  const auto said = run({"sha256sum", leafgate::test::crafted_path("plain")}).out;

  CHECK(to_hex(fingerprint(*crafted("plain"))) == said.substr(0, 64));
}

TEST_CASE("a certificate survives the way through PEM", "[certs][certificate]") {
  const auto original = crafted("plain");

  const auto again = from_pem_or_der(to_pem(*original));

  REQUIRE(again);
  REQUIRE(again.value().size() == 1);
  CHECK(fingerprint(*again.value().front()) == fingerprint(*original));
}

TEST_CASE("every certificate of a bundle is read, in order, and keys are skipped",
          "[certs][certificate]") {
  Pki pki;
  const CertFiles dev1 = pki.issue({});
  const std::string bundle = "a title\n" + read_file(dev1.key) + read_file(dev1.certificate) +
                             "between\n" + read_file(pki.ca_file());

  const auto read = from_pem_or_der(bundle);

  REQUIRE(read);
  REQUIRE(read.value().size() == 2);
  CHECK(to_hex(fingerprint(*read.value()[0])) == dev1.fingerprint);
  CHECK(to_hex(fingerprint(*read.value()[1])) == pki.ca().fingerprint);
}

TEST_CASE("a damaged block is named by its number", "[certs][certificate]") {
  Pki pki;
  const std::string good = read_file(pki.ca_file());
  std::string bad = good;
  SECTION("wrong base64") {
    bad[bad.find('\n') + 10] = '!';
  }
  SECTION("right base64 of something else") {
    bad = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
  }
  SECTION("no end") {
    bad = bad.substr(0, bad.find("-----END"));
  }

  const auto read = from_pem_or_der(good + bad);

  REQUIRE_FALSE(read);
  CHECK(read.error().kind == ErrorKind::kInvalid);
  CHECK_THAT(read.error().message, ContainsSubstring("PEM block 2"));
}

TEST_CASE("what is not exactly one DER certificate is refused", "[certs][certificate]") {
  const std::string name = GENERATE(as<std::string>{}, "trailing", "truncated", "not-der", "empty",
                                    "cn-octets", "cn-general", "cn-bmp-odd", "cn-bad-utf8");
  INFO(name);
  const std::string der = crafted_bytes(name);

  const auto read = from_der(bytes(der));

  REQUIRE_FALSE(read);
  CHECK(read.error().kind == ErrorKind::kInvalid);
}

TEST_CASE("a certificate larger than the limit is refused unseen", "[certs][certificate]") {
  const std::string der(leafgate::certs::kCertificateBytesMax + 1, '\x30');

  const auto read = from_der(bytes(der));

  REQUIRE_FALSE(read);
  CHECK_THAT(read.error().message, ContainsSubstring("more than 65536 bytes"));
}

TEST_CASE("a text without a certificate says what was expected", "[certs][certificate]") {
  Pki pki;
  const std::string text = GENERATE_REF(as<std::string>{}, "", "hello", read_file(pki.ca().key));

  const auto read = from_pem_or_der(text);

  REQUIRE_FALSE(read);
  CHECK(read.error().kind == ErrorKind::kInvalid);
  CHECK_THAT(read.error().message, ContainsSubstring("BEGIN CERTIFICATE"));
}

TEST_CASE("a file that cannot be read is named with the cause", "[certs][certificate]") {
  const TempDir dir;

  const auto missing = load_certificates(dir / "missing.pem");
  REQUIRE_FALSE(missing);
  CHECK(missing.error().kind == ErrorKind::kNotFound);
  CHECK_THAT(missing.error().message,
             ContainsSubstring("missing.pem") && ContainsSubstring("No such file"));

  const auto folder = load_certificates(dir.path().string());
  REQUIRE_FALSE(folder);
  CHECK(folder.error().kind == ErrorKind::kUnreachable);

  write_file(dir / "text.pem", "hello");
  const auto text = load_certificates(dir / "text.pem");
  REQUIRE_FALSE(text);
  CHECK(text.error().kind == ErrorKind::kInvalid);
  CHECK_THAT(text.error().message, ContainsSubstring("text.pem"));
}

TEST_CASE("failures leave OpenSSL's error queue as they found it", "[certs][certificate]") {
  ERR_clear_error();
  SECTION("when it was empty") {
    (void)from_pem_or_der("hello");
    (void)from_pem_or_der("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");

    CHECK(ERR_peek_error() == 0);
  }
  SECTION("when somebody else's error was on it") {
    ERR_raise(ERR_LIB_USER, 42);
    const auto before = ERR_peek_last_error();

    (void)from_pem_or_der("hello");

    CHECK(ERR_peek_last_error() == before);
  }
  ERR_clear_error();
}
