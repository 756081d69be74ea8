// SPDX-License-Identifier: Apache-2.0
// X.509 to policy::CertFacts: lean, because it runs in the broker's thread for each CONNECT; total,
// because the certificate is whatever a client sent.
#pragma once

#include "certs/certificate.h"
#include "policy/vocabulary.h"

namespace leafgate::certs {

// Which subjectAltName entries to decode; they cost an allocation each, and most rules need none.
enum class SanWanted { kNone, kAll };

// Never fails and never throws but for memory: what cannot be decoded makes `readable` false, and a
// string with an embedded NUL or in an unknown ASN.1 string type makes it so too.
// `certificate` is only read; its lazily filled caches make that one thread at a time.
policy::CertFacts read_facts(const x509_st& certificate, SanWanted san);

}  // namespace leafgate::certs
