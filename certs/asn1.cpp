// SPDX-License-Identifier: Apache-2.0
#include "certs/asn1.h"

#include <openssl/evp.h>
#include <openssl/objects.h>

#include <algorithm>
#include <chrono>
#include <ctime>
#include <utility>

namespace leafgate::certs {
namespace {

using policy::KeyKind;

KeyKind curve(const X509_ALGOR* algorithm) {
  int type = V_ASN1_UNDEF;
  const void* parameter = nullptr;
  X509_ALGOR_get0(nullptr, &type, &parameter, algorithm);
  if (type != V_ASN1_OBJECT) return KeyKind::kOther;

  switch (OBJ_obj2nid(static_cast<const ASN1_OBJECT*>(parameter))) {
    case NID_X9_62_prime256v1:
      return KeyKind::kP256;
    case NID_secp384r1:
      return KeyKind::kP384;
    case NID_secp521r1:
      return KeyKind::kP521;
    default:
      return KeyKind::kOther;
  }
}

// By the identifiers in the certificate: asking the key's provider takes ten times as long.
KeyKind key_kind(X509_PUBKEY* key) {
  ASN1_OBJECT* identifier = nullptr;
  X509_ALGOR* algorithm = nullptr;
  if (X509_PUBKEY_get0_param(&identifier, nullptr, nullptr, &algorithm, key) != 1) {
    return KeyKind::kOther;
  }
  switch (OBJ_obj2nid(identifier)) {
    case NID_rsaEncryption:
    case NID_rsassaPss:
      return KeyKind::kRsa;
    case NID_X9_62_id_ecPublicKey:
      return curve(algorithm);
    case NID_ED25519:
      return KeyKind::kEd25519;
    case NID_ED448:
      return KeyKind::kEd448;
    default:
      return KeyKind::kOther;
  }
}

std::optional<std::string> ascii(const ASN1_STRING& string) {
  const auto bytes = bytes_of(string);
  const auto fits = [](std::uint8_t byte) { return byte != 0 && byte < 0x80; };
  if (!std::all_of(bytes.begin(), bytes.end(), fits)) return std::nullopt;
  return std::string(bytes.begin(), bytes.end());
}

std::optional<std::string> converted(const ASN1_STRING& string) {
  const ErrorGuard guard;
  unsigned char* out = nullptr;
  const int length = ASN1_STRING_to_UTF8(&out, &string);
  if (length < 0) return std::nullopt;

  std::string text(reinterpret_cast<const char*>(out), static_cast<std::size_t>(length));
  OPENSSL_free(out);
  if (text.find('\0') != std::string::npos) return std::nullopt;
  return text;
}

bool is_blank(char c) {
  return c == ' ' || (c >= '\t' && c <= '\r');
}

// Without blanks at the ends, other runs of them as one space, ASCII in lower case.
std::string folded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (is_blank(c)) {
      if (!out.empty() && out.back() != ' ') out += ' ';
    } else {
      out += c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    }
  }
  if (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

using Name = std::unique_ptr<X509_NAME, Free<X509_NAME_free>>;
using NameEntry = std::unique_ptr<X509_NAME_ENTRY, Free<X509_NAME_ENTRY_free>>;

// Of the types whose spelling OpenSSL ignores when it compares names; the others it takes as they
// are. nullptr when the text is not what its type says.
NameEntry canonical(const X509_NAME_ENTRY& entry) {
  const ASN1_STRING* value = X509_NAME_ENTRY_get_data(&entry);
  constexpr unsigned long kFolded = B_ASN1_UTF8STRING | B_ASN1_BMPSTRING | B_ASN1_UNIVERSALSTRING |
                                    B_ASN1_PRINTABLESTRING | B_ASN1_T61STRING | B_ASN1_IA5STRING |
                                    B_ASN1_VISIBLESTRING;
  if ((ASN1_tag2bit(ASN1_STRING_type(value)) & kFolded) == 0) {
    return NameEntry(must(X509_NAME_ENTRY_dup(&entry)));
  }
  unsigned char* utf8 = nullptr;
  const int length = ASN1_STRING_to_UTF8(&utf8, value);
  if (length < 0) return nullptr;
  const std::string text =
      folded({reinterpret_cast<const char*>(utf8), static_cast<std::size_t>(length)});
  OPENSSL_free(utf8);
  return NameEntry(must(X509_NAME_ENTRY_create_by_OBJ(
      nullptr, X509_NAME_ENTRY_get_object(&entry), V_ASN1_UTF8STRING,
      reinterpret_cast<const unsigned char*>(text.data()), static_cast<int>(text.size()))));
}

// One spelling for all the names that OpenSSL takes for the same when it looks for an issuer
// (RFC 5280 §7.1): whoever signs chooses the spelling.
Name canonical(const X509_NAME& name) {
  Name out(must(X509_NAME_new()));
  int set_before = -1;
  for (int i = 0; i < X509_NAME_entry_count(&name); ++i) {
    const X509_NAME_ENTRY* entry = X509_NAME_get_entry(&name, i);
    const NameEntry added = canonical(*entry);
    if (!added) return nullptr;
    const int set = X509_NAME_ENTRY_set(entry);
    must(X509_NAME_add_entry(out.get(), added.get(), -1, set == set_before ? -1 : 0));
    set_before = set;
  }
  return out;
}

std::optional<std::string> canonical_id(const X509_NAME& name) {
  const ErrorGuard guard;
  const Name same = canonical(name);
  const unsigned char* der = nullptr;
  std::size_t length = 0;
  if (!same || X509_NAME_get0_der(same.get(), &der, &length) != 1) return std::nullopt;
  return "name-" + policy::to_hex(sha256({der, length}));
}

// The name that name_id() was asked for last.
struct NamedLast {
  std::string der;
  std::string id;
};

}  // namespace

std::string hex(std::span<const std::uint8_t> bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const std::uint8_t byte : bytes) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

const EVP_MD* sha256_method() {
  static const std::unique_ptr<EVP_MD, Free<EVP_MD_free>> method(
      must(EVP_MD_fetch(nullptr, "SHA256", nullptr)));
  return method.get();
}

policy::Fingerprint sha256(std::span<const std::uint8_t> bytes) {
  policy::Fingerprint digest;
  const ErrorGuard guard;
  must(EVP_Digest(bytes.data(), bytes.size(), digest.bytes.data(), nullptr, sha256_method(),
                  nullptr));
  return digest;
}

std::optional<policy::Time> to_time(const ASN1_TIME& time) {
  const ErrorGuard guard;
  std::tm tm{};
  if (ASN1_TIME_to_tm(&time, &tm) != 1) return std::nullopt;

  const auto day = std::chrono::year(tm.tm_year + 1900) /
                   std::chrono::month(static_cast<unsigned>(tm.tm_mon + 1)) /
                   std::chrono::day(static_cast<unsigned>(tm.tm_mday));
  return std::chrono::sys_days(day) + std::chrono::hours(tm.tm_hour) +
         std::chrono::minutes(tm.tm_min) + std::chrono::seconds(tm.tm_sec);
}

std::optional<std::string> to_utf8(const ASN1_STRING& string) {
  switch (ASN1_STRING_type(&string)) {
    case V_ASN1_PRINTABLESTRING:
    case V_ASN1_IA5STRING:
    case V_ASN1_VISIBLESTRING:
    case V_ASN1_NUMERICSTRING:
      return ascii(string);
    case V_ASN1_UTF8STRING:
    case V_ASN1_T61STRING:
    case V_ASN1_BMPSTRING:
    case V_ASN1_UNIVERSALSTRING:
      return converted(string);
    default:
      return std::nullopt;
  }
}

std::optional<std::string> name_id(const X509_NAME& name) {
  const unsigned char* der = nullptr;
  std::size_t length = 0;
  if (X509_NAME_get0_der(&name, &der, &length) != 1) return std::nullopt;

  // A fleet has few issuers, and one connection after another names the same.
  thread_local NamedLast last;
  const std::string_view text(reinterpret_cast<const char*>(der), length);
  if (last.id.empty() || last.der != text) {
    auto id = canonical_id(name);
    if (!id) return std::nullopt;
    last = NamedLast{std::string(text), std::move(*id)};
  }
  return last.id;
}

PublicKey public_key(const x509_st& certificate) {
  const ErrorGuard guard;
  const EVP_PKEY* key = X509_get0_pubkey(&certificate);
  if (key == nullptr) return {};
  return {key_kind(X509_get_X509_PUBKEY(&certificate)), EVP_PKEY_get_bits(key)};
}

}  // namespace leafgate::certs
