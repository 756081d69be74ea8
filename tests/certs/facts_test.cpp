// SPDX-License-Identifier: Apache-2.0
#include "certs/facts.h"

#include <openssl/err.h>

#include <filesystem>
#include <string>

#include "tests/certs/data.h"
#include "tests/support/pki.h"

using leafgate::certs::fingerprint;
using leafgate::certs::from_pem_or_der;
using leafgate::certs::load_certificates;
using leafgate::certs::read_facts;
using leafgate::certs::SanWanted;
using leafgate::policy::CertFacts;
using leafgate::policy::KeyKind;
using leafgate::policy::Time;
using leafgate::test::CertSpec;
using leafgate::test::crafted;
using leafgate::test::load;
using leafgate::test::Pki;
using leafgate::test::run;
using leafgate::test::TempDir;
using leafgate::test::write_file;
using namespace std::chrono;

namespace {

using Strings = std::vector<std::string>;

CertFacts facts_of(const std::string& name) {
  return read_facts(*crafted(name), SanWanted::kAll);
}

CertFacts facts_of(const CertSpec& spec) {
  Pki pki;
  return read_facts(*load(pki.issue(spec).certificate), SanWanted::kAll);
}

Time utc(int y, unsigned m, unsigned d) {
  return sys_days(year(y) / month(m) / day(d));
}

}  // namespace

TEST_CASE("an ordinary device certificate is read completely", "[certs][facts]") {
  Pki pki;
  const auto files = pki.issue({.cn = "dev1",
                                .san = {"URI:urn:device:dev1", "DNS:dev1.example", "IP:10.0.0.1"},
                                .not_before = "20260101120000Z",
                                .not_after = "20300630235959Z"});

  const CertFacts facts = read_facts(*load(files.certificate), SanWanted::kAll);

  CHECK(facts.readable);
  CHECK(to_hex(facts.fingerprint) == files.fingerprint);
  CHECK(facts.not_before == utc(2026, 1, 1) + 12h);
  CHECK(facts.not_after == utc(2030, 6, 30) + 24h - 1s);
  CHECK(facts.key == KeyKind::kP256);
  CHECK(facts.key_bits == 256);
  CHECK_FALSE(facts.weak_signature);
  CHECK(facts.client_auth);
  CHECK(facts.common_names == Strings{"dev1"});
  CHECK(facts.san_uris == Strings{"urn:device:dev1"});
  CHECK(facts.san_dns == Strings{"dev1.example"});
}

TEST_CASE("alternative names are left alone when nobody wants them", "[certs][facts]") {
  const CertFacts facts = read_facts(*crafted("san-1000"), SanWanted::kNone);

  CHECK(facts.readable);
  CHECK(facts.san_uris.empty());
  CHECK(facts.san_dns.empty());
}

TEST_CASE("every common name and unit is kept, in order", "[certs][facts]") {
  const CertFacts facts = facts_of(CertSpec{.cn = "", .subject = "/CN=a/OU=x/O=o/CN=b/OU=y"});

  CHECK(facts.common_names == Strings{"a", "b"});
  CHECK(facts.organizational_units == Strings{"x", "y"});
}

