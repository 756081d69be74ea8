// SPDX-License-Identifier: Apache-2.0
#include "certs/issue.h"

#include <arpa/inet.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <ctime>
#include <optional>
#include <span>

#include "certs/asn1.h"
#include "certs/files.h"
#include "policy/identity.h"

namespace leafgate::certs {
namespace {

using Draft = std::unique_ptr<X509, Free<X509_free>>;
using Name = std::unique_ptr<X509_NAME, Free<X509_NAME_free>>;
using Integer = std::unique_ptr<ASN1_INTEGER, Free<ASN1_INTEGER_free>>;
using Number = std::unique_ptr<BIGNUM, Free<BN_free>>;
using BitString = std::unique_ptr<ASN1_BIT_STRING, Free<ASN1_BIT_STRING_free>>;
using OctetString = std::unique_ptr<ASN1_OCTET_STRING, Free<ASN1_OCTET_STRING_free>>;
using BasicConstraints = std::unique_ptr<BASIC_CONSTRAINTS, Free<BASIC_CONSTRAINTS_free>>;
using AuthorityKeyId = std::unique_ptr<AUTHORITY_KEYID, Free<AUTHORITY_KEYID_free>>;

constexpr std::chrono::minutes kClockDifference(5);  // devices' clocks run a little behind
constexpr int kSerialBits = 127;                     // 16 bytes, positive
constexpr std::size_t kServerNamesMax = 100;
constexpr std::size_t kKeyFileBytesMax = 64 * 1024;

// RFC 5280 §4.1.2.5: the last second an X.509 time can express.
constexpr policy::Time kLastTime =
    std::chrono::sys_days(std::chrono::year(9999) / 12 / 31) + std::chrono::seconds(86399);

Error invalid(const std::string& message) {
  return {ErrorKind::kInvalid, message};
}

// What a kind of certificate may do; everything else about a draft comes from the request.
struct Profile {
  bool ca;
  std::optional<long> path_length;
  int extended_key_usage;  // NID_undef: no extension
};

constexpr Profile kRoot = {true, std::nullopt, NID_undef};
constexpr Profile kIssuingCa = {true, 0, NID_undef};
constexpr Profile kDevice = {false, std::nullopt, NID_client_auth};
constexpr Profile kServer = {false, std::nullopt, NID_server_auth};

// Bit numbers of RFC 5280 §4.2.1.3.
constexpr std::initializer_list<int> kLeafUsage = {0};   // digitalSignature
constexpr std::initializer_list<int> kCaUsage = {5, 6};  // keyCertSign, cRLSign

struct Validity {
  policy::Time not_before;
  policy::Time not_after;
};

GeneralNames no_names() {
  return GeneralNames(must(sk_GENERAL_NAME_new_null()));
}

void add_name(GENERAL_NAMES& names, int type, void* value) {
  GENERAL_NAME* name = must(GENERAL_NAME_new());
  GENERAL_NAME_set0_value(name, type, value);
  must(sk_GENERAL_NAME_push(&names, name));
}

void add_text_name(GENERAL_NAMES& names, int type, const std::string& text) {
  ASN1_IA5STRING* value = must(ASN1_IA5STRING_new());
  must(ASN1_STRING_set(value, text.data(), static_cast<int>(text.size())));
  add_name(names, type, value);
}

// RFC 8141 §2: a URN's specific part holds RFC 3986's pchar; other bytes are percent-encoded.
std::string device_urn(const std::string& device) {
  constexpr std::string_view kPlain =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@";
  std::string urn = "urn:device:";
  for (const char c : device) {
    const auto byte = static_cast<std::uint8_t>(c);
    urn += kPlain.find(c) != std::string_view::npos ? std::string(1, c) : '%' + hex({&byte, 1});
  }
  return urn;
}

// A host name of letters, digits and hyphens in labels of 1 to 63 (RFC 1123 §2.1).
bool is_host_name(std::string_view name) {
  if (name.empty() || name.size() > 253) return false;
  std::size_t label = 0;
  for (const char c : name) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!letter && c != '-' && c != '.') return false;
    if (c == '.' && label == 0) return false;
    label = c == '.' ? 0 : label + 1;
    if (label > 63) return false;
  }
  return label > 0;
}

// The bytes of an IP address in text; empty when it is none.
std::string ip_bytes(const std::string& text) {
  std::array<char, 16> bytes{};
  if (inet_pton(AF_INET, text.c_str(), bytes.data()) == 1) return {bytes.data(), 4};
  if (inet_pton(AF_INET6, text.c_str(), bytes.data()) == 1) return {bytes.data(), 16};
  return {};
}

