// SPDX-License-Identifier: Apache-2.0
#include "admin/backup.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>
#include <set>
#include <system_error>

#include "admin/brokers.h"
#include "admin/output.h"
#include "admin/text.h"
#include "policy/identity.h"
#include "policy/text.h"

namespace leafgate::admin {
namespace {

using Kind = BackupLine::Kind;

constexpr std::uint64_t kFormat = 1;
constexpr std::array<std::string_view, 7> kNames = {
    "log", "cert", "device_block", "issuer_block", "meta", "backup", "end"};
constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

Error invalid(std::string message) {
  return {ErrorKind::kInvalid, std::move(message)};
}

std::string short_quote(std::string_view text) {
  return "`" + std::string(text.substr(0, 100)) + "`";
}

// RFC 4648 §4.
std::string to_base64(std::string_view bytes) {
  std::string out;
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    std::uint32_t group = 0;
    for (std::size_t j = 0; j < 3; ++j) {
      group <<= 8U;
      if (i + j < bytes.size()) group |= static_cast<unsigned char>(bytes[i + j]);
    }
    for (std::size_t j = 0; j < 4; ++j) {
      const bool padding = i + j > bytes.size();
      out += padding ? '=' : kDigits[(group >> (18U - 6U * j)) & 0x3FU];
    }
  }
  return out;
}

// Only what to_base64() writes.
std::optional<std::string> from_base64(std::string_view text) {
  std::string out;
  std::uint32_t group = 0;
  unsigned bits = 0;
  for (const char c : text.substr(0, text.find('='))) {
    const std::size_t digit = kDigits.find(c);
    if (digit == std::string_view::npos) return std::nullopt;
    group = (group << 6U) | static_cast<std::uint32_t>(digit);
    bits += 6;
    if (bits < 8) continue;
    bits -= 8;
    out += static_cast<char>((group >> bits) & 0xFFU);
  }
  if (to_base64(out) != text) return std::nullopt;
  return out;
}

Json to_json(std::string_view text) {
  if (text.empty() || policy::is_plain_text(text)) return text;
  return Json{{"base64", to_base64(text)}};
}

Result<std::string> text_of(const Json& json) {
  if (json.is_string()) return json.get<std::string>();
  if (json.is_object() && json.size() == 1 && json.contains("base64") &&
      json["base64"].is_string()) {
    if (auto bytes = from_base64(json["base64"].get_ref<const std::string&>()))
      return *std::move(bytes);
    return invalid("`base64` is not base64");
  }
  return invalid("a name or value is neither text nor {\"base64\": …}");
}

Json to_json(const registry::Fields& fields) {
  std::set<std::string_view> names;
  bool plain = true;
  for (const auto& [name, value] : fields)
    plain = plain && policy::is_plain_text(name) && names.insert(name).second;
  Json out = plain ? Json::object() : Json::array();
  for (const auto& [name, value] : fields) {
    if (plain) {
      out[name] = to_json(value);
    } else {
      out.push_back(Json::array({to_json(name), to_json(value)}));
    }
  }
  return out;
}

Result<void> check_fields(Kind kind, const registry::Fields& fields) {
  if (fields.empty()) return invalid("there are no fields");
  if (fields.size() > kStoredFieldsMax)
    return invalid("more than " + std::to_string(kStoredFieldsMax) + " fields");
  std::set<std::string_view> names;
  for (const auto& [name, value] : fields) {
    if (name.size() > kStoredBytesMax || value.size() > kStoredBytesMax) {
      return invalid("field " + short_quote(name) + " has more than " +
                     std::to_string(kStoredBytesMax) + " bytes");
    }
    if (!names.insert(name).second && kind != Kind::kLog)
      return invalid("field " + short_quote(name) + " is there twice");
  }
  return {};
}

Result<registry::Fields> fields_of(const Json& json) {
  registry::Fields fields;
  if (!json.is_object() && !json.is_array()) return invalid("`fields` is not an object");
  for (const auto& [key, item] : json.items()) {
    const bool pair = json.is_array();
    if (pair && (!item.is_array() || item.size() != 2))
      return invalid("`fields` holds something else than pairs of name and value");
    Result<std::string> name = pair ? text_of(item[0]) : Result<std::string>(key);
    Result<std::string> value = text_of(pair ? item[1] : item);
    if (!name) return name.error();
    if (!value) return with_context("field " + short_quote(name.value()), value.error());
    fields.emplace_back(std::move(name).value(), std::move(value).value());
  }
  return fields;
}

Result<std::string> string_at(const Json& json, const char* name) {
  if (!json.contains(name) || !json[name].is_string())
    return invalid("`" + std::string(name) + "` is not there or no text");
  return json[name].get<std::string>();
}

Result<std::uint64_t> number_at(const Json& json, const char* name) {
  if (!json.contains(name) || !json[name].is_number_unsigned())
    return invalid("`" + std::string(name) + "` is not there or no number");
  return json[name].get<std::uint64_t>();
}

Result<void> check_names(const Json& json, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : json.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end())
      return invalid("unknown key " + short_quote(name));
  }
  return {};
}

