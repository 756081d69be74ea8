// SPDX-License-Identifier: Apache-2.0
// YAML into typed values, with errors a person can act on:
// `FILE:LINE: KEY: message: allowed: a | b | c`.
//
// Strict on purpose: one document of mappings, lists and scalars; no anchors, aliases, tags or
// merge keys, no unknown and no duplicate keys. Size, depth and number of nodes are limited.
// yaml-cpp and its exceptions stay behind this file. One document, one thread at a time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace leafgate::config {

inline constexpr std::size_t kYamlBytesMax = 1024 * 1024;
inline constexpr std::size_t kYamlDepthMax = 16;
inline constexpr std::size_t kYamlNodesMax = 65536;
inline constexpr std::size_t kYamlTextBytesMax = 4096;

struct YamlEntry;

// A value as written. Lines count from 1.
struct YamlNode {
  enum class Kind : std::uint8_t { kNull, kScalar, kList, kMapping };

  Kind kind = Kind::kNull;
  int line = 0;
  std::string scalar;
  std::vector<YamlNode> items;
  std::vector<YamlEntry> entries;  // in the order written, duplicates included
};

struct YamlEntry {
  std::string key;
  int line = 0;
  YamlNode value;
};

// Fails with kInvalid, naming `name` and the line. An empty text is a null node.
Result<YamlNode> read_yaml(std::string_view text, const std::string& name);

// The first thing found wrong in one document.
class YamlProblems {
 public:
  explicit YamlProblems(std::string name) : name_(std::move(name)) {}

  // Keeps the first call's words only: later ones tend to follow from it.
  void add(int line, const std::string& key, const std::string& message);

  // Ok when add() was never called.
  Result<void> outcome() const;

 private:
  std::string name_;
  std::optional<Error> first_;
};

// One enumerator and its word in the file.
template <typename Enum>
struct Word {
  std::string_view word;
  Enum value;
};

// Reads one mapping key by key. A getter whose key is absent returns its fallback; one whose value
// is wrong reports it and returns the fallback: ask YamlProblems::outcome() at the end. finish()
// reports every key nobody asked for, so that the getters are the list of allowed keys. The node,
// the problems and the texts passed as `key` outlive this object.
class YamlMapping {
 public:
  // `path`: of the mapping itself, e.g. `admission.device_id`; empty at the top. A null node reads
  // as an empty mapping; anything else but a mapping is reported.
  YamlMapping(const YamlNode& node, std::string path, YamlProblems& problems);

  // The value as written; nullptr when absent.
  const YamlNode* node(std::string_view key);

  // Not empty, at most kYamlTextBytesMax bytes, plain text (policy/text.h).
  std::string text(std::string_view key, std::string fallback = {});
  std::int64_t integer(std::string_view key, std::int64_t fallback, std::int64_t min,
                       std::int64_t max);
  // `true` or `false`.
  bool boolean(std::string_view key, bool fallback);
  std::chrono::milliseconds duration(std::string_view key, std::chrono::milliseconds fallback,
                                     std::chrono::milliseconds min, std::chrono::milliseconds max);
  // A list of at most `most` texts; empty when absent.
  std::vector<std::string> texts(std::string_view key, std::size_t most);
  // An empty mapping when absent.
  YamlMapping mapping(std::string_view key);
  // A list of at most `most` mappings; empty when absent.
  std::vector<YamlMapping> mappings(std::string_view key, std::size_t most);

  template <typename Enum, std::size_t N>
  Enum choice(std::string_view key, Enum fallback, const Word<Enum> (&words)[N]) {
    std::vector<std::string_view> allowed;
    for (const auto& word : words)
      allowed.push_back(word.word);
    const auto chosen = word_index(key, allowed);
    return chosen ? words[*chosen].value : fallback;
  }

  // Reports an absent key. `allowed` says what would be right.
  void require(std::string_view key, const std::string& allowed);
  // Reports `message` at `key`.
  void fail(std::string_view key, const std::string& message);
  // Reports the first key that no getter asked for, and duplicates.
  void finish();

  const std::string& path() const noexcept { return path_; }

 private:
  const YamlEntry* find(std::string_view key) const;
  std::string path_of(std::string_view key) const;
  std::optional<std::string> text_of(const YamlNode& node, const std::string& path);
  const std::vector<YamlNode>* list(std::string_view key, std::size_t most);
  std::optional<std::size_t> word_index(std::string_view key,
                                        const std::vector<std::string_view>& words);

  const YamlNode* node_;
  std::string path_;
  YamlProblems* problems_;
  std::vector<std::string_view> asked_;
};

}  // namespace leafgate::config
