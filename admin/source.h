// SPDX-License-Identifier: Apache-2.0
// Where the things to change come from: selectors on the command line, lists, CSV files, PEM
// bundles, folders. Read as a stream, so that a list may hold millions. Input is never trusted:
// lines, blocks and files have limits, and an error names its line and does not stop the reading.
// One thread.
#pragma once

#include <deque>
#include <fstream>
#include <istream>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "certs/describe.h"
#include "policy/vocabulary.h"
#include "registry/outbox.h"

namespace leafgate::admin {

inline constexpr std::size_t kLineBytesMax = 8192;

// What was typed to name a certificate.
struct Selector {
  enum class Kind { kFingerprint, kFile } kind = Kind::kFingerprint;
  policy::Fingerprint fingerprint;  // kFingerprint
  std::string path;                 // kFile
};

// 64 hex digits (either case, colons allowed) are a fingerprint; a text with `/`, or one that ends
// in .pem, .crt, .cer or .der, is a file. kInvalid for anything else.
Result<Selector> parse_selector(std::string_view text);

// A certificate that was read from a file or a bundle.
struct Leaf {
  policy::CertFacts facts;
  certs::Description description;
};

// One thing named. Either a certificate, or (from a list of devices) a device id.
struct Target {
  std::string where;                 // `fleet.csv:17`, `dev1.crt` or as typed
  policy::Fingerprint fingerprint;   // certificates
  std::shared_ptr<const Leaf> leaf;  // when the certificate itself was there
  std::string device;                // stated by the input, not checked; empty: not stated
  registry::Fields stated;           // further columns of a CSV line, as text
};

// The leaf certificates of a file. CA certificates in it (a chain) are left out. kNotFound or
// kInvalid name the file.
Result<std::vector<std::shared_ptr<const Leaf>>> load_leaves(const std::string& path);

class Source {
 public:
  virtual ~Source() = default;
  // The next target, or the Error of one that could not be read; nullopt at the end.
  virtual std::optional<Result<Target>> next() = 0;
};

// Selectors as typed. One that names a file stands for every leaf certificate in it.
class SelectorSource final : public Source {
 public:
  explicit SelectorSource(std::vector<std::string> selectors);
  std::optional<Result<Target>> next() override;

 private:
  std::vector<std::string> selectors_;
  std::size_t at_ = 0;
  std::deque<Result<Target>> ready_;
};

// Text, by what its first line is: a PEM bundle; CSV with a header of known columns (at least one
// of `fingerprint`, `file`, `device`); or a plain list of fingerprints and files (`kDevices`: of
// device ids), one a line. Empty lines and lines that start with `#` are skipped.
class TextSource final : public Source {
 public:
  enum class Holds { kCertificates, kDevices };

  // `name` stands for the input in messages.
  TextSource(std::unique_ptr<std::istream> input, std::string name, Holds holds);
  std::optional<Result<Target>> next() override;

 private:
  enum class Form { kUnknown, kPem, kCsv, kList };

  std::optional<std::string> next_line();
  void detect(const std::string& line);
  void take(const std::string& line);
  void take_pem(const std::string& line);
  void take_csv(const std::string& line);
  void take_item(const std::string& text, const std::string& device,
                 const registry::Fields& stated);
  void finish();
  void fail(const std::string& message);
  std::string where() const;

  std::unique_ptr<std::istream> input_;
  std::string name_;
  Holds holds_;
  Form form_ = Form::kUnknown;
  std::size_t line_ = 0;
  bool ended_ = false;
  std::vector<std::string> columns_;  // kCsv
  std::string block_;                 // kPem: the block being read; empty outside one
  std::size_t block_line_ = 0;
  std::deque<Result<Target>> ready_;
};

// `path`: `-` for standard input, a folder of certificate files (.pem .crt .cer .der, not below
// it), a certificate file in DER, or text for TextSource. kNotFound or kInvalid.
Result<std::unique_ptr<Source>> open_source(const std::string& path, TextSource::Holds holds);

}  // namespace leafgate::admin
