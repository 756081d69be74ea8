// SPDX-License-Identifier: Apache-2.0
#include "tests/support/pki.h"

#include <ctime>
#include <map>
#include <stdexcept>
#include <string_view>

namespace leafgate::test {
namespace {

// `ca` rather than `x509 -req`: the only command that sets both ends of the validity in 3.0
// and 3.5.
constexpr std::string_view kConfig = R"(
[req]
distinguished_name = subject
string_mask = utf8only
prompt = no
[subject]
[root]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[ca]
default_ca = authority
[authority]
database = $ENV::PKI/index.txt
new_certs_dir = $ENV::PKI
rand_serial = yes
unique_subject = no
policy = any
[any]
commonName = optional
)";

std::string openssl(const std::vector<std::string>& arguments, const std::string& folder) {
  std::vector<std::string> argv = {"openssl"};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  const Ran ran = run(argv, "", {{"PKI", folder}});
  if (ran.status != 0) {
    throw std::runtime_error("`openssl " + arguments.front() + "` failed: " + ran.err);
  }
  return ran.out;
}

std::string escaped(std::string_view text, std::string_view special) {
  std::string out;
  for (const char c : text) {
    if (special.find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

// Making an RSA key takes 0.2 s and more, and no test needs two different ones.
std::string make_key(const std::string& kind, const std::string& folder) {
  if (kind.starts_with("rsa:")) {
    static std::map<std::string, std::string> made;
    std::string& pem = made[kind];
    if (pem.empty()) {
      pem =
          openssl({"genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:" + kind.substr(4)},
                  folder);
    }
    return pem;
  }
  if (kind.starts_with("ed")) return openssl({"genpkey", "-algorithm", kind}, folder);
  return openssl({"genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:" + kind}, folder);
}

// `-1h`, `+30d` and the like as the YYYYMMDDHHMMSSZ that openssl reads; anything else unchanged.
std::string absolute_time(const std::string& text) {
  if (text.empty() || (text[0] != '-' && text[0] != '+')) return text;
  const std::map<char, int> seconds = {{'s', 1}, {'m', 60}, {'h', 3600}, {'d', 86400}};
  const auto unit = seconds.find(text.back());
  if (unit == seconds.end()) throw std::runtime_error("not a relative time: `" + text + "`");

  const std::time_t when = std::time(nullptr) + std::stol(text) * unit->second;
  std::tm utc{};
  gmtime_r(&when, &utc);
  char out[32];
  std::strftime(out, sizeof out, "%Y%m%d%H%M%SZ", &utc);
  return out;
}

std::string extensions(const CertSpec& spec) {
  std::string text = "[leaf]\n";
  text += spec.ca ? "basicConstraints = critical,CA:TRUE\nkeyUsage = critical,keyCertSign,cRLSign\n"
                  : "basicConstraints = critical,CA:FALSE\nkeyUsage = critical,digitalSignature\n";
  text += "subjectKeyIdentifier = hash\nauthorityKeyIdentifier = ";
  text += spec.authority_key_id ? "keyid:always\n" : "none\n";  // 3.5 adds it by itself
  if (!spec.extended_key_usage.empty()) {
    text += "extendedKeyUsage = " + spec.extended_key_usage + "\n";
  }
  if (spec.san.empty()) return text;

  text += "subjectAltName = @san\n[san]\n";
  int index = 0;
  for (const std::string& name : spec.san) {
    const auto colon = name.find(':');
    if (colon == std::string::npos) throw std::runtime_error("not a SAN entry: `" + name + "`");
    text += name.substr(0, colon) + '.' + std::to_string(++index) + " = " +
            escaped(name.substr(colon + 1), "\\$#\"'") + "\n";
  }
  return text;
}

std::string subject(const CertSpec& spec) {
  if (!spec.subject.empty()) return spec.subject;
  return spec.cn.empty() ? "/" : "/CN=" + escaped(spec.cn, "\\/+");
}

// From `sha256 Fingerprint=AB:CD:…`.
std::string fingerprint(const std::string& certificate, const std::string& folder) {
  const std::string said =
      openssl({"x509", "-in", certificate, "-noout", "-fingerprint", "-sha256"}, folder);
  std::string digits;
  for (const char c : said.substr(said.find('=') + 1)) {
    if (c >= 'A' && c <= 'F') digits += static_cast<char>(c - 'A' + 'a');
    if (c >= '0' && c <= '9') digits += c;
  }
  if (digits.size() != 64) throw std::runtime_error("unexpected fingerprint: `" + said + "`");
  return digits;
}

}  // namespace

Pki::Pki(const std::string& common_name, const std::string& key) {
  const std::string folder = dir_.path().string();
  ca_ = {dir_ / "ca.crt", dir_ / "ca.key", ""};
  write_file(dir_ / "openssl.cnf", std::string(kConfig));
  write_file(dir_ / "index.txt", "");
  write_file(ca_.key, make_key(key, folder));

  openssl({"req", "-config", dir_ / "openssl.cnf", "-x509", "-extensions", "root", "-utf8", "-subj",
           "/CN=" + escaped(common_name, "\\/+"), "-days", "3650", "-key", ca_.key, "-out",
           ca_.certificate},
          folder);
  ca_.fingerprint = fingerprint(ca_.certificate, folder);
}

CertFiles Pki::issue(const CertSpec& spec) {
  const std::string folder = dir_.path().string();
  const std::string stem = dir_ / ("leaf-" + std::to_string(++next_));
  CertFiles leaf{stem + ".crt", stem + ".key", ""};
  write_file(leaf.key, make_key(spec.key, folder));
  write_file(stem + ".cnf", extensions(spec));

  const std::string config = dir_ / "openssl.cnf";
  openssl({"req", "-config", config, "-new", "-utf8", "-subj", subject(spec), "-key", leaf.key,
           "-out", stem + ".csr"},
          folder);
  std::vector<std::string> sign = {"ca", "-config", config, "-batch", "-notext", "-preserveDN"};
  const auto add = [&](const std::string& option, const std::string& value) {
    sign.insert(sign.end(), {option, value});
  };
  add("-cert", ca_.certificate);
  add("-keyfile", ca_.key);
  add("-md", spec.digest);
  add("-startdate", absolute_time(spec.not_before));
  add("-enddate", absolute_time(spec.not_after));
  add("-extfile", stem + ".cnf");
  add("-extensions", "leaf");
  add("-in", stem + ".csr");
  add("-out", leaf.certificate);
  openssl(sign, folder);
  leaf.fingerprint = fingerprint(leaf.certificate, folder);
  return leaf;
}

CertFiles Pki::server() {
  CertSpec spec;
  spec.cn = "localhost";
  spec.san = {"IP:127.0.0.1", "DNS:localhost"};
  spec.extended_key_usage = "serverAuth";
  return issue(spec);
}

}  // namespace leafgate::test
