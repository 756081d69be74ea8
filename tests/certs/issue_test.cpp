// SPDX-License-Identifier: Apache-2.0
#include "certs/issue.h"

#include <openssl/err.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "certs/describe.h"
#include "certs/facts.h"
#include "tests/certs/data.h"
#include "tests/support/pki.h"

using leafgate::ErrorKind;
using leafgate::certs::Credential;
using leafgate::certs::describe;
using leafgate::certs::Description;
using leafgate::certs::fingerprint;
using leafgate::certs::generate_key;
using leafgate::certs::issue_device;
using leafgate::certs::issue_server;
using leafgate::certs::load_credential;
using leafgate::certs::make_issuing_ca;
using leafgate::certs::make_root;
using leafgate::certs::NewKey;
using leafgate::certs::read_facts;
using leafgate::certs::SanWanted;
using leafgate::certs::to_pem;
using leafgate::certs::write_credential;
using leafgate::policy::Time;
using leafgate::test::Pki;
using leafgate::test::read_file;
using leafgate::test::run;
using leafgate::test::TempDir;
using leafgate::test::write_file;
using namespace std::chrono;

namespace {

using Strings = std::vector<std::string>;

constexpr Time kNow = sys_days(year(2026) / 6 / 1) + 12h;
constexpr seconds kDay = 24h;

template <typename T>
T good(leafgate::Result<T> result) {
  INFO((result ? "" : result.error().message));
  REQUIRE(result);
  return std::move(result).value();
}

Credential a_root(NewKey key = NewKey::kP256) {
  return good(make_root({.common_name = "root", .validity = 3650 * kDay, .key = key}, kNow));
}

Credential an_issuing_ca(const Credential& root, NewKey key = NewKey::kP256) {
  return good(
      make_issuing_ca({.common_name = "issuing", .validity = 365 * kDay, .key = key}, root, kNow));
}

Credential a_device(const Credential& issuer, const std::string& device = "dev1") {
  return good(issue_device({.device = device, .validity = 30 * kDay}, issuer, kNow));
}

Description described(const Credential& credential) {
  return good(describe(*credential.certificate));
}

// Root, issuing CA and one more certificate as files, for openssl to judge.
struct Chain {
  TempDir dir;
  std::string root = dir / "root.crt";
  std::string issuing = dir / "issuing.crt";
  std::string leaf = dir / "leaf.crt";

  Chain(const Credential& a, const Credential& b, const Credential& c) {
    write_file(root, to_pem(*a.certificate));
    write_file(issuing, to_pem(*b.certificate));
    write_file(leaf, to_pem(*c.certificate));
  }

  leafgate::test::Ran verify(const std::string& purpose) const {
    const auto at = duration_cast<seconds>(kNow.time_since_epoch()).count();
    return run({"openssl", "verify", "-x509_strict", "-purpose", purpose, "-attime",
                std::to_string(at), "-CAfile", root, "-untrusted", issuing, leaf});
  }
};

std::string text_of(const std::string& certificate) {
  return run({"openssl", "x509", "-in", certificate, "-noout", "-text"}).out;
}

mode_t mode_of(const std::string& path) {
  struct stat status {};
  REQUIRE(::stat(path.c_str(), &status) == 0);
  return status.st_mode & 07777;
}

bool exists(const std::string& path) {
  return std::filesystem::exists(path);
}

}  // namespace

TEST_CASE("an issued chain satisfies openssl at its strictest", "[certs][issue]") {
  struct Case {
    NewKey root, issuing, leaf;
  };
  const auto c = GENERATE(values<Case>({{NewKey::kP256, NewKey::kP256, NewKey::kP256},
                                        {NewKey::kP384, NewKey::kEd25519, NewKey::kP384},
                                        {NewKey::kEd25519, NewKey::kP384, NewKey::kEd25519},
                                        {NewKey::kRsa3072, NewKey::kRsa3072, NewKey::kP256}}));
  INFO("leaf key " << static_cast<int>(c.leaf));
  const Credential root = a_root(c.root);
  const Credential issuing = an_issuing_ca(root, c.issuing);

  const Chain client(
      root, issuing,
      good(issue_device({.device = "dev1", .validity = kDay, .key = c.leaf}, issuing, kNow)));
  const Chain server(root, issuing,
                     good(issue_server({.names = {"mqtt.example"}, .validity = kDay, .key = c.leaf},
                                       issuing, kNow)));

  const auto as_client = client.verify("sslclient");
  INFO(as_client.out << as_client.err);
  CHECK(as_client.status == 0);
  CHECK(server.verify("sslserver").status == 0);
  CHECK(client.verify("sslserver").status != 0);
  CHECK(server.verify("sslclient").status != 0);
}

