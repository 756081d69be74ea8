// SPDX-License-Identifier: Apache-2.0
// The backup of a registry: JSON lines, pure ASCII, so that any tool can look into it.
//
//   {"kind":"backup","format":1,"prefix":"leafgate:","id":"3f2a…","at":1795000000}
//   {"kind":"log","id":"1795000000000-0","fields":{"seq":"1", …}}
//   {"kind":"cert","id":"<fingerprint>","fields":{"state":"active", …}}
//   {"kind":"device_block","id":"dev1","expire_at_ms":1795000000000,"fields":{…}}
//   {"kind":"issuer_block","id":"5b…","fields":{…}}
//   {"kind":"meta","fields":{…}}
//   {"kind":"end","counts":{"log":1,"cert":1,"device_block":1,"issuer_block":1,"meta":1}}
//
// A name or value that is not plain UTF-8 is {"base64":"…"}; fields whose names are not, or not
// unique, are an array of [name, value]. The last line tells a whole file from the beginning of
// one. Meta stands last, because brokers that miss the data set go on when its id is back. One
// thread.
#pragma once

#include <array>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "registry/outbox.h"
#include "registry/schema.h"

namespace leafgate::admin {

inline constexpr std::size_t kBackupLineBytesMax = std::size_t{1} << 20U;
// What transition.lua restores.
inline constexpr std::size_t kStoredFieldsMax = 500;
inline constexpr std::size_t kStoredBytesMax = 4096;

struct BackupLine {
  enum class Kind : std::uint8_t { kLog, kCert, kDeviceBlock, kIssuerBlock, kMeta, kHeader, kEnd };
  static constexpr std::size_t kCounted = 5;  // the kinds before kHeader
  using Counts = std::array<std::uint64_t, kCounted>;

  Kind kind = Kind::kCert;
  std::string id;      // fingerprint, device, issuer, id of the log entry; kHeader: of the data set
  std::string prefix;  // kHeader
  std::int64_t at = 0;  // kHeader: when, Unix seconds
  registry::Fields fields;
  std::optional<std::uint64_t> ends_at_ms;  // when the key's time to live ends
  Counts counts{};                          // kEnd
};

std::string_view to_string(BackupLine::Kind kind);

// Without a line break. kInvalid when it could not be restored: too many fields, too long ones.
Result<std::string> encode(const BackupLine& line);
// kInvalid says what is wrong. Nothing is taken that is not written by encode().
Result<BackupLine> decode(std::string_view text);

// The key of a record. REQUIRES: kind is kCert, kDeviceBlock, kIssuerBlock or kMeta
std::string key_of(const registry::Schema& schema, const BackupLine& line);

// Reads a backup, as often as wanted. What is no regular file is copied to a temporary one first.
class BackupReader {
 public:
  // `path`: `-` for standard input. kNotFound or kInvalid.
  static Result<BackupReader> open(const std::string& path);

  // The next line but the header, the Error of one that is wrong, nullopt at the end. Errors name
  // file and line; the last one may be that the file is not whole.
  std::optional<Result<BackupLine>> next();
  void rewind();
  std::string where() const { return name_ + ":" + std::to_string(line_); }
  const BackupLine::Counts& counts() const { return counts_; }  // of what next() gave

 private:
  struct Close {
    void operator()(std::FILE* file) const noexcept { std::fclose(file); }
  };
  using File = std::unique_ptr<std::FILE, Close>;

  BackupReader(File file, std::string name) : file_(std::move(file)), name_(std::move(name)) {}

  // nullopt at the end of the file.
  std::optional<Result<std::string>> read_line();
  std::optional<Result<BackupLine>> at_end();
  Error wrong(const std::string& message);

  File file_;
  std::string name_;
  std::size_t line_ = 0;
  bool begun_ = false;  // the header was there
  bool over_ = false;   // nothing more to give
  std::size_t wrong_ = 0;
  std::optional<BackupLine> end_;
  BackupLine::Counts counts_{};
};

}  // namespace leafgate::admin