TEST_CASE("the issuer is known by its key and by its name", "[certs][facts]") {
  Pki pki("Ä CA");
  const auto files = pki.issue({});
  const auto ca = load(pki.ca_file());
  const auto der =
      run({"openssl", "x509", "-in", pki.ca_file(), "-noout", "-ext", "subjectKeyIdentifier"});
  std::string key_id;
  for (const char c : der.out.substr(der.out.rfind('\n', der.out.size() - 2))) {
    if (std::isxdigit(static_cast<unsigned char>(c)) != 0) {
      key_id += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }

  const CertFacts leaf = read_facts(*load(files.certificate), SanWanted::kNone);

  CHECK(leaf.issuer_key_id == key_id);
  CHECK(leaf.issuer_name_id.size() == 5 + 64);
  CHECK(leaf.issuer_name_id.substr(0, 5) == "name-");
  CHECK(leaf.issuer_name_id == read_facts(*ca, SanWanted::kNone).issuer_name_id);
}

TEST_CASE("an issuer has one name id however a certificate spells it", "[certs][facts]") {
  const TempDir dir;
  const auto named = [&](const std::string& subject, const std::string& mask = "utf8only") {
    write_file(dir / "openssl.cnf",
               "[req]\nstring_mask = " + mask + "\ndistinguished_name = none\n[none]\n");
    const std::string file = dir / "ca.crt";
    const auto made =
        run({"openssl", "req", "-x509", "-config", dir / "openssl.cnf", "-newkey", "ed25519",
             "-nodes", "-keyout", dir / "ca.key", "-utf8", "-subj", subject, "-out", file});
    REQUIRE(made.status == 0);
    return read_facts(*load(file), SanWanted::kNone).issuer_name_id;
  };
  const std::string id = named("/O=Example/CN=Fleet Ä CA");

  for (const auto* same : {"/O=EXAMPLE/CN=fleet Ä ca", "/O= Example /CN=\tFleet  Ä \n CA  "}) {
    INFO(same);
    CHECK(named(same) == id);
  }
  CHECK(named("/O=Example/CN=Fleet Ä CA", "pkix") == id);  // PrintableString and BMPString
  for (const auto* other : {"/O=Example/CN=FleetÄ CA", "/O=Example/CN=Fleet ä CA", "/O=Example",
                            "/CN=Example/O=Fleet Ä CA", "/O=Example+CN=Fleet Ä CA"}) {
    INFO(other);
    CHECK(named(other) != id);
  }
}

TEST_CASE("the issuer's name id is the SHA-256 of its canonical name in DER", "[certs][facts]") {
  // It is canonical already: printf '\x30\x17\x31\x15\x30\x13\x06\x03\x55\x04\x03\x0c\x0cmade by
  // hand' | sha256sum
  CHECK(facts_of("plain").issuer_name_id ==
        "name-4337fd1436237dad4385af0d440e3b8b90509838e801c21084f8e13d7a334e2f");
}

TEST_CASE("a certificate without authority key id has an issuer name id alone", "[certs][facts]") {
  const CertFacts facts = facts_of(CertSpec{.authority_key_id = false});

  CHECK(facts.readable);
  CHECK(facts.issuer_key_id.empty());
  CHECK_FALSE(facts.issuer_name_id.empty());
  CHECK(facts_of("aki-empty").issuer_key_id.empty());
  CHECK(facts_of("aki").issuer_key_id == "000102030405060708090a0b0c0d0e0f10111213");
}

TEST_CASE("each kind of key is told from the others", "[certs][facts]") {
  struct Case {
    std::string key;
    KeyKind kind;
    int bits;
  };
  const auto c = GENERATE(values<Case>({{"P-256", KeyKind::kP256, 256},
                                        {"P-384", KeyKind::kP384, 384},
                                        {"P-521", KeyKind::kP521, 521},
                                        {"ed25519", KeyKind::kEd25519, 256},
                                        {"ed448", KeyKind::kEd448, 456},
                                        {"rsa:2048", KeyKind::kRsa, 2048},
                                        {"rsa:1024", KeyKind::kRsa, 1024},
                                        {"secp256k1", KeyKind::kOther, 256},
                                        {"brainpoolP256r1", KeyKind::kOther, 256}}));
  INFO(c.key);

  const CertFacts facts = facts_of(CertSpec{.key = c.key});

  CHECK(facts.readable);
  CHECK(facts.key == c.kind);
  CHECK(facts.key_bits == c.bits);
}

TEST_CASE("a key that is not what it says counts for nothing", "[certs][facts]") {
  const std::string name = GENERATE(as<std::string>{}, "key-explicit-curve", "key-off-curve",
                                    "key-unknown", "key-rsa-garbage");
  INFO(name);

  CHECK(facts_of(name).key == KeyKind::kOther);
}

TEST_CASE("signatures by MD5, SHA-1 and the unknown are weak", "[certs][facts]") {
  struct Case {
    std::string digest;
    bool weak;
  };
  const auto c = GENERATE(values<Case>(
      {{"md5", true}, {"sha1", true}, {"sha256", false}, {"sha384", false}, {"sha512", false}}));
  INFO(c.digest);
  Pki pki("RSA CA", "rsa:2048");

  const auto leaf = load(pki.issue({.digest = c.digest}).certificate);

  CHECK(read_facts(*leaf, SanWanted::kNone).weak_signature == c.weak);
}

TEST_CASE("a signature is judged by what its parameters say", "[certs][facts]") {
  CHECK_FALSE(facts_of("plain").weak_signature);
  CHECK(facts_of("signature-unknown").weak_signature);
  CHECK(facts_of("signature-pss-sha1").weak_signature);
  CHECK(facts_of("signature-pss-default").weak_signature);
  CHECK_FALSE(facts_of("signature-pss-sha256").weak_signature);
}

TEST_CASE("signatures of Ed25519 and Ed448 are strong", "[certs][facts]") {
  const std::string key = GENERATE(as<std::string>{}, "ed25519", "ed448");
  Pki pki("EdDSA CA", key);

  // A self-signed certificate carries the signature of its own key.
  CHECK_FALSE(read_facts(*load(pki.ca_file()), SanWanted::kNone).weak_signature);
}

TEST_CASE("client authentication is allowed by its usage or by none at all", "[certs][facts]") {
  struct Case {
    std::string usage;
    bool allowed;
  };
  const auto c = GENERATE(values<Case>({{"", true},
                                        {"clientAuth", true},
                                        {"serverAuth,clientAuth", true},
                                        {"serverAuth", false},
                                        {"1.3.6.1.4.1.99999.4", false}}));
  INFO(c.usage);

  CHECK(facts_of(CertSpec{.extended_key_usage = c.usage}).client_auth == c.allowed);
}

TEST_CASE("any usage alone is not client authentication", "[certs][facts]") {
  CHECK_FALSE(facts_of("eku-any").client_auth);
  CHECK(facts_of("eku-any-client").client_auth);
}

TEST_CASE("names in every character set arrive as UTF-8", "[certs][facts]") {
  CHECK(facts_of("cn-bmp").common_names == Strings{"dév1"});
  CHECK(facts_of("cn-universal").common_names == Strings{"dév1"});
  CHECK(facts_of("cn-t61").common_names == Strings{"dév1"});
  CHECK(facts_of("cn-empty").common_names == Strings{""});
}

TEST_CASE("a certificate may lack a subject, an issuer and extensions", "[certs][facts]") {
  CHECK(facts_of("subject-none").readable);
  CHECK(facts_of("subject-none").common_names.empty());
  CHECK(facts_of("issuer-none").readable);

  const CertFacts bare = facts_of("extension-none");
  CHECK(bare.readable);
  CHECK(bare.client_auth);
  CHECK(bare.issuer_key_id.empty());
}

TEST_CASE("a thousand names are read as patiently as one", "[certs][facts]") {
  const CertFacts alternative = facts_of("san-1000");
  CHECK(alternative.san_uris.size() == 1000);
  CHECK(alternative.san_uris.back() == "urn:device:999");
  CHECK(alternative.san_dns.size() == 1000);

  CHECK(facts_of("subject-many").common_names.size() == 1000);
  CHECK(facts_of("subject-one-rdn").common_names == Strings{"dev1", "dev2"});
}

TEST_CASE("times at the ends of what a certificate can say are understood", "[certs][facts]") {
  CHECK(facts_of("time-9999").not_after == utc(9999, 12, 31) + 24h - 1s);
  CHECK(facts_of("time-9999").not_after < leafgate::policy::kNever);
  CHECK(facts_of("time-1950").not_before == utc(1950, 1, 1));
  CHECK(facts_of("time-year-0").not_before == utc(0, 1, 1));
  CHECK(facts_of("time-backwards").readable);
}

TEST_CASE("a certificate with a field that cannot be decoded is unreadable", "[certs][facts]") {
  const std::string name = GENERATE(
      as<std::string>{}, "cn-nul", "cn-nul-bmp", "cn-printable-high", "cn-bits", "ou-nul",
      "time-letters", "time-feb-30", "time-second-60", "extension-critical", "eku-twice",
      "eku-garbage", "san-nul", "san-high", "san-twice", "san-garbage", "aki-long", "aki-garbage");
  INFO(name);

  const CertFacts facts = facts_of(name);

  CHECK_FALSE(facts.readable);
  CHECK(facts.fingerprint == fingerprint(*crafted(name)));
  CHECK(facts.common_names.empty());
  CHECK_FALSE(facts.client_auth);
}

TEST_CASE("a time of no bytes is refused, by OpenSSL 3.5 or by us", "[certs][facts]") {
  const auto read = load_certificates(leafgate::test::crafted_path("time-empty"));

  CHECK((!read || !read_facts(*read.value().front(), SanWanted::kAll).readable));
}

TEST_CASE("an unknown extension that is not critical does not matter", "[certs][facts]") {
  CHECK(facts_of("extension-unknown").readable);
}

TEST_CASE("reading any certificate leaves OpenSSL's error queue empty", "[certs][facts]") {
  ERR_clear_error();
  int seen = 0;
  for (const auto& file : std::filesystem::directory_iterator("tests/data/certificates")) {
    const auto read = from_pem_or_der(leafgate::test::read_file(file.path().string()));
    if (!read) continue;
    (void)read_facts(*read.value().front(), SanWanted::kAll);
    INFO(file.path().string());
    CHECK(ERR_peek_error() == 0);
    ++seen;
  }
  CHECK(seen > 40);
}
