// SPDX-License-Identifier: Apache-2.0
#include "admin/mosquitto_conf.h"

#include <strings.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <utility>

namespace leafgate::admin {
namespace {

using Severity = Finding::Severity;

constexpr std::size_t kConfBytesMax = 1024 * 1024;
constexpr std::size_t kIncludedMax = 1000;

constexpr std::string_view kListenerOptions[] = {"cafile",
                                                 "capath",
                                                 "certfile",
                                                 "keyfile",
                                                 "require_certificate",
                                                 "use_identity_as_username",
                                                 "use_subject_as_username",
                                                 "protocol",
                                                 "psk_hint",
                                                 "allow_anonymous",
                                                 "listener_allow_anonymous",
                                                 "bind_address"};

std::optional<std::string> read_text(const std::string& path) {
  std::ifstream input(path, std::ios::binary);
  std::string text(kConfBytesMax + 1, '\0');
  input.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (input.bad() || (!input && !input.eof())) return std::nullopt;
  text.resize(static_cast<std::size_t>(input.gcount()));
  return text;
}

std::vector<std::string> included_files(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code failure;
  for (std::filesystem::directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    const std::string file = entry->path().string();
    if (file.size() > 5 && strcasecmp(file.c_str() + file.size() - 5, ".conf") == 0)
      files.push_back(file);
    if (files.size() > kIncludedMax) break;
  }
  std::sort(files.begin(), files.end());
  return files;
}
class ConfReader {
 public:
  explicit ConfReader(std::vector<Finding>& findings) : findings_(findings) {}

  void read(const std::string& path, int depth) {
    const std::optional<std::string> text = read_text(path);
    if (!text) return find(path, 0, "cannot be read: check the path and its rights");
    if (text->size() > kConfBytesMax)
      return find(path, 0, "larger than 1 MiB: not a mosquitto.conf");

    std::istringstream input(*text);
    std::string line;
    for (std::size_t number = 1; std::getline(input, line); ++number) {
      const std::optional<ConfLine> parsed = parse(path, number, line);
      if (!parsed) continue;
      if (parsed->name != "include_dir") {
        lines.push_back(*parsed);
      } else if (depth > 0) {
        find(path, number,
             "include_dir inside an included file is not followed by the broker: move it");
      } else {
        include(*parsed);
      }
    }
  }

  std::vector<ConfLine> lines;

 private:
  void find(const std::string& file, std::size_t line, const std::string& message) {
    findings_.push_back({Severity::kError, file, line, message});
  }

  void include(const ConfLine& line) {
    const std::vector<std::string> files = included_files(line.value);
    if (files.size() > kIncludedMax)
      return find(line.file, line.line, "include_dir holds too many files");
    std::error_code failure;
    if (!std::filesystem::is_directory(line.value, failure)) {
      return find(line.file, line.line, "include_dir `" + line.value + "` is not a folder");
    }
    for (const std::string& file : files)
      read(file, 1);
  }

  static std::optional<ConfLine> parse(const std::string& file, std::size_t number,
                                       const std::string& line) {
    constexpr std::string_view kBlank = " \t\r";
    const std::size_t begin = line.find_first_not_of(kBlank);
    if (begin == std::string::npos || line[0] == '#') return std::nullopt;
    const std::size_t end = line.find_last_not_of(kBlank) + 1;
    const std::size_t name_end = std::min(line.find_first_of(kBlank, begin), end);
    const std::size_t value = std::min(line.find_first_not_of(kBlank, name_end), end);
    return ConfLine{file, number, line.substr(begin, name_end - begin),
                    line.substr(value, end - value)};
  }

  std::vector<Finding>& findings_;
};
}  // namespace

std::vector<ConfLine> read_conf(const std::string& path, std::vector<Finding>& findings) {
  ConfReader reader(findings);
  reader.read(path, 0);
  return std::move(reader.lines);
}

bool is_true(std::string_view value) {
  return value == "true" || value == "1";
}

const ConfLine* Listener::find(std::string_view name) const {
  const auto found = std::find_if(lines.rbegin(), lines.rend(),
                                  [name](const ConfLine* line) { return line->name == name; });
  return found == lines.rend() ? nullptr : *found;
}

bool Listener::has_true(std::string_view name) const {
  const ConfLine* line = find(name);
  return line != nullptr && is_true(line->value);
}

std::vector<Listener> listeners_of(const std::vector<ConfLine>& lines) {
  std::vector<Listener> all(1);
  for (const ConfLine& line : lines) {
    if (line.name == "listener") {
      all.emplace_back().start = &line;
    } else if (line.name == "port") {
      all.front().start = &line;
    } else if (std::find(std::begin(kListenerOptions), std::end(kListenerOptions), line.name) !=
               std::end(kListenerOptions)) {
      all.back().lines.push_back(&line);
    }
  }
  const Listener& first = all.front();
  const bool default_runs = first.start != nullptr || first.find("certfile") != nullptr ||
                            first.find("bind_address") != nullptr || all.size() == 1;
  if (!default_runs) all.erase(all.begin());
  return all;
}

}  // namespace leafgate::admin
