// SPDX-License-Identifier: Apache-2.0
#include "certs/certificate.h"

#include <openssl/pem.h>

#include "certs/asn1.h"
#include "certs/files.h"
#include "certs/openssl.h"

namespace leafgate::certs {
namespace {

constexpr std::size_t kFileBytesMax = std::size_t{64} * 1024 * 1024;

Error invalid(const std::string& message) {
  return {ErrorKind::kInvalid, message};
}

// One block of PEM text, whatever it holds. Wiped at its end: it may be somebody's private key.
struct PemBlock {
  char* name = nullptr;
  char* header = nullptr;
  unsigned char* data = nullptr;
  long size = 0;

  PemBlock() = default;
  PemBlock(const PemBlock&) = delete;
  PemBlock& operator=(const PemBlock&) = delete;
  ~PemBlock() {
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_clear_free(data, static_cast<std::size_t>(size));
  }
};

bool is_no_more_blocks() {
  return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

Result<std::vector<Certificate>> from_pem(std::string_view text) {
  const Bio bio(must(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))));
  std::vector<Certificate> certificates;
  for (int block_number = 1;; ++block_number) {
    const ErrorGuard guard;
    PemBlock block;
    if (PEM_read_bio(bio.get(), &block.name, &block.header, &block.data, &block.size) != 1) {
      if (is_no_more_blocks()) return certificates;
      return invalid("PEM block " + std::to_string(block_number) + ": " + newest_complaint());
    }
    if (std::string_view(block.name) != PEM_STRING_X509) continue;

    auto certificate = from_der({block.data, static_cast<std::size_t>(block.size)});
    if (!certificate) {
      return with_context("PEM block " + std::to_string(block_number), certificate.error());
    }
    certificates.push_back(std::move(certificate).value());
  }
}

std::string to_der(const x509_st& certificate) {
  unsigned char* der = nullptr;
  const int length = i2d_X509(&certificate, &der);
  if (length < 0) return {};
  std::string out(reinterpret_cast<const char*>(der), static_cast<std::size_t>(length));
  OPENSSL_free(der);
  return out;
}

}  // namespace

void CertificateDeleter::operator()(x509_st* certificate) const noexcept {
  X509_free(certificate);
}

void KeyDeleter::operator()(evp_pkey_st* key) const noexcept {
  EVP_PKEY_free(key);
}

Result<Certificate> from_der(std::span<const std::uint8_t> der) {
  if (der.size() > kCertificateBytesMax) {
    return invalid("certificate of more than " + std::to_string(kCertificateBytesMax) + " bytes");
  }
  const ErrorGuard guard;
  const unsigned char* at = der.data();
  Certificate certificate(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  if (certificate == nullptr) return invalid("not a certificate: " + newest_complaint());

  // OpenSSL also reads looser encodings, and fingerprints what it would have written itself: a file
  // whose own SHA-256 differs from that would name a certificate no broker ever sees.
  const std::string_view given(reinterpret_cast<const char*>(der.data()), der.size());
  if (to_der(*certificate) != given) {
    return invalid("not a certificate in DER: bytes follow it, or it is encoded in another way");
  }
  return certificate;
}

Result<std::vector<Certificate>> from_pem_or_der(std::string_view text) {
  if (text.size() > kFileBytesMax) {
    return invalid("certificates of more than " + std::to_string(kFileBytesMax) + " bytes");
  }
  auto certificates = from_pem(text);
  if (!certificates || !certificates.value().empty()) return certificates;

  auto single = from_der({reinterpret_cast<const std::uint8_t*>(text.data()), text.size()});
  if (!single) {
    return invalid("no certificate found: expected PEM (`BEGIN CERTIFICATE`) or DER");
  }
  certificates.value().push_back(std::move(single).value());
  return certificates;
}

Result<std::vector<Certificate>> load_certificates(const std::string& path) {
  const auto text = read_file(path, kFileBytesMax);
  if (!text) return text.error();

  auto certificates = from_pem_or_der(text.value());
  if (!certificates) return with_context("cannot read `" + path + "`", certificates.error());
  return certificates;
}

std::string to_pem(const x509_st& certificate) {
  const ErrorGuard guard;
  const Bio bio(must(BIO_new(BIO_s_mem())));
  must(PEM_write_bio_X509(bio.get(), &certificate));
  char* text = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(length)};
}

policy::Fingerprint fingerprint(const x509_st& certificate) {
  const ErrorGuard guard;
  policy::Fingerprint digest;
  must(X509_digest(&certificate, sha256_method(), digest.bytes.data(), nullptr));
  return digest;
}

}  // namespace leafgate::certs
