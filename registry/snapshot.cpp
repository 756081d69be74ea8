// SPDX-License-Identifier: Apache-2.0
#include "registry/snapshot.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace leafgate::registry {
namespace {

using policy::Block;
using policy::Time;
using Packed = Replica::Packed;

constexpr std::string_view kMagic = "leafsnap";
constexpr std::uint32_t kVersion = 2;
constexpr std::size_t kBufferBytes = 256 * 1024;
constexpr std::size_t kTextMax = 4096;  // of a prefix, an id or a key; Redis's own are shorter

using Digest = std::array<std::uint8_t, 32>;

constexpr std::uint8_t kCertificate = 'C';
constexpr std::uint8_t kDeviceBlock = 'D';
constexpr std::uint8_t kIssuerBlock = 'I';
constexpr std::uint8_t kMemory = 'M';
constexpr std::uint8_t kRegression = 'R';
constexpr std::uint8_t kEnd = 'E';
constexpr std::size_t kRecordBytes = 1 + 32 + 8;
// Nothing but a header, an end and a checksum.
constexpr std::size_t kEmptyBytes = 8 + 4 + 8 + 4 + (1 + 8) + sizeof(Digest);

std::span<const std::uint8_t> as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

// SHA-256, piece by piece.
class Sha256 {
 public:
  Sha256() : context_(EVP_MD_CTX_new()) {
    if (!context_ || EVP_DigestInit_ex(context_.get(), EVP_sha256(), nullptr) != 1) {
      throw std::bad_alloc();
    }
  }
  void add(std::span<const std::uint8_t> bytes) {
    if (EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) != 1) throw std::bad_alloc();
  }
  Digest finish() {
    Digest digest{};
    if (EVP_DigestFinal_ex(context_.get(), digest.data(), nullptr) != 1) throw std::bad_alloc();
    return digest;
  }

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() { close(); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  // Some file systems tell only now that there was no room.
  bool close() { return fd_ < 0 || ::close(std::exchange(fd_, -1)) == 0; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

Error failure(const std::string& path, const std::string& what, int code) {
  const auto kind = code == ENOENT ? ErrorKind::kNotFound : ErrorKind::kUnreachable;
  return {kind, path + ": " + what + ": " + std::generic_category().message(code)};
}

// ---- writing

// A new file under a temporary name, removed again unless commit() succeeds. The first failure is
// kept, and later calls do nothing.
class Output {
 public:
  explicit Output(const std::string& path);
  ~Output() {
    if (made_) ::unlink(temporary_.c_str());
  }
  Output(const Output&) = delete;
  Output& operator=(const Output&) = delete;

  void bytes(std::span<const std::uint8_t> bytes);
  template <typename Integer>
  void number(Integer value);
  void text(std::string_view text);
  bool failed() const { return failure_.has_value(); }

  // The checksum, and everything safely on the disk in the place of the old file. Returns its size.
  Result<std::uint64_t> commit();

 private:
  void flush();
  void write(std::span<const std::uint8_t> bytes);
  void replace_old();
  void sync_folder();
  void fail(const std::string& what, int code) {
    if (!failure_) failure_ = failure(path_, what, code);
  }

  const std::string path_;
  const std::string temporary_;
  Sha256 hash_;
  std::vector<std::uint8_t> buffer_;
  std::uint64_t written_ = 0;
  std::optional<Error> failure_;
  bool made_ = false;  // the temporary file is there, and ours
  Descriptor file_;
};

int create(const std::string& path) {
  // A broker that died while it wrote has left one. What is removed of a link is the link.
  ::unlink(path.c_str());
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                S_IRUSR | S_IWUSR);
}

Output::Output(const std::string& path)
    : path_(path), temporary_(path + ".new"), file_(create(temporary_)) {
  made_ = file_.get() >= 0;
  if (!made_) fail("cannot create " + temporary_, errno);
}

void Output::bytes(std::span<const std::uint8_t> bytes) {
  if (buffer_.size() + bytes.size() > kBufferBytes) flush();
  buffer_.insert(buffer_.end(), bytes.begin(), bytes.end());
}

template <typename Integer>
void Output::number(Integer value) {
  std::array<std::uint8_t, sizeof value> bytes{};
  auto left = static_cast<std::make_unsigned_t<Integer>>(value);
  for (std::uint8_t& byte : bytes) {
    byte = static_cast<std::uint8_t>(left & 0xffU);
    if constexpr (sizeof value > 1) left >>= 8U;
  }
  this->bytes(bytes);
}

void Output::text(std::string_view text) {
  if (text.size() > kTextMax) return fail("an id or a key is too long", EOVERFLOW);
  number(static_cast<std::uint32_t>(text.size()));
  bytes(as_bytes(text));
}

void Output::flush() {
  hash_.add(buffer_);
  write(buffer_);
  buffer_.clear();
}

void Output::write(std::span<const std::uint8_t> bytes) {
  while (!failed() && !bytes.empty()) {
    const ssize_t done = ::write(file_.get(), bytes.data(), bytes.size());
    if (done < 0 && errno == EINTR) continue;
    if (done < 0) return fail("cannot write", errno);
    bytes = bytes.subspan(static_cast<std::size_t>(done));
    written_ += static_cast<std::uint64_t>(done);
  }
}

Result<std::uint64_t> Output::commit() {
  flush();
  write(hash_.finish());
  if (!failed()) replace_old();
  if (failed()) return *failure_;
  return written_;
}

void Output::replace_old() {
  if (::fsync(file_.get()) != 0) return fail("cannot sync", errno);
  if (!file_.close()) return fail("cannot close", errno);
  if (::rename(temporary_.c_str(), path_.c_str()) != 0) return fail("cannot rename", errno);
  made_ = false;
  sync_folder();
}

void Output::sync_folder() {
  const std::string folder = path_.substr(0, path_.rfind('/') + 1);
  const Descriptor opened(
      ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  // EINVAL: this file system has no such thing.
  if (opened.get() < 0 || (::fsync(opened.get()) != 0 && errno != EINVAL)) {
    fail("cannot sync the folder", errno);
  }
}

void write_header(Output& out, const std::string& prefix, Time watermark) {
  out.bytes(as_bytes(kMagic));
  out.number(kVersion);
  out.number(std::int64_t{watermark.time_since_epoch().count()});
  out.text(prefix);
}

std::size_t write_certificates(Output& out, const Replica& replica) {
  std::size_t count = 0;
  std::vector<Packed> copy;
  for (std::size_t shard = 0; shard < Replica::kShards && !out.failed(); ++shard) {
    replica.copy_shard(shard, copy);
    for (const Packed& packed : copy) {
      out.number(kCertificate);
      out.bytes(packed.fingerprint.bytes);
      out.number(packed.bits);
    }
    count += copy.size();
  }
  return count;
}

void write_blocks(Output& out, const Replica& replica) {
  struct Copied {
    std::uint8_t tag;
    std::string id;
    Block block;
  };
  std::vector<Copied> copy;
  replica.for_each_block([&copy](std::string_view kind, const std::string& id, const Block& block) {
    copy.push_back({kind == "device" ? kDeviceBlock : kIssuerBlock, id, block});
  });
  for (const Copied& copied : copy) {
    out.number(copied.tag);
    out.number(
        std::int64_t{copied.block.before.value_or(policy::kNever).time_since_epoch().count()});
    out.text(copied.id);
  }
}

void write_remembered(Output& out, const Remembered& remembered) {
  out.number(kMemory);
  out.number(remembered.seq);
  out.text(remembered.data_set);
  out.text(remembered.confirmed);
  out.number(static_cast<std::uint8_t>(remembered.lost));
  out.text(remembered.restored);
  for (const std::string& key : remembered.regressions) {
    out.number(kRegression);
    out.text(key);
  }
}

// ---- reading

Error refused(const std::string& name, const std::string& why) {
  return {ErrorKind::kInvalid, name + ": " + why};
}

// Some bytes of a file, through a buffer. A read past their end gives zeros and is remembered: ask
// complete().
class Input {
 public:
  Input(int file, std::uint64_t from, std::uint64_t size)
      : file_(file),
        offset_(from),
        left_(size),
        buffer_(std::min<std::uint64_t>(size, kBufferBytes)) {}

  // What is left of the buffer, or the next of the file; empty at the end.
  std::span<const std::uint8_t> piece();
  void bytes(std::span<std::uint8_t> out);
  template <typename Integer>
  Integer number();
  std::string text();

  bool at_end() const { return left_ == 0 && at_ == filled_; }
  // Nothing was missing so far.
  bool complete() const { return complete_; }
  int error() const { return error_; }  // errno of a failed read; 0

 private:
  void fill();

  const int file_;
  std::uint64_t offset_;
  std::uint64_t left_;  // in the file, beyond the buffer
  std::vector<std::uint8_t> buffer_;
  std::size_t at_ = 0;
  std::size_t filled_ = 0;
  bool complete_ = true;
  int error_ = 0;
};

void Input::fill() {
  const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(left_, buffer_.size()));
  ssize_t got = 0;
  do {
    got = ::pread(file_, buffer_.data(), wanted, static_cast<off_t>(offset_));
  } while (got < 0 && errno == EINTR);
  if (got < 0) error_ = errno;
  at_ = 0;
  filled_ = got > 0 ? static_cast<std::size_t>(got) : 0;
  offset_ += filled_;
  left_ = filled_ > 0 ? left_ - filled_ : 0;  // it may have been cut meanwhile
}

std::span<const std::uint8_t> Input::piece() {
  if (at_ == filled_ && left_ > 0) fill();
  const std::size_t from = std::exchange(at_, filled_);
  return std::span(buffer_).subspan(from, filled_ - from);
}

void Input::bytes(std::span<std::uint8_t> out) {
  while (!out.empty()) {
    if (at_ == filled_ && left_ > 0) fill();
    const std::size_t some = std::min(out.size(), filled_ - at_);
    if (some == 0) {
      complete_ = false;
      std::ranges::fill(out, std::uint8_t{0});
      return;
    }
    std::memcpy(out.data(), buffer_.data() + at_, some);
    at_ += some;
    out = out.subspan(some);
  }
}

template <typename Integer>
Integer Input::number() {
  std::array<std::uint8_t, sizeof(Integer)> bytes{};
  this->bytes(bytes);
  std::make_unsigned_t<Integer> value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    value = static_cast<decltype(value)>(value | std::uint64_t{bytes[i]} << (8 * i));
  }
  return static_cast<Integer>(value);
}

std::string Input::text() {
  const auto size = number<std::uint32_t>();
  if (size > kTextMax) {
    complete_ = false;
    return {};
  }
  std::array<std::uint8_t, kTextMax> bytes;
  this->bytes(std::span(bytes).first(size));
  return {bytes.begin(), bytes.begin() + size};
}

// One snapshot, from the outside in: what it is, whether it is whole, then what it says.
class Reader {
 public:
  Reader(int file, std::string name, Replica& replica)
      : file_(file), name_(std::move(name)), replica_(replica) {}

