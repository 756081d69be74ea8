// SPDX-License-Identifier: Apache-2.0
#include "certs/describe.h"

#include <arpa/inet.h>
#include <openssl/objects.h>

#include <algorithm>
#include <array>
#include <utility>

#include "certs/asn1.h"

namespace leafgate::certs {
namespace {

constexpr std::size_t kSerialBytesMax = 20;  // RFC 5280 §4.1.2.2

// What may be shown on a terminal or in a log: printable ASCII, the rest as \xHH.
std::string printable(std::span<const std::uint8_t> bytes) {
  std::string out;
  for (const std::uint8_t byte : bytes) {
    if (byte == '\\') {
      out += "\\\\";
    } else if (byte >= 0x20 && byte < 0x7f) {
      out += static_cast<char>(byte);
    } else {
      out += "\\x" + hex({&byte, 1});
    }
  }
  return out;
}

std::span<const std::uint8_t> written(const Bio& bio) {
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  return {reinterpret_cast<const std::uint8_t*>(text), static_cast<std::size_t>(length)};
}

std::optional<std::string> name(const X509_NAME* name) {
  const Bio bio(must(BIO_new(BIO_s_mem())));
  if (X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253) < 0) return std::nullopt;
  const auto text = written(bio);  // XN_FLAG_RFC2253 has escaped it
  return std::string(text.begin(), text.end());
}

// RFC 5280 §4.1.2.2 forbids negative numbers and asks readers to bear them.
std::optional<std::string> serial(const X509& certificate) {
  const ASN1_INTEGER* number = X509_get0_serialNumber(&certificate);
  const auto bytes = bytes_of(*number);
  if (bytes.size() > kSerialBytesMax) return std::nullopt;
  const bool negative = ASN1_STRING_type(number) == V_ASN1_NEG_INTEGER;
  return (negative ? "-" : "") + hex(bytes);
}

std::string key_id(const ASN1_OCTET_STRING* id) {
  return id == nullptr ? std::string() : hex(bytes_of(*id));
}

std::string spki(const X509& certificate) {
  unsigned char* der = nullptr;
  const int length = i2d_X509_PUBKEY(X509_get_X509_PUBKEY(&certificate), &der);
  must(length > 0);
  const auto digest = sha256({der, static_cast<std::size_t>(length)});
  OPENSSL_free(der);
  return policy::to_hex(digest);
}

std::string object_name(const ASN1_OBJECT* object) {
  std::array<char, 80> text{};  // OpenSSL's own advice for any identifier of sane length
  OBJ_obj2txt(text.data(), static_cast<int>(text.size()), object, 0);
  return text.data();
}

std::string key_name(const X509& certificate) {
  const PublicKey key = public_key(certificate);
  switch (key.kind) {
    case policy::KeyKind::kRsa:
      return "RSA " + std::to_string(key.bits);
    case policy::KeyKind::kP256:
      return "P-256";
    case policy::KeyKind::kP384:
      return "P-384";
    case policy::KeyKind::kP521:
      return "P-521";
    case policy::KeyKind::kEd25519:
      return "Ed25519";
    case policy::KeyKind::kEd448:
      return "Ed448";
    case policy::KeyKind::kOther:
      break;
  }
  ASN1_OBJECT* identifier = nullptr;
  X509_PUBKEY_get0_param(&identifier, nullptr, nullptr, nullptr,
                         X509_get_X509_PUBKEY(&certificate));
  return "unsupported: " + object_name(identifier);
}

std::string signature_name(const X509& certificate) {
  const X509_ALGOR* algorithm = nullptr;
  X509_get0_signature(nullptr, &algorithm, &certificate);
  const ASN1_OBJECT* identifier = nullptr;
  X509_ALGOR_get0(&identifier, nullptr, nullptr, algorithm);
  return object_name(identifier);
}

std::string address(const ASN1_OCTET_STRING& octets) {
  const auto bytes = bytes_of(octets);
  std::array<char, INET6_ADDRSTRLEN> text{};
  const int family = bytes.size() == 4 ? AF_INET : AF_INET6;
  if (bytes.size() != 4 && bytes.size() != 16) return "IP:" + hex(bytes);
  inet_ntop(family, bytes.data(), text.data(), text.size());
  return std::string("IP:") + text.data();
}

std::string alternative_name(const GENERAL_NAME& name) {
  switch (name.type) {
    case GEN_URI:
      return "URI:" + printable(bytes_of(*name.d.ia5));
    case GEN_DNS:
      return "DNS:" + printable(bytes_of(*name.d.ia5));
    case GEN_EMAIL:
      return "email:" + printable(bytes_of(*name.d.ia5));
    case GEN_IPADD:
      return address(*name.d.ip);
    default: {
      const Bio bio(must(BIO_new(BIO_s_mem())));
      GENERAL_NAME_print(bio.get(), const_cast<GENERAL_NAME*>(&name));
      return printable(written(bio));
    }
  }
}

std::vector<std::string> alternative_names(const X509& certificate) {
  const GeneralNames names(static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(&certificate, NID_subject_alt_name, nullptr, nullptr)));
  std::vector<std::string> out;
  const int count = std::max(sk_GENERAL_NAME_num(names.get()), 0);  // -1: there are none
  out.reserve(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) {
    out.push_back(alternative_name(*sk_GENERAL_NAME_value(names.get(), i)));
  }
  return out;
}