TEST_CASE("a device certificate has the profile of a client and no more", "[certs][issue]") {
  const Credential root = a_root();
  const Credential issuing = an_issuing_ca(root);
  const Chain chain(root, issuing, a_device(issuing));

  const std::string text = text_of(chain.leaf);

  CHECK_THAT(text, ContainsSubstring("Version: 3"));
  CHECK_THAT(text,
             ContainsSubstring("Issuer: CN = issuing") || ContainsSubstring("Issuer: CN=issuing"));
  CHECK_THAT(text, ContainsSubstring("Not Before: Jun  1 11:55:00 2026 GMT"));
  CHECK_THAT(text, ContainsSubstring("Not After : Jul  1 12:00:00 2026 GMT"));
  CHECK_THAT(text, ContainsSubstring("Basic Constraints: critical\n                CA:FALSE"));
  CHECK_THAT(text, ContainsSubstring("Key Usage: critical\n                Digital Signature\n"));
  CHECK_THAT(text, ContainsSubstring(
                       "Extended Key Usage: \n                TLS Web Client Authentication\n"));
  CHECK_THAT(text, ContainsSubstring("URI:urn:device:dev1\n"));
  CHECK_THAT(text, ContainsSubstring("NIST CURVE: P-256"));
}

TEST_CASE("certificates of an authority can sign, to the depth they are for", "[certs][issue]") {
  const Credential root = a_root();
  const Credential issuing = an_issuing_ca(root);
  const Chain chain(root, issuing, a_device(issuing));

  const std::string of_root = text_of(chain.root);
  const std::string of_issuing = text_of(chain.issuing);

  CHECK_THAT(of_root, ContainsSubstring("Basic Constraints: critical\n                CA:TRUE\n"));
  CHECK_THAT(of_issuing, ContainsSubstring("CA:TRUE, pathlen:0\n"));
  for (const std::string& text : {of_root, of_issuing}) {
    CHECK_THAT(
        text, ContainsSubstring("Key Usage: critical\n                Certificate Sign, CRL Sign"));
  }
}

TEST_CASE("a leaf's issuer is known by key and by name", "[certs][issue]") {
  const Credential root = a_root();
  const Credential issuing = an_issuing_ca(root);

  const Description of_root = described(root);
  const Description of_issuing = described(issuing);
  const Description leaf = described(a_device(issuing));

  CHECK(of_root.subject_key_id.size() == 40);
  CHECK(of_issuing.issuer_key_id == of_root.subject_key_id);
  CHECK(leaf.issuer_key_id == of_issuing.subject_key_id);
  CHECK(leaf.issuer == "CN=issuing");
}

TEST_CASE("the issuer's name is copied byte for byte, in whatever encoding", "[certs][issue]") {
  Pki pki("Ä authority");
  const Credential authority = good(load_credential(pki.ca().certificate, pki.ca().key));

  const auto now = floor<milliseconds>(system_clock::now());
  const Credential leaf = good(issue_device({.device = "dev1", .validity = kDay}, authority, now));

  // The name id is the SHA-256 of those bytes, and the authority signed itself.
  CHECK(read_facts(*leaf.certificate, SanWanted::kNone).issuer_name_id ==
        read_facts(*authority.certificate, SanWanted::kNone).issuer_name_id);
}

TEST_CASE("serial numbers are positive, of at most 16 bytes, and never the same",
          "[certs][issue]") {
  const Credential root = a_root();
  std::vector<std::string> serials;
  std::size_t longest = 0;
  for (int i = 0; i < 64; ++i) {
    const std::string serial = described(a_device(root)).serial;
    CHECK(serial.front() != '-');
    longest = std::max(longest, serial.size());
    serials.push_back(serial);
  }

  std::sort(serials.begin(), serials.end());

  CHECK(longest == 32);  // that all 64 begin with a zero byte has a chance of 2^-448
  CHECK(std::adjacent_find(serials.begin(), serials.end()) == serials.end());
}

TEST_CASE("a leaf never outlives its issuer", "[certs][issue]") {
  const Credential root = a_root();

  const Credential leaf =
      good(issue_device({.device = "dev1", .validity = 36500 * kDay}, root, kNow));

  CHECK(described(leaf).not_after == described(root).not_after);
}

TEST_CASE("an expired authority issues nothing", "[certs][issue]") {
  const Credential root = a_root();

  const auto late =
      issue_device({.device = "dev1", .validity = kDay}, root, kNow + 3650 * kDay + 1s);

  REQUIRE_FALSE(late);
  CHECK_THAT(late.error().message, ContainsSubstring("expired"));
}