Result<BackupLine> decode_header(const Json& json) {
  const Result<std::uint64_t> format = number_at(json, "format");
  if (!format) return format.error();
  if (format.value() != kFormat)
    return invalid("the backup has format " + std::to_string(format.value()) +
                   ", this program knows " + std::to_string(kFormat) + ": use a newer one");
  if (auto names = check_names(json, {"kind", "format", "prefix", "id", "at"}); !names)
    return names.error();
  BackupLine line;
  line.kind = Kind::kHeader;
  const Result<std::string> prefix = string_at(json, "prefix");
  if (!prefix) return prefix.error();
  line.prefix = prefix.value();
  const Result<std::uint64_t> at = number_at(json, "at");
  if (!at) return at.error();
  line.at = static_cast<std::int64_t>(at.value());
  if (json.contains("id") && json["id"].is_null()) return line;
  const Result<std::string> id = string_at(json, "id");
  if (!id) return id.error();
  if (!is_data_set_id(id.value())) return invalid("`id` is not the id of a data set");
  line.id = id.value();
  return line;
}

Result<BackupLine> decode_end(const Json& json) {
  if (auto names = check_names(json, {"kind", "counts"}); !names) return names.error();
  BackupLine line;
  line.kind = Kind::kEnd;
  if (!json.contains("counts") || !json["counts"].is_object())
    return invalid("`counts` is not there or no object");
  const Json& counts = json["counts"];
  if (auto names = check_names(counts, {kNames[0], kNames[1], kNames[2], kNames[3], kNames[4]});
      !names)
    return with_context("`counts`", names.error());
  for (std::size_t i = 0; i < line.counts.size(); ++i) {
    const Result<std::uint64_t> count = number_at(counts, kNames[i].data());
    if (!count) return with_context("`counts`", count.error());
    line.counts[i] = count.value();
  }
  return line;
}

bool is_entry_id(const std::string& id) {
  constexpr std::size_t kDigitsMax = 15;
  const std::size_t dash = id.find('-');
  return dash != std::string::npos && dash != 0 && dash <= kDigitsMax && dash + 1 < id.size() &&
         id.size() - dash - 1 <= kDigitsMax && id.find_first_not_of("0123456789") == dash &&
         id.find_first_not_of("0123456789", dash + 1) == std::string::npos;
}