Result<GeneralNames> server_names(const std::vector<std::string>& names) {
  if (names.empty() || names.size() > kServerNamesMax) {
    return invalid("a server certificate needs 1 to " + std::to_string(kServerNamesMax) + " names");
  }
  GeneralNames out = no_names();
  for (const std::string& name : names) {
    if (const std::string bytes = ip_bytes(name); !bytes.empty()) {
      ASN1_OCTET_STRING* value = must(ASN1_OCTET_STRING_new());
      must(ASN1_STRING_set(value, bytes.data(), static_cast<int>(bytes.size())));
      add_name(*out, GEN_IPADD, value);
    } else if (is_host_name(name)) {
      add_text_name(*out, GEN_DNS, name);
    } else {
      return invalid("`" + name + "` is neither a host name nor an IP address");
    }
  }
  return out;
}

Result<Name> subject_name(const std::string& common_name) {
  Name name(must(X509_NAME_new()));
  const auto* text = reinterpret_cast<const unsigned char*>(common_name.data());
  if (common_name.empty() || common_name.find('\0') != std::string::npos ||
      X509_NAME_add_entry_by_NID(name.get(), NID_commonName, MBSTRING_UTF8, text,
                                 static_cast<int>(common_name.size()), -1, 0) != 1) {
    return invalid("`" + common_name + "` cannot be a common name: it needs 1 to 64 characters " +
                   "of UTF-8 (RFC 5280 appendix A.1)");
  }
  return name;
}

Result<Validity> validity(std::chrono::seconds length, policy::Time now, policy::Time limit) {
  if (length <= std::chrono::seconds::zero()) return invalid("the validity must be positive");
  if (now > kLastTime || length > std::chrono::floor<std::chrono::seconds>(kLastTime - now)) {
    return invalid("the validity must end before the year 10000");
  }
  if (limit < now) return invalid("the issuing certificate has expired");
  return Validity{now - kClockDifference, std::min<policy::Time>(now + length, limit)};
}

void set_time(ASN1_TIME* field, policy::Time time) {
  // Not by way of system_clock: its nanoseconds end in the year 2262.
  const auto since_1970 = std::chrono::floor<std::chrono::seconds>(time.time_since_epoch());
  must(ASN1_TIME_set(field, static_cast<std::time_t>(since_1970.count())));
}

void add_extension(X509& draft, int extension, void* value, bool critical) {
  must(X509_add1_ext_i2d(&draft, extension, value, critical ? 1 : 0, X509V3_ADD_DEFAULT) == 1);
}

void set_serial(X509& draft) {
  const Number number(must(BN_new()));
  must(BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ANY, BN_RAND_BOTTOM_ANY));
  const Integer serial(must(BN_to_ASN1_INTEGER(number.get(), nullptr)));
  must(X509_set_serialNumber(&draft, serial.get()));
}

void add_basic_constraints(X509& draft, const Profile& profile) {
  const BasicConstraints constraints(must(BASIC_CONSTRAINTS_new()));
  constraints->ca = profile.ca ? 0xff : 0;
  if (profile.path_length) {
    constraints->pathlen = must(ASN1_INTEGER_new());
    must(ASN1_INTEGER_set(constraints->pathlen, *profile.path_length));
  }
  add_extension(draft, NID_basic_constraints, constraints.get(), true);
}

void add_usages(X509& draft, const Profile& profile) {
  const BitString usage(must(ASN1_BIT_STRING_new()));
  for (const int bit : profile.ca ? kCaUsage : kLeafUsage) {
    must(ASN1_BIT_STRING_set_bit(usage.get(), bit, 1));
  }
  add_extension(draft, NID_key_usage, usage.get(), true);

  if (profile.extended_key_usage == NID_undef) return;
  const ExtendedKeyUsage extended(must(EXTENDED_KEY_USAGE_new()));
  must(sk_ASN1_OBJECT_push(extended.get(), OBJ_nid2obj(profile.extended_key_usage)));
  add_extension(draft, NID_ext_key_usage, extended.get(), false);
}

// RFC 7093 §2 method 1: the leftmost 160 bits of the SHA-256 of the key. No SHA-1, not even here.
OctetString key_identifier(const X509& draft) {
  const auto digest = sha256(bytes_of(*X509_get0_pubkey_bitstr(&draft)));
  OctetString id(must(ASN1_OCTET_STRING_new()));
  must(ASN1_OCTET_STRING_set(id.get(), digest.bytes.data(), 20));
  return id;
}

void add_authority(X509& draft, const ASN1_OCTET_STRING& issuer_key_id) {
  const AuthorityKeyId authority(must(AUTHORITY_KEYID_new()));
  authority->keyid = must(ASN1_OCTET_STRING_dup(&issuer_key_id));
  add_extension(draft, NID_authority_key_identifier, authority.get(), false);
}

