// SPDX-License-Identifier: Apache-2.0
#include "certs/files.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <memory>

namespace leafgate::certs {
namespace {

Error failed(const char* action, const std::string& path, int cause) {
  const auto kind = cause == ENOENT ? ErrorKind::kNotFound : ErrorKind::kUnreachable;
  return {kind, std::string("cannot ") + action + " `" + path + "`: " + std::strerror(cause)};
}

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int number() const { return number_; }

 private:
  int number_;
};

bool write_all(int file, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = ::write(file, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t limit) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.number() < 0) return failed("read", path, errno);

  std::string content;
  constexpr std::size_t kStep = 64 * 1024;
  for (;;) {
    const std::size_t had = content.size();
    content.resize(had + kStep);
    const ssize_t got = ::read(file.number(), content.data() + had, kStep);
    content.resize(had + static_cast<std::size_t>(got > 0 ? got : 0));
    if (got == 0) return content;
    if (got < 0 && errno != EINTR) return failed("read", path, errno);
    if (content.size() > limit) {
      return Error{ErrorKind::kInvalid, "cannot read `" + path + "`: it holds more than " +
                                            std::to_string(limit) + " bytes"};
    }
  }
}

Result<void> write_new_file(const std::string& path, std::string_view content, mode_t mode) {
  const Descriptor file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.number() < 0 && errno == EEXIST) {
    return Error{ErrorKind::kRefused,
                 "cannot write `" + path + "`: it exists; move it away or choose another name"};
  }
  if (file.number() < 0) return failed("write", path, errno);

  if (!write_all(file.number(), content) || ::fchmod(file.number(), mode) != 0 ||
      ::fsync(file.number()) != 0) {
    const int cause = errno;
    ::unlink(path.c_str());
    return failed("write", path, cause);
  }
  return {};
}

}  // namespace leafgate::certs
