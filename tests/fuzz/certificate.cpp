// SPDX-License-Identifier: Apache-2.0
// DER that a client presents: reading and describing it must be total.
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "certs/certificate.h"
#include "certs/describe.h"
#include "certs/facts.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto certificate = leafgate::certs::from_der({data, size});
  if (!certificate) return 0;
  const auto& x509 = *certificate.value();
  const auto facts = leafgate::certs::read_facts(x509, leafgate::certs::SanWanted::kAll);
  const auto described = leafgate::certs::describe(x509);
  // Both look at the same bytes: they must not speak of two certificates.
  if (described && described.value().fingerprint != facts.fingerprint) std::abort();
  return 0;
}
