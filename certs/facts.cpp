// SPDX-License-Identifier: Apache-2.0
#include "certs/facts.h"

#include <openssl/objects.h>

#include <utility>

#include "certs/asn1.h"

namespace leafgate::certs {
namespace {

using policy::CertFacts;

// RFC 7093 §2 knows key identifiers as long as a SHA-512; a longer one is there to fill our keys.
constexpr std::size_t kKeyIdBytesMax = 64;

// The level at which OpenSSL counts SHA-1 and MD5 out, and NIST SP 800-57 part 1 since 2014.
constexpr int kSignatureBitsMin = 112;

bool read_validity(const X509& certificate, CertFacts& facts) {
  const auto not_before = to_time(*X509_get0_notBefore(&certificate));
  const auto not_after = to_time(*X509_get0_notAfter(&certificate));
  if (!not_before || !not_after) return false;

  facts.not_before = *not_before;
  facts.not_after = *not_after;
  return true;
}

// OpenSSL looked through RSA-PSS parameters and EdDSA when it cached the certificate's extensions.
bool has_weak_signature(const X509& certificate) {
  int bits = 0;
  std::uint32_t flags = 0;
  X509_get_signature_info(with_caches(certificate), nullptr, nullptr, &bits, &flags);
  return (flags & X509_SIG_INFO_VALID) == 0 || bits < kSignatureBitsMin;
}

// anyExtendedKeyUsage alone is not clientAuth: RFC 5280 §4.2.1.12 leaves it to the application, and
// OpenSSL refuses it in the handshake, so that saying yes here could only mislead.
bool allows_client_auth(const X509& certificate) {
  return (X509_get_extended_key_usage(with_caches(certificate)) & XKU_SSL_CLIENT) != 0;
}

// Every value of one attribute of `name`, in order.
bool read_names(const X509_NAME* name, int attribute, std::vector<std::string>& out) {
  for (int at = -1;;) {
    at = X509_NAME_get_index_by_NID(name, attribute, at);
    if (at < 0) return true;
    auto text = to_utf8(*X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (!text) return false;
    out.push_back(std::move(*text));
  }
}

bool read_alternative_names(const X509& certificate, CertFacts& facts) {
  int critical = 0;  // below 0: there are no such names
  const GeneralNames names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, &critical, nullptr)));
  // OpenSSL has decoded them before, when it cached the certificate's extensions.
  if (names == nullptr && critical >= 0) throw std::bad_alloc();
  for (int i = 0; i < sk_GENERAL_NAME_num(names.get()); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names.get(), i);
    if (name->type != GEN_URI && name->type != GEN_DNS) continue;
    auto text = to_utf8(*name->d.ia5);
    if (!text) return false;
    (name->type == GEN_URI ? facts.san_uris : facts.san_dns).push_back(std::move(*text));
  }
  return true;
}

bool read_issuer(const X509& certificate, CertFacts& facts) {
  auto issuer = name_id(*X509_get_issuer_name(&certificate));
  if (!issuer) return false;
  facts.issuer_name_id = std::move(*issuer);

  const ASN1_OCTET_STRING* key_id = X509_get0_authority_key_id(with_caches(certificate));
  if (key_id == nullptr) return true;
  if (bytes_of(*key_id).size() > kKeyIdBytesMax) return false;
  facts.issuer_key_id = hex(bytes_of(*key_id));
  return true;
}

bool read_fields(const X509& certificate, SanWanted san, CertFacts& facts) {
  // Set for extensions that cannot be decoded or come twice; and for critical ones nobody knows,
  // which RFC 5280 §4.2 tells us to refuse.
  const std::uint32_t flags = X509_get_extension_flags(with_caches(certificate));
  if ((flags & (EXFLAG_INVALID | EXFLAG_CRITICAL)) != 0) return false;

  const PublicKey key = public_key(certificate);
  facts.key = key.kind;
  facts.key_bits = key.bits;
  facts.weak_signature = has_weak_signature(certificate);
  facts.client_auth = allows_client_auth(certificate);

  const X509_NAME* subject = X509_get_subject_name(&certificate);
  return read_validity(certificate, facts) && read_issuer(certificate, facts) &&
         read_names(subject, NID_commonName, facts.common_names) &&
         read_names(subject, NID_organizationalUnitName, facts.organizational_units) &&
         (san == SanWanted::kNone || read_alternative_names(certificate, facts));
}

}  // namespace

CertFacts read_facts(const x509_st& certificate, SanWanted san) {
  const ErrorGuard guard;
  CertFacts facts;
  facts.readable = read_fields(certificate, san, facts);
  if (!facts.readable) facts = {};  // what was read before the fault is not worth trusting
  facts.fingerprint = fingerprint(certificate);
  return facts;
}

}  // namespace leafgate::certs
