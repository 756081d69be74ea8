// SPDX-License-Identifier: Apache-2.0
#include "admin/source.h"

#include <filesystem>
#include <sstream>

#include "tests/catch.h"
#include "tests/support/pki.h"
#include "tests/support/process.h"

using namespace leafgate;
using namespace leafgate::admin;
using Holds = TextSource::Holds;

namespace {

const std::string kOne(64, '1');
const std::string kTwo(64, '2');

TextSource text(const std::string& content, Holds holds = Holds::kCertificates) {
  return {std::make_unique<std::istringstream>(content), "list", holds};
}

// Each target as `where fingerprint device`, each error as its message.
std::vector<std::string> all(Source& source) {
  std::vector<std::string> out;
  while (const auto target = source.next()) {
    if (!*target) {
      out.push_back("error " + target->error().message);
      continue;
    }
    const Target& t = target->value();
    out.push_back(t.where + " " + policy::to_hex(t.fingerprint).substr(0, 4) + " " + t.device);
  }
  return out;
}

std::vector<std::string> all(TextSource source) {
  return all(static_cast<Source&>(source));
}

test::Pki& pki() {
  static test::Pki instance;
  return instance;
}

std::string pem(const std::string& device) {
  test::CertSpec spec;
  spec.cn = device;
  return test::read_file(pki().issue(spec).certificate);
}

}  // namespace

TEST_CASE("64 hex digits are a fingerprint in either case, with or without colons",
          "[admin][source]") {
  std::string colons;
  for (int i = 0; i < 32; ++i)
    colons += i == 0 ? "AB" : ":aB";

  const auto selector = parse_selector(colons);
  REQUIRE(selector.ok());
  CHECK(selector.value().kind == Selector::Kind::kFingerprint);
  CHECK(policy::to_hex(selector.value().fingerprint).substr(0, 6) == "ababab");
}

TEST_CASE("a path or a certificate's file extension makes a selector a file", "[admin][source]") {
  const auto* name = GENERATE("./x", "a/b", "dev1.pem", "dev1.crt", "dev1.cer", "dev1.der");
  CHECK(parse_selector(name).value().kind == Selector::Kind::kFile);
}

TEST_CASE("what is neither fingerprint nor file is no selector", "[admin][source]") {
  const auto* name =
      GENERATE("", "dev1", "abc", ".pem", "dev1.key", "1111111111111111111111111111111111111111");
  const auto selector = parse_selector(name);

  REQUIRE_FALSE(selector.ok());
  CHECK(selector.error().kind == ErrorKind::kInvalid);
}

TEST_CASE("a plain list names one certificate a line", "[admin][source]") {
  CHECK(all(text("# ours\n\n" + kOne + "\r\n  " + kTwo + "  \n")) ==
        std::vector<std::string>{"list:3 1111 ", "list:4 2222 "});
}

TEST_CASE("a wrong line is reported by its number and does not stop the reading",
          "[admin][source]") {
  const auto found = all(text(kOne + "\nnonsense\n" + kTwo + "\n"));

  REQUIRE(found.size() == 3);
  CHECK(found[0] == "list:1 1111 ");
  CHECK_THAT(found[1], ContainsSubstring("list:2: `nonsense` is neither"));
  CHECK(found[2] == "list:3 2222 ");
}

TEST_CASE("CSV takes what its header names, in any order", "[admin][source]") {
  TextSource source =
      text("\xef\xbb\xbfserial,device,fingerprint,note\n0a,dev1," + kOne + ",\"hall 7, rack 2\"\n");
  const auto target = source.next();

  REQUIRE((target && *target));
  CHECK(target->value().device == "dev1");
  CHECK(target->value().stated == registry::Fields{{"serial", "0a"}, {"note", "hall 7, rack 2"}});
  CHECK_FALSE(source.next());
}

TEST_CASE("CSV that cannot be meant is refused", "[admin][source]") {
  CHECK(all(text("fingerprint,colour\n" + kOne + ",red\n")).size() == 1);
  CHECK_THAT(all(text("fingerprint,colour\n")).front(),
             ContainsSubstring("unknown column `colour`"));
  CHECK_THAT(all(text("device,serial\ndev1,0a\n")).front(), ContainsSubstring("names neither"));
  CHECK_THAT(all(text("fingerprint,device\n" + kOne + "\n")).front(),
             ContainsSubstring("list:2: 1 fields where the header has 2"));
  CHECK_THAT(all(text("fingerprint,file\n" + kOne + ",x.pem\n")).front(),
             ContainsSubstring("both"));
}

