// SPDX-License-Identifier: Apache-2.0
#include "admin/source.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <iostream>
#include <utility>

#include "admin/text.h"
#include "certs/facts.h"

namespace leafgate::admin {
namespace {

// Base64 and armour around the largest certificate.
constexpr std::size_t kBlockBytesMax = certs::kCertificateBytesMax * 2;
constexpr std::string_view kPemBegin = "-----BEGIN ";
constexpr std::string_view kPemEnd = "-----END ";
constexpr std::array<std::string_view, 4> kExtensions = {".pem", ".crt", ".cer", ".der"};
constexpr std::array<std::string_view, 9> kColumns = {
    "fingerprint", "file", "device", "serial", "issuer", "not_before", "not_after", "spki", "note"};

bool has_certificate_extension(std::string_view text) {
  return std::any_of(kExtensions.begin(), kExtensions.end(), [text](std::string_view extension) {
    return text.size() > extension.size() &&
           text.substr(text.size() - extension.size()) == extension;
  });
}

bool is_column(std::string_view text) {
  return std::find(kColumns.begin(), kColumns.end(), text) != kColumns.end();
}

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

Result<std::shared_ptr<const Leaf>> read_leaf(const certs::Certificate& certificate) {
  Result<certs::Description> description = certs::describe(*certificate);
  if (!description) return description.error();
  auto leaf = std::make_shared<Leaf>();
  leaf->description = std::move(description).value();
  leaf->facts = certs::read_facts(*certificate, certs::SanWanted::kAll);
  return std::shared_ptr<const Leaf>(std::move(leaf));
}

Target target_of(std::string where, std::shared_ptr<const Leaf> leaf) {
  Target target;
  target.where = std::move(where);
  target.fingerprint = leaf->facts.fingerprint;
  target.leaf = std::move(leaf);
  return target;
}

// Appends what `selector` stands for.
void expand(const std::string& text, const std::string& where, std::deque<Result<Target>>& out) {
  const Result<Selector> selector = parse_selector(text);
  if (!selector) {
    out.emplace_back(selector.error());
    return;
  }
  if (selector.value().kind == Selector::Kind::kFingerprint) {
    Target target;
    target.where = where;
    target.fingerprint = selector.value().fingerprint;
    out.emplace_back(std::move(target));
    return;
  }
  Result<std::vector<std::shared_ptr<const Leaf>>> leaves = load_leaves(selector.value().path);
  if (!leaves) {
    out.emplace_back(leaves.error());
    return;
  }
  for (auto& leaf : leaves.value())
    out.emplace_back(target_of(where, std::move(leaf)));
}

Result<std::unique_ptr<Source>> open_folder(const std::string& path) {
  std::vector<std::string> files;
  std::error_code failure;
  for (std::filesystem::directory_iterator entry(path, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    const std::string file = entry->path().string();
    if (has_certificate_extension(file) && entry->is_regular_file(failure)) files.push_back(file);
  }
  if (failure) return Error{ErrorKind::kInvalid, "`" + path + "`: " + failure.message()};
  std::sort(files.begin(), files.end());
  return std::unique_ptr<Source>(std::make_unique<SelectorSource>(std::move(files)));
}

// DER starts with a SEQUENCE whose length takes more than one byte; no text does.
bool looks_like_der(std::istream& input) {
  std::array<char, 2> head{};
  input.read(head.data(), head.size());
  const bool der =
      input.gcount() == 2 && head[0] == 0x30 && (static_cast<unsigned char>(head[1]) & 0x80U) != 0;
  input.clear();
  input.seekg(0);
  return der;
}

}  // namespace

Result<Selector> parse_selector(std::string_view text) {
  Selector selector;
  if (const auto fingerprint = policy::parse_fingerprint(text)) {
    selector.fingerprint = *fingerprint;
    return selector;
  }
  if (text.find('/') != std::string_view::npos || has_certificate_extension(text)) {
    selector.kind = Selector::Kind::kFile;
    selector.path = std::string(text);
    return selector;
  }
  return Error{ErrorKind::kInvalid, "`" + std::string(text.substr(0, 100)) +
                                        "` is neither a fingerprint (64 hex digits) nor a "
                                        "certificate file (a path with `/` or a name "
                                        "that ends in .pem, .crt, .cer or .der)"};
}

Result<std::vector<std::shared_ptr<const Leaf>>> load_leaves(const std::string& path) {
  Result<std::vector<certs::Certificate>> loaded = certs::load_certificates(path);
  if (!loaded) {
    // "Unreachable" is a word about Redis here; a file that cannot be read is a wrong input.
    Error error = loaded.error();
    if (error.kind == ErrorKind::kUnreachable) error.kind = ErrorKind::kInvalid;
    return error;
  }
  std::vector<std::shared_ptr<const Leaf>> leaves;
  for (const certs::Certificate& certificate : loaded.value()) {
    Result<std::shared_ptr<const Leaf>> leaf = read_leaf(certificate);
    if (!leaf) return with_context("`" + path + "`", leaf.error());
    if (!leaf.value()->description.is_ca) leaves.push_back(std::move(leaf).value());
  }
  if (leaves.empty()) {
    return Error{ErrorKind::kInvalid,
                 "`" + path + "`: holds no device certificate, only CA certificates"};
  }
  return leaves;
}

SelectorSource::SelectorSource(std::vector<std::string> selectors)
    : selectors_(std::move(selectors)) {}

std::optional<Result<Target>> SelectorSource::next() {
  while (ready_.empty()) {
    if (at_ == selectors_.size()) return std::nullopt;
    const std::string& text = selectors_[at_++];
    expand(text, text, ready_);
  }
  Result<Target> target = std::move(ready_.front());
  ready_.pop_front();
  return target;
}

TextSource::TextSource(std::unique_ptr<std::istream> input, std::string name, Holds holds)
    : input_(std::move(input)), name_(std::move(name)), holds_(holds) {
  // Such a file may start with words for people (`openssl x509 -text`).
  if (holds_ == Holds::kCertificates && has_certificate_extension(name_)) form_ = Form::kPem;
}

std::optional<Result<Target>> TextSource::next() {
  while (ready_.empty() && !ended_) {
    const std::optional<std::string> line = next_line();
    if (line) {
      take(*line);
    } else {
      finish();
    }
  }
  if (ready_.empty()) return std::nullopt;
  Result<Target> target = std::move(ready_.front());
  ready_.pop_front();
  return target;
}

std::optional<std::string> TextSource::next_line() {
  std::string line;
  int c = input_->get();
  if (c == std::char_traits<char>::eof()) return std::nullopt;
  ++line_;
  bool too_long = false;
  for (; c != std::char_traits<char>::eof() && c != '\n'; c = input_->get()) {
    too_long = too_long || line.size() == kLineBytesMax;
    if (!too_long) line += static_cast<char>(c);
  }
  if (too_long) {
    fail("longer than " + std::to_string(kLineBytesMax) + " bytes");
    return std::string();
  }
  constexpr std::string_view kByteOrderMark = "\xef\xbb\xbf";
  if (line_ == 1 && line.substr(0, 3) == kByteOrderMark) line.erase(0, 3);
  return std::string(trimmed(line));
}

void TextSource::take(const std::string& line) {
  if (form_ == Form::kPem) return take_pem(line);
  if (line.empty() || line.front() == '#') return;

  if (form_ == Form::kUnknown) {
    detect(line);
    if (form_ == Form::kCsv) return;  // that was the header
  }
  switch (form_) {
    case Form::kPem:
      return take_pem(line);
    case Form::kCsv:
      return take_csv(line);
    case Form::kList:
      if (holds_ == Holds::kDevices) return take_item("", line, {});
      return take_item(line, "", {});
    case Form::kUnknown:
      return;
  }
}

void TextSource::detect(const std::string& line) {
  form_ = Form::kList;
  if (line.substr(0, kPemBegin.size()) == kPemBegin) {
    form_ = Form::kPem;
    return;
  }
  const Result<std::vector<std::string>> fields = split_csv(line);
  if (!fields || !is_column(fields.value().front())) return;

  form_ = Form::kCsv;
  columns_ = fields.value();
  const auto unknown = std::find_if_not(columns_.begin(), columns_.end(), is_column);
  if (unknown != columns_.end()) {
    fail("unknown column `" + *unknown +
         "`: write fingerprint, file, device, serial, issuer, not_before, not_after, spki or note");
    ended_ = true;
    return;
  }
  const auto has = [this](std::string_view name) {
    return std::find(columns_.begin(), columns_.end(), name) != columns_.end();
  };
  const bool enough = holds_ == Holds::kDevices ? has("device") : has("fingerprint") || has("file");
  if (enough) return;
  fail(holds_ == Holds::kDevices ? "the header names no `device` column"
                                 : "the header names neither a `fingerprint` nor a `file` column");
  ended_ = true;
}

void TextSource::take_pem(const std::string& line) {
  if (block_.empty()) {
    if (line.substr(0, kPemBegin.size()) != kPemBegin) return;
    block_line_ = line_;
  }
  if (block_.size() + line.size() > kBlockBytesMax) {
    fail("the PEM block that starts at line " + std::to_string(block_line_) + " is too long");
    block_.clear();
    return;
  }
  block_ += line;
  block_ += '\n';
  if (line.substr(0, kPemEnd.size()) != kPemEnd) return;

  const std::string block = std::exchange(block_, std::string());
  if (block.find("CERTIFICATE-----") == std::string::npos) return;  // a key, for instance
  const std::string place = name_ + ":" + std::to_string(block_line_);
  const Result<std::vector<certs::Certificate>> certificates = certs::from_pem_or_der(block);
  if (!certificates) {
    ready_.emplace_back(with_context(place, certificates.error()));
    return;
  }
  for (const certs::Certificate& certificate : certificates.value()) {
    Result<std::shared_ptr<const Leaf>> leaf = read_leaf(certificate);
    if (!leaf) {
      ready_.emplace_back(with_context(place, leaf.error()));
    } else if (!leaf.value()->description.is_ca) {
      ready_.emplace_back(target_of(place, std::move(leaf).value()));
    }
  }
}

void TextSource::take_csv(const std::string& line) {
  const Result<std::vector<std::string>> fields = split_csv(line);
  if (!fields) return fail(fields.error().message);
  if (fields.value().size() != columns_.size()) {
    return fail(std::to_string(fields.value().size()) + " fields where the header has " +
                std::to_string(columns_.size()));
  }

  std::string fingerprint;
  std::string file;
  std::string device;
  registry::Fields stated;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const std::string value(trimmed(fields.value()[i]));
    if (columns_[i] == "fingerprint") {
      fingerprint = value;
    } else if (columns_[i] == "file") {
      file = value;
    } else if (columns_[i] == "device") {
      device = value;
    } else if (!value.empty()) {
      stated.emplace_back(columns_[i], value);
    }
  }
  if (holds_ == Holds::kDevices) return take_item("", device, {});
  if (!file.empty() && !fingerprint.empty())
    return fail("both a fingerprint and a file: leave one empty");
  take_item(file.empty() ? fingerprint : file, device, stated);
}

void TextSource::take_item(const std::string& text, const std::string& device,
                           const registry::Fields& stated) {
  if (holds_ == Holds::kDevices) {
    Target target;
    target.where = where();
    target.device = device;
    ready_.emplace_back(std::move(target));
    return;
  }
  std::deque<Result<Target>> found;
  expand(text, where(), found);
  for (Result<Target>& target : found) {
    if (!target) {
      ready_.emplace_back(with_context(where(), target.error()));
      continue;
    }
    target.value().device = device;
    target.value().stated = stated;
    ready_.push_back(std::move(target));
  }
}

void TextSource::finish() {
  ended_ = true;
  if (!block_.empty()) {
    fail("the PEM block that starts at line " + std::to_string(block_line_) + " does not end");
  }
  if (input_->bad()) fail("reading stopped by an error");
}

void TextSource::fail(const std::string& message) {
  ready_.emplace_back(Error{ErrorKind::kInvalid, where() + ": " + message});
}

std::string TextSource::where() const {
  return name_ + ":" + std::to_string(line_);
}

Result<std::unique_ptr<Source>> open_source(const std::string& path, TextSource::Holds holds) {
  if (path == "-") {
    // Standard input belongs to the process: this stream borrows its buffer.
    auto input = std::make_unique<std::istream>(std::cin.rdbuf());
    return std::unique_ptr<Source>(std::make_unique<TextSource>(std::move(input), "stdin", holds));
  }
  std::error_code failure;
  const bool is_folder = std::filesystem::is_directory(path, failure);
  if (is_folder && holds == TextSource::Holds::kDevices) {
    return Error{ErrorKind::kInvalid, "`" + path + "` is a folder: a list of device ids is a file"};
  }
  if (is_folder) return open_folder(path);

  auto input = std::make_unique<std::ifstream>(path, std::ios::binary);
  if (!*input) {
    const bool there = std::filesystem::exists(path, failure);
    return Error{there ? ErrorKind::kInvalid : ErrorKind::kNotFound,
                 "`" + path + "`: " + (there ? "cannot be read" : "no such file")};
  }
  if (holds == TextSource::Holds::kCertificates && looks_like_der(*input)) {
    return std::unique_ptr<Source>(std::make_unique<SelectorSource>(
        std::vector<std::string>{path.find('/') == std::string::npos ? "./" + path : path}));
  }
  return std::unique_ptr<Source>(std::make_unique<TextSource>(std::move(input), path, holds));
}

}  // namespace leafgate::admin
