// SPDX-License-Identifier: Apache-2.0
#include "registry/resp.h"

#include <hiredis/read.h>

#include <array>
#include <cassert>
#include <charconv>
#include <new>
#include <utility>

namespace leafgate::registry {

// All values of one reply. The elements of an array stand next to each other, so that any of them
// is found without walking.
struct ReplyTree {
  enum class Kind : std::uint8_t { kNull, kText, kError, kInteger, kArray };

  struct Node {
    Kind kind = Kind::kNull;
    std::uint32_t first = 0;  // of the bytes in `text`, or of the elements in `nodes`
    std::uint32_t size = 0;   // bytes or elements
    std::int64_t integer = 0;
  };

  std::vector<Node> nodes;  // the root is the first
  std::string text;
  bool over_limit = false;

  void clear() {
    constexpr std::size_t kKeepMax = 1024UL * 1024;
    if (text.capacity() > kKeepMax) std::string().swap(text);
    if (nodes.capacity() * sizeof(Node) > kKeepMax) std::vector<Node>().swap(nodes);
    text.clear();
    nodes.clear();
    over_limit = false;
  }

  std::string_view text_of(const Node& node) const {
    return std::string_view(text).substr(node.first, node.size);
  }
};

namespace {

using Kind = ReplyTree::Kind;
using Node = ReplyTree::Node;

// hiredis hands our objects back as `void*`; ours are node numbers, counted from 1 because a null
// pointer means failure.
void* to_object(std::size_t node) {
  return reinterpret_cast<void*>(node + 1);
}
std::size_t to_node(const void* object) {
  return reinterpret_cast<std::uintptr_t>(object) - 1;
}

int depth_of(const redisReadTask* task) {
  int depth = 0;
  for (; task->parent != nullptr && depth <= kReplyDepthMax; task = task->parent)
    ++depth;
  return depth;
}

// Nothing may be thrown through hiredis's C frames: running out of memory ends this stream instead.
void* place(const redisReadTask* task, Node node) noexcept {
  ReplyTree& tree = *static_cast<ReplyTree*>(task->privdata);
  try {
    if (task->parent == nullptr) {
      tree.nodes.push_back(node);
      return to_object(0);
    }
    const std::size_t at =
        tree.nodes[to_node(task->parent->obj)].first + static_cast<std::size_t>(task->idx);
    tree.nodes[at] = node;
    return to_object(at);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}

void* create_string(const redisReadTask* task, char* bytes, std::size_t size) noexcept {
  ReplyTree& tree = *static_cast<ReplyTree*>(task->privdata);
  if (size > kBulkBytesMax || tree.text.size() + size > kBufferedBytesMax) {
    tree.over_limit = true;
    return nullptr;
  }
  Node node;
  node.kind = task->type == REDIS_REPLY_ERROR ? Kind::kError : Kind::kText;
  node.first = static_cast<std::uint32_t>(tree.text.size());
  node.size = static_cast<std::uint32_t>(size);
  try {
    tree.text.append(bytes, size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return place(task, node);
}

// A template because the type of the count differs between hiredis 0.14 and 1.x.
template <typename Count>
void* create_array(const redisReadTask* task, Count count) noexcept {
  ReplyTree& tree = *static_cast<ReplyTree*>(task->privdata);
  const auto elements = static_cast<std::size_t>(count);
  if (elements > kReplyNodesMax || tree.nodes.size() + elements >= kReplyNodesMax ||
      depth_of(task) >= kReplyDepthMax) {
    tree.over_limit = true;
    return nullptr;
  }
  Node node;
  node.kind = Kind::kArray;
  node.first = static_cast<std::uint32_t>(task->parent == nullptr ? 1 : tree.nodes.size());
  node.size = static_cast<std::uint32_t>(elements);
  void* const object = place(task, node);
  if (object == nullptr) return nullptr;
  try {
    tree.nodes.resize(tree.nodes.size() + elements);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
  return object;
}

void* create_integer(const redisReadTask* task, long long value) noexcept {
  Node node;
  node.kind = Kind::kInteger;
  node.integer = value;
  return place(task, node);
}

void* create_nil(const redisReadTask* task) noexcept {
  return place(task, Node{});
}

void free_object(void*) noexcept {}  // the tree belongs to the ReplyReader

redisReader* create_reader() {
  // RESP3 types that hiredis 1.x knows stay without a function: we never ask for them.
  static redisReplyObjectFunctions functions = [] {
    redisReplyObjectFunctions made{};
    made.createString = &create_string;
    made.createArray = &create_array;
    made.createInteger = &create_integer;
    made.createNil = &create_nil;
    made.freeObject = &free_object;
    return made;
  }();
  redisReader* const reader = redisReaderCreateWithFunctions(&functions);
  if (reader == nullptr) throw std::bad_alloc();
  return reader;
}

void append_count(char kind, std::size_t count, std::string& out) {
  std::array<char, 24> text;
  text[0] = kind;
  char* end = std::to_chars(text.data() + 1, text.data() + text.size() - 2, count).ptr;
  *end++ = '\r';
  *end++ = '\n';
  out.append(text.data(), end);
}

}  // namespace

bool Reply::is_null() const {
  return tree_->nodes[node_].kind == Kind::kNull;
}
bool Reply::is_error() const {
  return tree_->nodes[node_].kind == Kind::kError;
}
bool Reply::is_array() const {
  return tree_->nodes[node_].kind == Kind::kArray;
}
bool Reply::is_integer() const {
  return tree_->nodes[node_].kind == Kind::kInteger;
}

std::optional<std::string_view> Reply::text() const {
  const Node& node = tree_->nodes[node_];
  if (node.kind != Kind::kText && node.kind != Kind::kError) return std::nullopt;
  return tree_->text_of(node);
}

std::optional<std::int64_t> Reply::integer() const {
  const Node& node = tree_->nodes[node_];
  if (node.kind != Kind::kInteger) return std::nullopt;
  return node.integer;
}

std::size_t Reply::size() const {
  const Node& node = tree_->nodes[node_];
  return node.kind == Kind::kArray ? node.size : 0;
}

Reply Reply::operator[](std::size_t i) const {
  assert(i < size());
  return {tree_, tree_->nodes[node_].first + i};
}

std::optional<std::string_view> Reply::text_at(std::size_t i) const {
  if (i >= size()) return std::nullopt;
  const Node& node = tree_->nodes[tree_->nodes[node_].first + i];
  if (node.kind != Kind::kText && node.kind != Kind::kError) return std::nullopt;
  return tree_->text_of(node);
}

void encode_head(std::size_t words, std::string& out) {
  append_count('*', words, out);
}

void encode_word(std::string_view word, std::string& out) {
  append_count('$', word.size(), out);
  out += word;
  out += "\r\n";
}

void encode(const Command& command, std::string& out) {
  encode_head(command.size(), out);
  for (const std::string& word : command)
    encode_word(word, out);
}

ReplyReader::ReplyReader() : tree_(std::make_shared<ReplyTree>()), reader_(create_reader()) {}
ReplyReader::ReplyReader(ReplyReader&&) noexcept = default;
ReplyReader& ReplyReader::operator=(ReplyReader&&) noexcept = default;
ReplyReader::~ReplyReader() = default;

void ReplyReader::Deleter::operator()(redisReader* reader) const noexcept {
  redisReaderFree(reader);
}

Result<void> ReplyReader::feed(std::span<const char> bytes) {
  if (reader_->len - reader_->pos + bytes.size() > kBufferedBytesMax) {
    return Error{ErrorKind::kUnreachable, "redis sent more than a reply may hold"};
  }
  if (redisReaderFeed(reader_.get(), bytes.data(), bytes.size()) != REDIS_OK) {
    return Error{ErrorKind::kInternal, "out of memory for a redis reply"};
  }
  return {};
}

void ReplyReader::begin_reply() {
  if (tree_.use_count() > 1) tree_ = std::make_shared<ReplyTree>();
  tree_->clear();
  reader_->privdata = tree_.get();
  begun_ = true;
}

Result<std::optional<Reply>> ReplyReader::next() {
  if (!begun_) begin_reply();
  void* root = nullptr;
  if (redisReaderGetReply(reader_.get(), &root) != REDIS_OK) {
    if (tree_->over_limit) {
      return Error{ErrorKind::kUnreachable, "redis sent more than a reply may hold"};
    }
    // hiredis quotes the offending byte; the log escapes it.
    return Error{ErrorKind::kUnreachable,
                 std::string("redis broke its protocol: ") + reader_->errstr};
  }
  if (root == nullptr) return std::optional<Reply>();

  begun_ = false;
  if (tree_->nodes.empty()) {
    return Error{ErrorKind::kUnreachable, "redis sent a reply of a kind it was not asked for"};
  }
  return std::optional<Reply>(Reply(tree_, 0));
}

}  // namespace leafgate::registry