Result<void> check_id(Kind kind, const std::string& id) {
  switch (kind) {
    case Kind::kCert:
      if (policy::parse_stored_fingerprint(id)) return {};
      return invalid(short_quote(id) + " is not a fingerprint: 64 lower-case hex digits");
    case Kind::kDeviceBlock:
      if (policy::is_device_id(id)) return {};
      return invalid(short_quote(id) + " is not a device id");
    case Kind::kIssuerBlock:
      if (registry::is_issuer_id(id)) return {};
      return invalid(short_quote(id) + " is not an issuer id");
    default:
      break;
  }
  if (!is_entry_id(id)) return invalid(short_quote(id) + " is not the id of a log entry");
  // A stream takes no entry that is older than its last one.
  const policy::Time at(std::chrono::milliseconds(std::stoll(id)));
  if (at > system_now() + std::chrono::hours(24))
    return invalid("log entry " + short_quote(id) + " is from the future");
  return {};
}

Result<BackupLine> decode_record(const Json& json, Kind kind) {
  if (auto names = check_names(json, {"kind", "id", "expire_at_ms", "fields"}); !names)
    return names.error();
  BackupLine line;
  line.kind = kind;
  if (kind == Kind::kMeta) {
    if (json.contains("id")) return invalid("meta has no `id` beside its fields");
  } else {
    Result<std::string> id = string_at(json, "id");
    if (!id) return id.error();
    line.id = std::move(id).value();
    if (auto checked = check_id(kind, line.id); !checked) return checked.error();
  }
  if (json.contains("expire_at_ms")) {
    constexpr std::uint64_t kMax = 999'999'999'999'999;
    const Result<std::uint64_t> ends = number_at(json, "expire_at_ms");
    if (!ends) return ends.error();
    if (kind == Kind::kMeta || kind == Kind::kLog || ends.value() > kMax)
      return invalid("`expire_at_ms` makes no sense here");
    line.ends_at_ms = ends.value();
  }
  if (!json.contains("fields")) return invalid("`fields` is not there");
  Result<registry::Fields> fields = fields_of(json["fields"]);
  if (!fields) return fields.error();
  line.fields = std::move(fields).value();
  if (auto checked = check_fields(kind, line.fields); !checked) return checked.error();
  return line;
}

Error cannot_read(const std::string& name, int error) {
  return {error == ENOENT ? ErrorKind::kNotFound : ErrorKind::kInvalid,
          "`" + name + "` cannot be read: " + std::generic_category().message(error)};
}

}  // namespace

std::string_view to_string(Kind kind) {
  return kNames[static_cast<std::size_t>(kind)];
}

Result<std::string> encode(const BackupLine& line) {
  Json json{{"kind", to_string(line.kind)}};
  if (line.kind == Kind::kHeader) {
    json["format"] = kFormat;
    json["prefix"] = line.prefix;
    json["id"] = line.id.empty() ? Json() : Json(line.id);
    json["at"] = line.at;
    return to_line(json);
  }
  if (line.kind == Kind::kEnd) {
    for (std::size_t i = 0; i < line.counts.size(); ++i)
      json["counts"][std::string(kNames[i])] = line.counts[i];
    return to_line(json);
  }
  if (auto checked = check_fields(line.kind, line.fields); !checked) return checked.error();
  if (line.kind != Kind::kMeta) json["id"] = line.id;
  if (line.ends_at_ms) json["expire_at_ms"] = *line.ends_at_ms;
  json["fields"] = to_json(line.fields);
  std::string text = to_line(json);
  if (text.size() > kBackupLineBytesMax)
    return invalid("its fields have more than " + std::to_string(kBackupLineBytesMax) + " bytes");
  return text;
}

Result<BackupLine> decode(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded() || !json.is_object()) return invalid("not a JSON object");
  const Result<std::string> kind = string_at(json, "kind");
  if (!kind) return kind.error();
  const auto* found = std::find(kNames.begin(), kNames.end(), kind.value());
  if (found == kNames.end()) return invalid("unknown `kind` " + short_quote(kind.value()));
  const auto known = static_cast<Kind>(found - kNames.begin());
  if (known == Kind::kHeader) return decode_header(json);
  if (known == Kind::kEnd) return decode_end(json);
  return decode_record(json, known);
}

