// SPDX-License-Identifier: Apache-2.0
// Owning handles for OpenSSL's X.509 objects, and the ways certificates come in and go out as
// bytes.
//
// certs/ is the only home of OpenSSL's X.509 functions. Handles are move-only; one object, one
// thread at a time. No function here leaves entries on OpenSSL's error queue: a Mosquitto thread's
// later SSL_get_error() would take them for its own.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "policy/vocabulary.h"

// OpenSSL's own names, declared here so that callers need not include its headers.
struct x509_st;
struct evp_pkey_st;

namespace leafgate::certs {

struct CertificateDeleter {
  void operator()(x509_st* certificate) const noexcept;
};
struct KeyDeleter {
  void operator()(evp_pkey_st* key) const noexcept;
};

using Certificate = std::unique_ptr<x509_st, CertificateDeleter>;
using Key = std::unique_ptr<evp_pkey_st, KeyDeleter>;

// The largest certificate we look at. Real device certificates stay under 2 KiB.
inline constexpr std::size_t kCertificateBytesMax = 64 * 1024;

// One certificate in DER. Trailing bytes are an error.
Result<Certificate> from_der(std::span<const std::uint8_t> der);

// Every `BEGIN CERTIFICATE` block of `text`, in order; a text without one that parses as DER counts
// as one certificate. kInvalid names the block that failed. Other blocks (keys) are skipped.
Result<std::vector<Certificate>> from_pem_or_der(std::string_view text);

// As above, from a file of at most 64 MiB. kNotFound, kUnreachable or kInvalid, naming the file.
Result<std::vector<Certificate>> load_certificates(const std::string& path);

std::string to_pem(const x509_st& certificate);

// SHA-256 over the DER encoding, without parsing it again.
policy::Fingerprint fingerprint(const x509_st& certificate);

}  // namespace leafgate::certs