TEST_CASE("a line without end is refused without being held in memory", "[admin][source]") {
  const auto found = all(text(kOne + "\n" + std::string(10'000'000, 'a') + "\n" + kTwo + "\n"));

  REQUIRE(found.size() == 3);
  CHECK_THAT(found[1], ContainsSubstring("list:2: longer than"));
  CHECK(found[2] == "list:3 2222 ");
}

TEST_CASE("a PEM bundle gives its device certificates and skips keys and CA certificates",
          "[admin][source]") {
  const std::string ca = test::read_file(pki().ca_file());
  const std::string key = test::read_file(pki().ca().key);
  TextSource source = text(pem("dev1") + key + ca + pem("dev2"));

  std::vector<std::string> names;
  while (const auto target = source.next()) {
    REQUIRE(*target);
    REQUIRE(target->value().leaf);
    names.push_back(target->value().leaf->facts.common_names.front());
  }
  CHECK(names == std::vector<std::string>{"dev1", "dev2"});
}

TEST_CASE("a damaged block of a bundle is named by its line, the others are read",
          "[admin][source]") {
  const std::string good = pem("dev1");
  std::string bad = pem("dev2");
  bad[bad.size() / 2] = '!';
  const auto found = all(text(good + bad + good));

  REQUIRE(found.size() == 3);
  CHECK(found[0].substr(0, 7) == "list:1 ");
  CHECK_THAT(found[1], ContainsSubstring("error list:"));
  CHECK(found[2].substr(0, 5) == "list:");
}

TEST_CASE("a PEM block that does not end is refused, and so is one that is too long",
          "[admin][source]") {
  CHECK_THAT(all(text("-----BEGIN CERTIFICATE-----\nMIIB\n")).front(),
             ContainsSubstring("does not end"));

  std::string endless = "-----BEGIN CERTIFICATE-----\n";
  for (int i = 0; i < 3000; ++i)
    endless += std::string(64, 'A') + "\n";
  CHECK_THAT(all(text(endless)).front(), ContainsSubstring("too long"));
}

TEST_CASE("a list of devices holds ids, or a CSV column of them", "[admin][source]") {
  CHECK(all(text("dev1\n# no\ndev2\n", Holds::kDevices)) ==
        std::vector<std::string>{"list:1 0000 dev1", "list:3 0000 dev2"});
  CHECK(all(text("device,note\ndev1,x\n", Holds::kDevices)) ==
        std::vector<std::string>{"list:2 0000 dev1"});
}

TEST_CASE("a folder stands for the certificate files in it, in the order of their names",
          "[admin][source]") {
  const test::TempDir dir;
  test::write_file(dir / "b.pem", pem("dev2"));
  test::write_file(dir / "a.crt", pem("dev1"));
  test::write_file(dir / "a.key", "secret");
  test::write_file(dir / "readme.txt", "no");
  std::filesystem::create_directory(dir / "nested.pem");

  const auto source = open_source(dir.path().string(), Holds::kCertificates);
  REQUIRE(source.ok());
  std::vector<std::string> names;
  while (const auto target = source.value()->next()) {
    REQUIRE(*target);
    names.push_back(target->value().leaf->facts.common_names.front());
  }
  CHECK(names == std::vector<std::string>{"dev1", "dev2"});
}

TEST_CASE("a certificate in DER is known by its bytes, whatever its name", "[admin][source]") {
  const test::TempDir dir;
  test::write_file(dir / "dev1.pem", pem("dev1"));
  REQUIRE(test::run({"openssl", "x509", "-in", dir / "dev1.pem", "-outform", "DER", "-out",
                     dir / "bytes"})
              .status == 0);

  const auto source = open_source(dir / "bytes", Holds::kCertificates);
  REQUIRE(source.ok());
  const auto target = source.value()->next();
  REQUIRE((target && *target));
  CHECK(target->value().leaf->facts.common_names.front() == "dev1");
}

TEST_CASE("a chain file stands for its leaf", "[admin][source]") {
  const test::TempDir dir;
  test::write_file(dir / "chain.pem", pem("dev1") + test::read_file(pki().ca_file()));

  CHECK(load_leaves(dir / "chain.pem").value().size() == 1);
  const auto only_ca = load_leaves(pki().ca_file());
  REQUIRE_FALSE(only_ca.ok());
  CHECK_THAT(only_ca.error().message, ContainsSubstring("only CA certificates"));
}

TEST_CASE("a file that is not there is not found, one that is no certificate is invalid",
          "[admin][source]") {
  const test::TempDir dir;
  test::write_file(dir / "empty.pem", "");

  CHECK(load_leaves(dir / "none.pem").error().kind == ErrorKind::kNotFound);
  CHECK(load_leaves(dir / "empty.pem").error().kind == ErrorKind::kInvalid);
  CHECK(open_source(dir / "none.csv", Holds::kCertificates).error().kind == ErrorKind::kNotFound);
}