std::string extended_usage_name(const ASN1_OBJECT* usage) {
  switch (OBJ_obj2nid(usage)) {  // RFC 5280 §4.2.1.12
    case NID_server_auth:
      return "serverAuth";
    case NID_client_auth:
      return "clientAuth";
    case NID_code_sign:
      return "codeSigning";
    case NID_email_protect:
      return "emailProtection";
    case NID_time_stamp:
      return "timeStamping";
    case NID_OCSP_sign:
      return "OCSPSigning";
    case NID_anyExtendedKeyUsage:
      return "anyExtendedKeyUsage";
    default:
      return object_name(usage);
  }
}

std::vector<std::string> key_usages(const X509& certificate) {
  constexpr std::pair<std::uint32_t, const char*> kNames[] = {
      // RFC 5280 §4.2.1.3
      {KU_DIGITAL_SIGNATURE, "digitalSignature"},
      {KU_NON_REPUDIATION, "nonRepudiation"},
      {KU_KEY_ENCIPHERMENT, "keyEncipherment"},
      {KU_DATA_ENCIPHERMENT, "dataEncipherment"},
      {KU_KEY_AGREEMENT, "keyAgreement"},
      {KU_KEY_CERT_SIGN, "keyCertSign"},
      {KU_CRL_SIGN, "cRLSign"},
      {KU_ENCIPHER_ONLY, "encipherOnly"},
      {KU_DECIPHER_ONLY, "decipherOnly"}};
  std::vector<std::string> out;
  if ((X509_get_extension_flags(with_caches(certificate)) & EXFLAG_KUSAGE) != 0) {
    const std::uint32_t usage = X509_get_key_usage(with_caches(certificate));
    for (const auto& [bit, text] : kNames) {
      if ((usage & bit) != 0) out.emplace_back(text);
    }
  }
  const ExtendedKeyUsage extended(static_cast<EXTENDED_KEY_USAGE*>(
      X509_get_ext_d2i(&certificate, NID_ext_key_usage, nullptr, nullptr)));
  for (int i = 0; i < sk_ASN1_OBJECT_num(extended.get()); ++i) {
    out.push_back(extended_usage_name(sk_ASN1_OBJECT_value(extended.get(), i)));
  }
  return out;
}

Error invalid(const char* what) {
  return {ErrorKind::kInvalid, std::string("cannot read the certificate's ") + what};
}

}  // namespace

Result<Description> describe(const x509_st& certificate) {
  const ErrorGuard guard;
  const auto subject = name(X509_get_subject_name(&certificate));
  const auto issuer = name(X509_get_issuer_name(&certificate));
  const auto number = serial(certificate);
  const auto not_before = to_time(*X509_get0_notBefore(&certificate));
  const auto not_after = to_time(*X509_get0_notAfter(&certificate));
  const auto subject_id = name_id(*X509_get_subject_name(&certificate));
  if (!subject || !subject_id) return invalid("subject");
  if (!issuer) return invalid("issuer");
  if (!number) return invalid("serial number: it is longer than 20 bytes (RFC 5280 §4.1.2.2)");
  if (!not_before || !not_after) return invalid("validity");

  X509* const cached = with_caches(certificate);
  return Description{
      .fingerprint = fingerprint(certificate),
      .subject = *subject,
      .issuer = *issuer,
      .serial = *number,
      .issuer_key_id = key_id(X509_get0_authority_key_id(cached)),
      .subject_key_id = key_id(X509_get0_subject_key_id(cached)),
      .subject_name_id = *subject_id,
      .spki = spki(certificate),
      .not_before = *not_before,
      .not_after = *not_after,
      .key = key_name(certificate),
      .signature = signature_name(certificate),
      .is_ca = (X509_get_extension_flags(cached) & EXFLAG_CA) != 0,
      .san = alternative_names(certificate),
      .key_usage = key_usages(certificate),
  };
}

}  // namespace leafgate::certs