std::string key_of(const registry::Schema& schema, const BackupLine& line) {
  switch (line.kind) {
    case Kind::kCert:
      return schema.cert_prefix() + line.id;
    case Kind::kDeviceBlock:
      return schema.block_device(line.id);
    case Kind::kIssuerBlock:
      return schema.block_issuer(line.id);
    default:
      return schema.meta();
  }
}

Result<BackupReader> BackupReader::open(const std::string& path) {
  const bool standard_input = path == "-";
  const std::string name = standard_input ? "standard input" : path;
  File file(standard_input ? fdopen(dup(STDIN_FILENO), "r") : std::fopen(path.c_str(), "re"));
  if (!file) return cannot_read(name, errno);
  struct stat status {};
  if (fstat(fileno(file.get()), &status) != 0) return cannot_read(name, errno);
  if (S_ISREG(status.st_mode)) return BackupReader(std::move(file), name);

  File copy(std::tmpfile());
  if (!copy) return Error{ErrorKind::kInternal, "no temporary file can be made"};
  std::array<char, 65536> bytes{};
  while (const std::size_t got = std::fread(bytes.data(), 1, bytes.size(), file.get())) {
    if (std::fwrite(bytes.data(), 1, got, copy.get()) != got)
      return Error{ErrorKind::kInternal, "the temporary copy cannot be written: is the disk full?"};
  }
  if (std::ferror(file.get()) != 0) return cannot_read(name, errno);
  BackupReader reader(std::move(copy), name);
  reader.rewind();
  return reader;
}

void BackupReader::rewind() {
  std::rewind(file_.get());
  line_ = wrong_ = 0;
  begun_ = over_ = false;
  end_.reset();
  counts_ = {};
}

std::optional<Result<std::string>> BackupReader::read_line() {
  std::string line;
  int c = std::getc(file_.get());
  if (c == EOF) return std::nullopt;
  ++line_;
  bool too_long = false;
  for (; c != EOF && c != '\n'; c = std::getc(file_.get())) {
    too_long = too_long || line.size() == kBackupLineBytesMax;
    if (!too_long) line += static_cast<char>(c);
  }
  if (too_long) return wrong("longer than " + std::to_string(kBackupLineBytesMax) + " bytes");
  return line;
}

Error BackupReader::wrong(const std::string& message) {
  ++wrong_;
  return invalid(where() + ": " + message);
}

std::optional<Result<BackupLine>> BackupReader::at_end() {
  over_ = true;
  if (!end_) {
    return wrong(
        "the file ends without the last line of a backup: it is not whole, take another "
        "one");
  }
  if (wrong_ == 0 && end_->counts != counts_)
    return wrong("the counts are not those of the lines before: the file is not whole");
  return std::nullopt;
}

std::optional<Result<BackupLine>> BackupReader::next() {
  if (over_) return std::nullopt;
  std::optional<Result<std::string>> text = read_line();
  if (!text) return at_end();
  if (!*text) return text->error();
  Result<BackupLine> line = decode(text->value());
  const bool header = line && line.value().kind == Kind::kHeader;
  if (!begun_ && !header) {
    over_ = true;
    return wrong("this is not a backup of leafgate: its first line is not the header" +
                 (line ? std::string() : " (" + line.error().message + ")"));
  }
  if (!line) return wrong(line.error().message);
  if (begun_ && header) return wrong("a second header");
  if (end_) return wrong("a line behind the end of the backup");
  if (header) {
    begun_ = true;
    return next();
  }
  if (line.value().kind == Kind::kEnd) {
    end_ = std::move(line).value();
    return next();
  }
  std::uint64_t& count = counts_[static_cast<std::size_t>(line.value().kind)];
  if (line.value().kind == Kind::kMeta && count != 0) return wrong("a second line of kind meta");
  ++count;
  return line;
}

}  // namespace leafgate::admin