  Result<SnapshotRead> read(const std::string& prefix, Time now);

 private:
  Result<void> check_kind();
  Result<void> check_whole();
  Result<void> read_header(Input& in, const std::string& prefix, Time now);
  bool read_entries(Input& in);
  bool read_entry(Input& in, std::uint8_t tag);
  static Block read_block(Input& in);
  Error damaged() const { return refused(name_, "damaged or cut short"); }

  const int file_;
  const std::string name_;
  Replica& replica_;
  std::uint64_t body_ = 0;  // bytes before the checksum
  SnapshotRead found_;
};

Result<SnapshotRead> Reader::read(const std::string& prefix, Time now) {
  if (Result<void> done = check_kind(); !done) return done.error();
  if (Result<void> done = check_whole(); !done) return done.error();
  Input in(file_, 0, body_);
  if (Result<void> done = read_header(in, prefix, now); !done) return done.error();
  if (!read_entries(in)) return refused(name_, "not as leafgate writes it, although it is whole");
  return std::move(found_);
}

Result<void> Reader::check_kind() {
  struct stat status {};
  if (::fstat(file_, &status) != 0) return failure(name_, "cannot read", errno);
  if (!S_ISREG(status.st_mode)) return refused(name_, "not a regular file");
  found_.bytes = static_cast<std::uint64_t>(status.st_size);
  Input in(file_, 0, found_.bytes);
  std::array<std::uint8_t, kMagic.size()> magic{};
  in.bytes(magic);
  if (in.error() != 0) return failure(name_, "cannot read", in.error());
  if (found_.bytes == 0) return refused(name_, "empty");
  if (!std::ranges::equal(magic, as_bytes(kMagic))) return refused(name_, "not a snapshot");
  const auto version = in.number<std::uint32_t>();
  if (in.complete() && version != kVersion) {
    return refused(name_, "a snapshot of format " + std::to_string(version) + ", ours is " +
                              std::to_string(kVersion));
  }
  if (found_.bytes < kEmptyBytes) return damaged();
  body_ = found_.bytes - Digest().size();
  return {};
}

Result<void> Reader::check_whole() {
  Sha256 hash;
  Input body(file_, 0, body_);
  for (auto piece = body.piece(); !piece.empty(); piece = body.piece())
    hash.add(piece);
  Input tail(file_, body_, Digest().size());
  Digest written{};
  tail.bytes(written);
  const int error = body.error() != 0 ? body.error() : tail.error();
  if (error != 0) return failure(name_, "cannot read", error);
  return hash.finish() == written ? Result<void>() : damaged();
}

Result<void> Reader::read_header(Input& in, const std::string& prefix, Time now) {
  std::array<std::uint8_t, kMagic.size() + sizeof kVersion> checked{};
  in.bytes(checked);
  found_.watermark = Time(std::chrono::milliseconds(in.number<std::int64_t>()));
  const std::string written = in.text();
  if (written != prefix) {
    return refused(name_, "of the prefix `" + written + "`, ours is `" + prefix + "`");
  }
  if (found_.watermark > now + kSnapshotAheadMax) {
    return refused(name_, "from the future: is the clock right?");
  }
  if (found_.watermark < Time()) return refused(name_, "from before 1970");
  return {};
}

bool Reader::read_entries(Input& in) {
  Input end(file_, body_ - sizeof(std::uint64_t), sizeof(std::uint64_t));
  replica_.reserve(std::min(end.number<std::uint64_t>(), body_ / kRecordBytes));
  for (;;) {
    const auto tag = in.number<std::uint8_t>();
    if (tag == kEnd) break;
    if (!read_entry(in, tag) || !in.complete()) return false;
  }
  return in.number<std::uint64_t>() == found_.certificates && in.complete() && in.at_end();
}

bool Reader::read_entry(Input& in, std::uint8_t tag) {
  switch (tag) {
    case kCertificate: {
      Packed packed;
      in.bytes(packed.fingerprint.bytes);
      packed.bits = in.number<std::uint64_t>();
      ++found_.certificates;
      return replica_.put_packed(packed);
    }
    case kDeviceBlock:
    case kIssuerBlock: {
      const Block block = read_block(in);
      const std::string id = in.text();
      if (tag == kDeviceBlock) replica_.put_device_block(id, block, kUnstamped);
      if (tag == kIssuerBlock) replica_.put_issuer_block(id, block, kUnstamped);
      return true;
    }
    case kMemory:
      found_.remembered.seq = in.number<std::uint64_t>();
      found_.remembered.data_set = in.text();
      found_.remembered.confirmed = in.text();
      found_.remembered.lost = in.number<std::uint8_t>() != 0;
      found_.remembered.restored = in.text();
      return true;
    case kRegression:
      found_.remembered.regressions.push_back(in.text());
      return true;
    default:
      return false;
  }
}

Block Reader::read_block(Input& in) {
  const Time before(std::chrono::milliseconds(in.number<std::int64_t>()));
  return before == policy::kNever ? Block{} : Block{before};
}

Result<int> open_ours(const std::string& path) {
  // O_NONBLOCK: opening a FIFO must not hang the broker.
  Descriptor file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (file.get() < 0 && errno == ELOOP) return refused(path, "a symbolic link");
  struct stat status {};
  if (file.get() < 0 || ::fstat(file.get(), &status) != 0) {
    return failure(path, "cannot open", errno);
  }
  const bool ours = status.st_uid == ::geteuid() || status.st_uid == 0;
  if (!ours || (status.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return refused(path, "others may write it: it must be the broker's user's, with mode 0600");
  }
  return file.release();
}

}  // namespace

Result<SnapshotWritten> write_snapshot(const std::string& path, const Replica& replica,
                                       const std::string& prefix, Time watermark,
                                       const std::function<Remembered()>& remembered) {
  Output out(path);
  write_header(out, prefix, watermark);
  const std::size_t certificates = write_certificates(out, replica);
  write_blocks(out, replica);
  write_remembered(out, remembered());
  out.number(kEnd);
  out.number(std::uint64_t{certificates});
  const Result<std::uint64_t> bytes = out.commit();
  if (!bytes) return bytes.error();
  return SnapshotWritten{certificates, bytes.value()};
}

Result<SnapshotRead> read_snapshot(const std::string& path, Replica& replica,
                                   const std::string& prefix, Time now) {
  const Result<int> opened = open_ours(path);
  if (!opened) return opened.error();
  const Descriptor file(opened.value());
  return read_snapshot(file.get(), path, replica, prefix, now);
}

Result<SnapshotRead> read_snapshot(int file, const std::string& name, Replica& replica,
                                   const std::string& prefix, Time now) {
  Result<SnapshotRead> read = Error{ErrorKind::kUnreachable, name + ": not enough memory for it"};
  try {
    read = Reader(file, name, replica).read(prefix, now);
  } catch (const std::bad_alloc&) {  // what was loaded until then goes again
  }
  if (!read) replica.clear();
  return read;
}

}  // namespace leafgate::registry