// Everything a certificate says but who issued it.
Draft draft_of(const X509_NAME& subject, EVP_PKEY& key, const Validity& validity,
               const Profile& profile) {
  Draft draft(must(X509_new()));
  must(X509_set_version(draft.get(), X509_VERSION_3));
  set_serial(*draft);
  must(X509_set_subject_name(draft.get(), &subject));
  set_time(X509_getm_notBefore(draft.get()), validity.not_before);
  set_time(X509_getm_notAfter(draft.get()), validity.not_after);
  must(X509_set_pubkey(draft.get(), &key));

  add_basic_constraints(*draft, profile);
  add_usages(*draft, profile);
  add_extension(*draft, NID_subject_key_identifier, key_identifier(*draft).get(), false);
  return draft;
}

// The digest that goes with a key; EdDSA brings its own.
const EVP_MD* digest_for(const EVP_PKEY& key) {
  if (EVP_PKEY_is_a(&key, "ED25519") == 1 || EVP_PKEY_is_a(&key, "ED448") == 1) return nullptr;
  if (EVP_PKEY_is_a(&key, "EC") != 1 || EVP_PKEY_get_bits(&key) <= 256) return EVP_sha256();
  return EVP_PKEY_get_bits(&key) <= 384 ? EVP_sha384() : EVP_sha512();
}

// The only use of a signing key. The result is read back from its bytes and verified, so that what
// leaves here is what a verifier will see.
Result<Certificate> sign(Draft draft, EVP_PKEY& issuer_key) {
  if (X509_sign(draft.get(), &issuer_key, digest_for(issuer_key)) <= 0) {
    return Error{ErrorKind::kInternal, "cannot sign: " + newest_complaint()};
  }
  unsigned char* der = nullptr;
  const int length = i2d_X509(draft.get(), &der);
  must(length > 0);
  auto certificate = from_der({der, static_cast<std::size_t>(length)});
  OPENSSL_free(der);
  if (certificate && X509_verify(certificate.value().get(), &issuer_key) != 1) {
    return Error{ErrorKind::kInternal, "the new signature does not verify: " + newest_complaint()};
  }
  return certificate;
}

Result<void> check_issuer(const Credential& issuer) {
  X509* const certificate = issuer.certificate.get();
  if ((X509_get_extension_flags(certificate) & EXFLAG_CA) == 0 ||
      (X509_get_key_usage(certificate) & KU_KEY_CERT_SIGN) == 0) {
    return invalid("the issuing certificate is not that of a certificate authority");
  }
  if (X509_get0_subject_key_id(certificate) == nullptr) {
    return invalid("the issuing certificate lacks a subject key identifier (RFC 5280 §4.2.1.2)");
  }
  if (X509_check_private_key(certificate, issuer.key.get()) != 1) {
    return invalid("the issuing certificate and key do not belong together");
  }
  return {};
}

Result<policy::Time> end_of(const X509& certificate) {
  const auto end = to_time(*X509_get0_notAfter(&certificate));
  if (!end) return invalid("cannot read the issuing certificate's validity");
  return *end;
}

// What is to be issued, apart from its issuer and its key.
struct Order {
  std::string common_name;
  std::chrono::seconds validity;
  NewKey key;
  Profile profile;
  GeneralNames alternative_names;  // may be null
};

Result<Credential> issue(const Order& order, const Credential& issuer, policy::Time now) {
  const auto fit = check_issuer(issuer);
  if (!fit) return fit.error();
  const auto limit = end_of(*issuer.certificate);
  if (!limit) return limit.error();
  const auto period = validity(order.validity, now, limit.value());
  if (!period) return period.error();
  const auto subject = subject_name(order.common_name);
  if (!subject) return subject.error();
  auto key = generate_key(order.key);
  if (!key) return key.error();

  Draft draft = draft_of(*subject.value(), *key.value(), period.value(), order.profile);
  must(X509_set_issuer_name(draft.get(), X509_get_subject_name(issuer.certificate.get())));
  add_authority(*draft, *X509_get0_subject_key_id(issuer.certificate.get()));
  if (order.alternative_names != nullptr) {
    add_extension(*draft, NID_subject_alt_name, order.alternative_names.get(), false);
  }
  auto certificate = sign(std::move(draft), *issuer.key);
  if (!certificate) return certificate.error();
  return Credential{std::move(certificate).value(), std::move(key).value()};
}

int no_passphrase(char*, int, int, void*) {
  return -1;
}

