// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_reader.h"

#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/exceptions.h>
#include <yaml-cpp/parser.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <system_error>
#include <utility>

#include "config/duration.h"
#include "policy/text.h"

namespace leafgate::config {
namespace {

int line_of(const YAML::Mark& mark) {
  return mark.line + 1;
}

// Builds the tree from yaml-cpp's events. yaml-cpp's own YAML::Node would hide duplicate keys and
// expand aliases; here nothing is allocated beyond the limits.
class TreeBuilder : public YAML::EventHandler {
 public:
  YamlNode take() { return std::move(root_); }

  void OnDocumentStart(const YAML::Mark& mark) override {
    if (++documents_ > 1) throw YAML::ParserException(mark, "more than one document");
  }
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark& mark, YAML::anchor_t anchor) override {
    refuse_anchor(mark, anchor);
    count_node(mark);
    place(mark, YamlNode{YamlNode::Kind::kNull, line_of(mark), {}, {}, {}});
  }
  void OnAlias(const YAML::Mark& mark, YAML::anchor_t) override {
    throw YAML::ParserException(mark, "aliases are not supported");
  }
  void OnScalar(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                const std::string& value) override {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    count_node(mark);
    if (awaits_key()) {
      open_.back().key = {value, line_of(mark)};
    } else {
      place(mark, YamlNode{YamlNode::Kind::kScalar, line_of(mark), value, {}, {}});
    }
  }
  void OnSequenceStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                       YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::kList);
  }
  void OnSequenceEnd() override { close(); }
  void OnMapStart(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
                  YAML::EmitterStyle::value) override {
    open(mark, tag, anchor, YamlNode::Kind::kMapping);
  }
  void OnMapEnd() override { close(); }

 private:
  // A list or mapping still open. For a mapping `key` is set between a key and its value.
  struct Frame {
    YamlNode node;
    std::optional<std::pair<std::string, int>> key;
  };

  bool awaits_key() const {
    return !open_.empty() && open_.back().node.kind == YamlNode::Kind::kMapping &&
           !open_.back().key;
  }

  void place(const YAML::Mark& mark, YamlNode node) {
    if (open_.empty()) {
      root_ = std::move(node);
      return;
    }
    auto& parent = open_.back();
    if (parent.node.kind == YamlNode::Kind::kList) {
      parent.node.items.push_back(std::move(node));
      return;
    }
    if (!parent.key) throw YAML::ParserException(mark, "a key must be a plain word");
    // yaml-cpp places a missing value at the token that follows it.
    if (node.kind == YamlNode::Kind::kNull) node.line = parent.key->second;
    parent.node.entries.push_back(
        {std::move(parent.key->first), parent.key->second, std::move(node)});
    parent.key.reset();
  }

  void open(const YAML::Mark& mark, const std::string& tag, YAML::anchor_t anchor,
            YamlNode::Kind kind) {
    refuse_anchor(mark, anchor);
    refuse_tag(mark, tag);
    count_node(mark);
    if (awaits_key()) throw YAML::ParserException(mark, "a key must be a plain word");
    if (open_.size() >= kYamlDepthMax) throw YAML::ParserException(mark, "nested too deep");
    open_.push_back({YamlNode{kind, line_of(mark), {}, {}, {}}, std::nullopt});
  }

  void close() {
    auto done = std::move(open_.back().node);
    open_.pop_back();
    place(YAML::Mark::null_mark(), std::move(done));
  }

  void count_node(const YAML::Mark& mark) {
    if (++nodes_ > kYamlNodesMax) throw YAML::ParserException(mark, "too many values");
  }
  static void refuse_anchor(const YAML::Mark& mark, YAML::anchor_t anchor) {
    if (anchor != 0) throw YAML::ParserException(mark, "anchors are not supported");
  }
  // yaml-cpp reports `?` for a plain value and `!` for a quoted one; both mean: no tag.
  static void refuse_tag(const YAML::Mark& mark, const std::string& tag) {
    if (!tag.empty() && tag != "?" && tag != "!") {
      throw YAML::ParserException(mark, "tags are not supported");
    }
  }

  YamlNode root_;
  std::vector<Frame> open_;
  std::size_t nodes_ = 0;
  std::size_t documents_ = 0;
};

