// SPDX-License-Identifier: Apache-2.0
// How the sources of certs/ own OpenSSL's objects and treat its error queue. Not for other folders.
#pragma once

#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <memory>
#include <new>
#include <string>

namespace leafgate::certs {

template <auto Function>
struct Free {
  template <typename T>
  void operator()(T* object) const noexcept {
    Function(object);
  }
};

using Bio = std::unique_ptr<BIO, Free<BIO_free>>;
using GeneralNames = std::unique_ptr<GENERAL_NAMES, Free<GENERAL_NAMES_free>>;
using ExtendedKeyUsage = std::unique_ptr<EXTENDED_KEY_USAGE, Free<EXTENDED_KEY_USAGE_free>>;

// Removes, at the end of its scope, what was put on OpenSSL's error queue since its start.
class ErrorGuard {
 public:
  ErrorGuard() { ERR_set_mark(); }
  ~ErrorGuard() { ERR_pop_to_mark(); }
  ErrorGuard(const ErrorGuard&) = delete;
  ErrorGuard& operator=(const ErrorGuard&) = delete;
};

// OpenSSL's newest complaint in its own words. REQUIRES: an ErrorGuard around the failed call.
inline std::string newest_complaint() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  return reason == nullptr ? "no reason given" : reason;
}

// For allocations and digests, which fail for want of memory only.
template <typename T>
T must(T result) {
  if (!result) throw std::bad_alloc();
  return result;
}

// For OpenSSL's getters that fill caches inside a certificate and are therefore not const.
inline X509* with_caches(const x509_st& certificate) {
  return const_cast<X509*>(&certificate);
}

}  // namespace leafgate::certs
