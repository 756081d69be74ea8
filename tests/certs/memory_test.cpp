// SPDX-License-Identifier: Apache-2.0
// Each allocation of OpenSSL's fails: a certificate is read as it is, or not at all.
#include <openssl/err.h>

#include <filesystem>
#include <iostream>
#include <new>
#include <optional>
#include <tuple>

#include "certs/facts.h"
#include "tests/certs/data.h"
#include "tests/support/pki.h"
#include "tests/support/scarce_openssl.h"

using leafgate::certs::read_facts;
using leafgate::certs::SanWanted;
using leafgate::policy::CertFacts;
using namespace leafgate::test;

namespace {

constexpr unsigned kAllocationsMax = 10'000;

auto fields(const CertFacts& facts) {
  const auto& [readable, fingerprint, not_before, not_after, key, bits, weak, client_auth, names,
               units, uris, dns, key_id, name_id] = facts;
  return std::tie(readable, fingerprint, not_before, not_after, key, bits, weak, client_auth, names,
                  units, uris, dns, key_id, name_id);
}

// All but the one with a thousand names, which takes ten thousand allocations.
std::vector<std::string> certificates() {
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator("tests/data/certificates")) {
    const std::string path = entry.path().string();
    const bool is_one = path.ends_with(".der") && leafgate::certs::load_certificates(path).ok();
    if (is_one && !path.ends_with("/san-1000.der")) paths.push_back(path);
  }
  return paths;
}

// What came of it; nothing when it threw.
std::optional<CertFacts> read_with_failure(const std::string& path, unsigned so_many,
                                           FailingOpenssl::Which which) {
  const auto certificate = load(path);  // anew: certificates keep what was decoded
  const FailingOpenssl scarcity(so_many, which);
  try {
    return read_facts(*certificate, SanWanted::kAll);
  } catch (const std::bad_alloc&) {
    return std::nullopt;
  }
}

// Returns how many failed before it needed no more.
unsigned check_each_failure(const std::string& path, FailingOpenssl::Which which) {
  const CertFacts read = read_facts(*load(path), SanWanted::kAll);
  for (unsigned n = 0; n < kAllocationsMax; ++n) {
    INFO(path << ", allocation " << n);
    const auto facts = read_with_failure(path, n, which);
    CertFacts whole = read;
    if (facts && facts->readable) {
      if (facts->weak_signature) whole.weak_signature = true;  // refuses as well
      CHECK((fields(*facts) == fields(whole)));
    }
    CHECK(ERR_peek_error() == 0);
    if (!FailingOpenssl::failed()) return n;
  }
  return kAllocationsMax;
}

}  // namespace

TEST_CASE("without memory a certificate is read as it is, or not at all", "[certs][facts]") {
  unsigned failures = 0;
  std::vector<std::string> paths = certificates();
  Pki pki;
  paths.push_back(pki.issue({.cn = "dev1",
                             .san = {"URI:urn:device:dev1", "DNS:dev1.example", "IP:10.0.0.1"},
                             .extended_key_usage = "serverAuth"})
                      .certificate);
  for (const std::string& path : paths) {
    failures += check_each_failure(path, FailingOpenssl::Which::kOne);
    failures += check_each_failure(path, FailingOpenssl::Which::kAllFrom);
  }
  std::cout << failures << " failures in " << paths.size() << " certificates\n";
  CHECK(failures > 100);
}