std::string join(const std::vector<std::string_view>& words) {
  std::string text;
  for (const auto word : words) {
    if (!text.empty()) text += " | ";
    text += word;
  }
  return text;
}

// User input in an error message: one line, of bounded length.
std::string in_quotes(std::string_view text) {
  constexpr std::size_t kShown = 64;
  if (!policy::is_plain_text(text)) return "`…` (control characters or not UTF-8)";
  if (text.size() <= kShown) return "`" + std::string(text) + "`";
  auto cut = kShown;
  while (cut > 0 && !policy::is_plain_text(text.substr(0, cut)))
    --cut;  // not inside a character
  return "`" + std::string(text.substr(0, cut)) + "…`";
}

Error invalid(std::string message) {
  return Error{ErrorKind::kInvalid, std::move(message)};
}

}  // namespace

Result<YamlNode> read_yaml(std::string_view text, const std::string& name) {
  if (text.size() > kYamlBytesMax) {
    return invalid(name + ": larger than " + std::to_string(kYamlBytesMax) + " bytes");
  }
  // yaml-cpp takes a newline at the end of the file for the end of an unclosed quoted value.
  const auto end = text.find_last_not_of(" \t\r\n") + 1;
  try {
    std::istringstream stream{std::string(text.substr(0, end))};
    YAML::Parser parser(stream);
    TreeBuilder tree;
    while (parser.HandleNextDocument(tree)) {
    }
    return tree.take();
  } catch (const YAML::Exception& error) {
    return invalid(name + ":" + std::to_string(line_of(error.mark)) + ": not valid YAML: " +
                   (policy::is_plain_text(error.msg) ? error.msg : "illegal character"));
  } catch (const std::exception& error) {
    return invalid(name + ": not valid YAML: " + error.what());
  }
}

void YamlProblems::add(int line, const std::string& key, const std::string& message) {
  if (first_) return;
  const auto where = name_ + ":" + std::to_string(line) + ": ";
  first_ = invalid(where + (key.empty() ? "" : key + ": ") + message);
}

Result<void> YamlProblems::outcome() const {
  if (first_) return *first_;
  return {};
}

YamlMapping::YamlMapping(const YamlNode& node, std::string path, YamlProblems& problems)
    : node_(&node), path_(std::move(path)), problems_(&problems) {
  if (node.kind != YamlNode::Kind::kMapping && node.kind != YamlNode::Kind::kNull) {
    problems.add(node.line, path_, "must hold keys and values");
  }
}

const YamlEntry* YamlMapping::find(std::string_view key) const {
  const auto found = std::find_if(node_->entries.begin(), node_->entries.end(),
                                  [&](const auto& entry) { return entry.key == key; });
  return found == node_->entries.end() ? nullptr : &*found;
}

std::string YamlMapping::path_of(std::string_view key) const {
  return (path_.empty() ? "" : path_ + ".") + std::string(key);
}

const YamlNode* YamlMapping::node(std::string_view key) {
  if (std::find(asked_.begin(), asked_.end(), key) == asked_.end()) asked_.push_back(key);
  const auto* entry = find(key);
  return entry == nullptr ? nullptr : &entry->value;
}

std::optional<std::string> YamlMapping::text_of(const YamlNode& node, const std::string& path) {
  if (node.kind != YamlNode::Kind::kScalar || node.scalar.empty()) {
    problems_->add(node.line, path, "must be one value that is not empty");
    return std::nullopt;
  }
  if (node.scalar.size() > kYamlTextBytesMax) {
    problems_->add(node.line, path, "longer than " + std::to_string(kYamlTextBytesMax) + " bytes");
    return std::nullopt;
  }
  if (!policy::is_plain_text(node.scalar)) {
    problems_->add(node.line, path, "holds control characters or is not UTF-8");
    return std::nullopt;
  }
  return node.scalar;
}

std::string YamlMapping::text(std::string_view key, std::string fallback) {
  const auto* value = node(key);
  if (value == nullptr) return fallback;
  return text_of(*value, path_of(key)).value_or(std::move(fallback));
}