Result<Key> read_key(const std::string& path) {
  auto text = read_file(path, kKeyFileBytesMax);
  if (!text) return text.error();

  const ErrorGuard guard;
  const std::span<char> pem(text.value());
  const Bio bio(must(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size()))));
  Key key(PEM_read_bio_PrivateKey(bio.get(), nullptr, no_passphrase, nullptr));
  OPENSSL_cleanse(pem.data(), pem.size());
  if (key == nullptr) {
    return invalid("cannot read `" + path +
                   "`: expected a private key in PEM without a passphrase: " + newest_complaint());
  }
  return key;
}

}  // namespace

Result<Key> generate_key(NewKey kind) {
  const ErrorGuard guard;
  Key key;
  switch (kind) {
    case NewKey::kP256:
      key.reset(EVP_EC_gen("P-256"));
      break;
    case NewKey::kP384:
      key.reset(EVP_EC_gen("P-384"));
      break;
    case NewKey::kEd25519:
      key.reset(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
      break;
    case NewKey::kRsa3072:
      key.reset(EVP_RSA_gen(3072));
      break;
  }
  if (key == nullptr) {
    return Error{ErrorKind::kInternal, "cannot make a key: " + newest_complaint()};
  }
  return key;
}

Result<Credential> make_root(const CaRequest& request, policy::Time now) {
  const ErrorGuard guard;
  const auto period = validity(request.validity, now, kLastTime);
  if (!period) return period.error();
  const auto subject = subject_name(request.common_name);
  if (!subject) return subject.error();
  auto key = generate_key(request.key);
  if (!key) return key.error();

  Draft draft = draft_of(*subject.value(), *key.value(), period.value(), kRoot);
  must(X509_set_issuer_name(draft.get(), subject.value().get()));
  auto certificate = sign(std::move(draft), *key.value());
  if (!certificate) return certificate.error();
  return Credential{std::move(certificate).value(), std::move(key).value()};
}

Result<Credential> make_issuing_ca(const CaRequest& request, const Credential& root,
                                   policy::Time now) {
  const ErrorGuard guard;
  if (X509_get_pathlen(root.certificate.get()) == 0) {
    return invalid("the root's path length forbids a certificate authority below it");
  }
  return issue({.common_name = request.common_name,
                .validity = request.validity,
                .key = request.key,
                .profile = kIssuingCa,
                .alternative_names = nullptr},
               root, now);
}

Result<Credential> issue_device(const DeviceRequest& request, const Credential& issuer,
                                policy::Time now) {
  const ErrorGuard guard;
  if (!policy::is_device_id(request.device)) {
    return invalid("`" + request.device + "` is not a device id");
  }
  GeneralNames names = no_names();
  add_text_name(*names, GEN_URI, device_urn(request.device));
  return issue({.common_name = request.device,
                .validity = request.validity,
                .key = request.key,
                .profile = kDevice,
                .alternative_names = std::move(names)},
               issuer, now);
}

Result<Credential> issue_server(const ServerRequest& request, const Credential& issuer,
                                policy::Time now) {
  const ErrorGuard guard;
  auto names = server_names(request.names);
  if (!names) return names.error();
  return issue({.common_name = request.names.front(),
                .validity = request.validity,
                .key = request.key,
                .profile = kServer,
                .alternative_names = std::move(names).value()},
               issuer, now);
}

Result<Credential> load_credential(const std::string& certificate_path,
                                   const std::string& key_path) {
  auto certificates = load_certificates(certificate_path);
  if (!certificates) return certificates.error();
  auto key = read_key(key_path);
  if (!key) return key.error();

  const ErrorGuard guard;
  Certificate certificate = std::move(certificates.value().front());
  if (X509_check_private_key(certificate.get(), key.value().get()) != 1) {
    return invalid("`" + key_path + "` is not the key of `" + certificate_path + "`");
  }
  return Credential{std::move(certificate), std::move(key).value()};
}

Result<void> write_credential(const evp_pkey_st& key, const std::vector<const x509_st*>& chain,
                              const std::string& key_path, const std::string& certificate_path) {
  const ErrorGuard guard;
  const Bio bio(must(BIO_new(BIO_s_mem())));  // wipes what it held
  must(PEM_write_bio_PKCS8PrivateKey(bio.get(), &key, nullptr, nullptr, 0, nullptr, nullptr));
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  auto written = write_new_file(key_path, {text, static_cast<std::size_t>(length)}, 0600);
  if (!written) return written;

  std::string certificates;
  for (const x509_st* certificate : chain)
    certificates += to_pem(*certificate);
  written = write_new_file(certificate_path, certificates, 0644);
  if (!written) ::unlink(key_path.c_str());
  return written;
}

}  // namespace leafgate::certs