TEST_CASE("a validity of nothing, and one past the year 9999, are refused", "[certs][issue]") {
  const seconds length = GENERATE(0s, -1s, seconds(24h * 365 * 8000), seconds::max());

  const auto root = make_root({.common_name = "root", .validity = length}, kNow);

  REQUIRE_FALSE(root);
  CHECK(root.error().kind == ErrorKind::kInvalid);
  CHECK_THAT(root.error().message, ContainsSubstring("validity"));
}

TEST_CASE("a certificate may last until the end of the year 9999", "[certs][issue]") {
  constexpr Time kEnd = sys_days(year(9999) / 12 / 31) + 24h - 1s;

  const Credential root =
      good(make_root({.common_name = "root", .validity = floor<seconds>(kEnd - kNow)}, kNow));

  CHECK(described(root).not_after == kEnd);
}

TEST_CASE("a device id is one name however it is punctuated", "[certs][issue]") {
  struct Case {
    std::string device;
    std::string uri;
  };
  const auto c = GENERATE(values<Case>({
      {"a,DNS:evil.example", "urn:device:a,DNS:evil.example"},
      {"a b%c", "urn:device:a%20b%25c"},
      {"caf\xc3\xa9", "urn:device:caf%c3%a9"},
      {std::string(64, 'x'), "urn:device:" + std::string(64, 'x')},
  }));
  const Credential leaf = a_device(a_root(), c.device);

  const auto facts = read_facts(*leaf.certificate, SanWanted::kAll);

  CHECK(facts.common_names == Strings{c.device});
  CHECK(facts.san_uris == Strings{c.uri});
  CHECK(facts.san_dns.empty());
}

TEST_CASE("what is not a device id gets no certificate", "[certs][issue]") {
  const std::string device = GENERATE(as<std::string>{}, "", "a/b", "a+b", "#", "a\nb",
                                      std::string("a\0b", 3), std::string(65, 'x'), "\xff");

  const auto leaf = issue_device({.device = device, .validity = kDay}, a_root(), kNow);

  REQUIRE_FALSE(leaf);
  CHECK(leaf.error().kind == ErrorKind::kInvalid);
}

TEST_CASE("a server certificate holds its names as what they are", "[certs][issue]") {
  const Credential leaf = good(issue_server(
      {.names = {"mqtt.example", "127.0.0.1", "::1", "broker"}, .validity = kDay}, a_root(), kNow));

  CHECK(described(leaf).subject == "CN=mqtt.example");
  CHECK(described(leaf).san == Strings{"DNS:mqtt.example", "IP:127.0.0.1", "IP:::1", "DNS:broker"});
  CHECK(described(leaf).key_usage == Strings{"digitalSignature", "serverAuth"});
}

TEST_CASE("what is neither host name nor address is no server name", "[certs][issue]") {
  const std::string name = GENERATE(as<std::string>{}, "", "a..b", ".a", "a.", "a b", "a_b",
                                    "a,DNS:b", "*", "é", std::string(64, 'a') + ".example");
  INFO(name);

  const auto leaf = issue_server({.names = {"ok.example", name}, .validity = kDay}, a_root(), kNow);

  REQUIRE_FALSE(leaf);
  CHECK_THAT(leaf.error().message, ContainsSubstring("`" + name + "`"));
}

TEST_CASE("a server certificate needs a name, and not too many", "[certs][issue]") {
  const Credential root = a_root();

  CHECK_FALSE(issue_server({.names = {}, .validity = kDay}, root, kNow));
  CHECK_FALSE(issue_server({.names = Strings(101, "a.example"), .validity = kDay}, root, kNow));
}

TEST_CASE("a common name an X.509 name cannot hold is refused", "[certs][issue]") {
  const std::string name =
      GENERATE(as<std::string>{}, "", std::string(65, 'x'), "\xff", std::string("a\0b", 3));

  CHECK_FALSE(make_root({.common_name = name, .validity = kDay}, kNow));
}

TEST_CASE("only an authority with its own key issues certificates", "[certs][issue]") {
  const Credential root = a_root();
  Credential device = a_device(root);
  Credential mixed = a_root();
  mixed.key = good(generate_key(NewKey::kP256));

  const auto by_device = issue_device({.device = "dev2", .validity = kDay}, device, kNow);
  const auto by_mixed = issue_device({.device = "dev2", .validity = kDay}, mixed, kNow);
  const auto below =
      make_issuing_ca({.common_name = "sub", .validity = kDay}, an_issuing_ca(root), kNow);

  REQUIRE_FALSE(by_device);
  CHECK_THAT(by_device.error().message, ContainsSubstring("certificate authority"));
  REQUIRE_FALSE(by_mixed);
  CHECK_THAT(by_mixed.error().message, ContainsSubstring("do not belong together"));
  REQUIRE_FALSE(below);
  CHECK_THAT(below.error().message, ContainsSubstring("path length"));
}

