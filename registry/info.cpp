// SPDX-License-Identifier: Apache-2.0
#include "registry/info.h"

#include <charconv>
#include <string>

namespace leafgate::registry {
namespace {

// What stands behind `word`, up to the end of the line or a comma.
std::string_view text_after(std::string_view text, std::string_view word) {
  const std::size_t at = text.find(word);
  if (at == std::string_view::npos) return {};
  text.remove_prefix(at + word.size());
  return text.substr(0, text.find_first_of(",\r\n"));
}

template <typename Number>
Number number_after(std::string_view text, std::string_view word, Number otherwise) {
  text = text_after(text, word);
  std::from_chars(text.data(), text.data() + text.size(), otherwise);
  return otherwise;
}

}  // namespace

Keyspace parse_keyspace(std::string_view info, std::string_view line_start) {
  const std::size_t at = info.find(line_start);
  if (at == std::string_view::npos) return {};
  const std::string_view line = info.substr(at, info.find('\n', at) - at);
  return {number_after<std::uint64_t>(line, "keys=", 0),
          number_after<std::uint64_t>(line, "expires=", 0)};
}

Replication parse_replication(std::string_view info) {
  Replication found;
  found.id = text_after(info, "master_replid:");
  found.offset = number_after<std::int64_t>(info, "master_repl_offset:", 0);
  found.former_id = text_after(info, "master_replid2:");
  found.former_offset = number_after<std::int64_t>(info, "second_repl_offset:", -1);
  return found;
}

}  // namespace leafgate::registry