std::int64_t YamlMapping::integer(std::string_view key, std::int64_t fallback, std::int64_t min,
                                  std::int64_t max) {
  const auto written = text(key);
  if (written.empty()) return fallback;
  std::int64_t number = 0;
  const auto* end = written.data() + written.size();
  const auto parsed = std::from_chars(written.data(), end, number);
  if (parsed.ec == std::errc() && parsed.ptr == end && number >= min && number <= max)
    return number;
  fail(key, in_quotes(written) + " is not a number in range: allowed: " + std::to_string(min) +
                ".." + std::to_string(max));
  return fallback;
}

bool YamlMapping::boolean(std::string_view key, bool fallback) {
  return choice(key, fallback, {Word<bool>{"true", true}, Word<bool>{"false", false}});
}

std::chrono::milliseconds YamlMapping::duration(std::string_view key,
                                                std::chrono::milliseconds fallback,
                                                std::chrono::milliseconds min,
                                                std::chrono::milliseconds max) {
  const auto written = text(key);
  if (written.empty()) return fallback;
  const auto value = parse_duration(written);
  if (value && *value >= min && *value <= max) return *value;
  const auto in_ms = [](std::chrono::milliseconds limit) {
    return std::to_string(limit.count()) + "ms";
  };
  fail(key,
       in_quotes(written) + (value ? " is out of range: allowed: " + in_ms(min) + ".." + in_ms(max)
                                   : " is not a duration: allowed: 500ms | 10s | 5m | 1h | 2d"));
  return fallback;
}

const std::vector<YamlNode>* YamlMapping::list(std::string_view key, std::size_t most) {
  const auto* value = node(key);
  if (value == nullptr) return nullptr;
  if (value->kind != YamlNode::Kind::kList) {
    fail(key, "must be a list, e.g. [a, b]");
    return nullptr;
  }
  if (value->items.size() > most) {
    fail(key, "more than " + std::to_string(most) + " entries");
    return nullptr;
  }
  return &value->items;
}

std::vector<std::string> YamlMapping::texts(std::string_view key, std::size_t most) {
  std::vector<std::string> found;
  const auto* items = list(key, most);
  if (items == nullptr) return found;
  for (const auto& item : *items) {
    auto text = text_of(item, path_of(key) + "[" + std::to_string(found.size()) + "]");
    if (!text) return {};
    found.push_back(std::move(*text));
  }
  return found;
}

YamlMapping YamlMapping::mapping(std::string_view key) {
  static const YamlNode kAbsent;
  const auto* value = node(key);
  return {value == nullptr ? kAbsent : *value, path_of(key), *problems_};
}

std::vector<YamlMapping> YamlMapping::mappings(std::string_view key, std::size_t most) {
  std::vector<YamlMapping> found;
  const auto* items = list(key, most);
  if (items == nullptr) return found;
  for (const auto& item : *items) {
    found.emplace_back(item, path_of(key) + "[" + std::to_string(found.size()) + "]", *problems_);
  }
  return found;
}

std::optional<std::size_t> YamlMapping::word_index(std::string_view key,
                                                   const std::vector<std::string_view>& words) {
  const auto written = text(key);
  if (written.empty()) return std::nullopt;
  const auto found = std::find(words.begin(), words.end(), written);
  if (found != words.end()) return static_cast<std::size_t>(found - words.begin());
  fail(key, "unknown value " + in_quotes(written) + ": allowed: " + join(words));
  return std::nullopt;
}

void YamlMapping::require(std::string_view key, const std::string& allowed) {
  if (find(key) == nullptr) {
    problems_->add(std::max(node_->line, 1), path_of(key), "must be stated: allowed: " + allowed);
  }
}

void YamlMapping::fail(std::string_view key, const std::string& message) {
  const auto* entry = find(key);
  const int line = entry == nullptr ? node_->line : entry->value.line;
  problems_->add(std::max(line, 1), path_of(key), message);
}

void YamlMapping::finish() {
  std::vector<std::string_view> seen;
  for (const auto& entry : node_->entries) {
    if (std::find(asked_.begin(), asked_.end(), entry.key) == asked_.end()) {
      problems_->add(entry.line, path_,
                     "unknown key " + in_quotes(entry.key) + ": allowed: " + join(asked_));
      return;
    }
    if (std::find(seen.begin(), seen.end(), entry.key) != seen.end()) {
      problems_->add(entry.line, path_of(entry.key), "stated twice: remove one");
      return;
    }
    seen.push_back(entry.key);
  }
}

}  // namespace leafgate::config