TEST_CASE("a written credential is what openssl and we read back", "[certs][issue]") {
  const TempDir dir;
  const Credential root = a_root();
  const Credential leaf = a_device(root);

  REQUIRE(write_credential(*leaf.key, {leaf.certificate.get(), root.certificate.get()},
                           dir / "dev1.key", dir / "dev1.crt"));

  CHECK(mode_of(dir / "dev1.key") == 0600);
  CHECK(mode_of(dir / "dev1.crt") == 0644);
  CHECK_THAT(read_file(dir / "dev1.key"), ContainsSubstring("-----BEGIN PRIVATE KEY-----"));
  CHECK(run({"openssl", "pkey", "-in", dir / "dev1.key", "-check", "-noout"}).status == 0);
  const Credential again = good(load_credential(dir / "dev1.crt", dir / "dev1.key"));
  CHECK(fingerprint(*again.certificate) == fingerprint(*leaf.certificate));
  CHECK(good(leafgate::certs::load_certificates(dir / "dev1.crt")).size() == 2);
}

TEST_CASE("a file that exists is never replaced, and nothing is left beside it", "[certs][issue]") {
  const TempDir dir;
  const Credential leaf = a_root();
  const std::string taken = GENERATE(as<std::string>{}, "a.key", "a.crt");
  write_file(dir / taken, "precious");

  const auto written =
      write_credential(*leaf.key, {leaf.certificate.get()}, dir / "a.key", dir / "a.crt");

  REQUIRE_FALSE(written);
  CHECK(written.error().kind == ErrorKind::kRefused);
  CHECK_THAT(written.error().message, ContainsSubstring(taken));
  CHECK(read_file(dir / taken) == "precious");
  CHECK_FALSE(exists(dir / (taken == "a.key" ? "a.crt" : "a.key")));
}

TEST_CASE("a symbolic link is not followed to a place of somebody else's choosing",
          "[certs][issue]") {
  const TempDir dir;
  const Credential leaf = a_root();
  std::filesystem::create_symlink(dir / "elsewhere", dir / "a.key");

  CHECK_FALSE(write_credential(*leaf.key, {leaf.certificate.get()}, dir / "a.key", dir / "a.crt"));

  CHECK_FALSE(exists(dir / "elsewhere"));
  CHECK_FALSE(exists(dir / "a.crt"));
}

TEST_CASE("a folder that is missing is reported, and no key is left", "[certs][issue]") {
  const TempDir dir;
  const Credential leaf = a_root();

  const auto written =
      write_credential(*leaf.key, {leaf.certificate.get()}, dir / "a.key", dir / "none/a.crt");

  REQUIRE_FALSE(written);
  CHECK(written.error().kind == ErrorKind::kNotFound);
  CHECK_FALSE(exists(dir / "a.key"));
}

TEST_CASE("a key that is not the certificate's is refused", "[certs][issue]") {
  Pki pki;
  const auto dev1 = pki.issue({});
  const auto dev2 = pki.issue({});

  const auto mixed = load_credential(dev1.certificate, dev2.key);

  REQUIRE_FALSE(mixed);
  CHECK(mixed.error().kind == ErrorKind::kInvalid);
  CHECK_THAT(mixed.error().message, ContainsSubstring("is not the key of"));
}

TEST_CASE("a key with a passphrase is refused without asking for one", "[certs][issue]") {
  Pki pki;
  const TempDir dir;
  const auto dev1 = pki.issue({});
  REQUIRE(run({"openssl", "pkcs8", "-topk8", "-in", dev1.key, "-passout", "pass:secret", "-out",
               dir / "locked.key"})
              .status == 0);

  const auto locked = load_credential(dev1.certificate, dir / "locked.key");

  REQUIRE_FALSE(locked);
  CHECK_THAT(locked.error().message, ContainsSubstring("without a passphrase"));
}

TEST_CASE("issuing and failing to issue leave OpenSSL's error queue empty", "[certs][issue]") {
  ERR_clear_error();
  const Credential root = a_root();
  (void)a_device(root);
  (void)make_root({.common_name = "\xff", .validity = kDay}, kNow);
  (void)load_credential("/nonexistent.crt", "/nonexistent.key");
  (void)issue_device({.device = "dev2", .validity = kDay}, a_device(root), kNow);

  CHECK(ERR_peek_error() == 0);
}
