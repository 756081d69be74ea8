// SPDX-License-Identifier: Apache-2.0
// Child processes, temporary folders and free ports for tests. Everything a test starts ends with
// the object that started it, by process id; nothing outlives a test binary, also when a check
// fails.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace leafgate::test {

using std::chrono::milliseconds;

// A folder of its own under the system's temporary folder, removed with the object (kept, and its
// path printed, when LEAFGATE_KEEP is set in the environment).
class TempDir {
 public:
  TempDir();
  ~TempDir();
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::string operator/(const std::string& name) const { return (path_ / name).string(); }

 private:
  std::filesystem::path path_;
};

// A loopback TCP port nobody listens on now.
int free_port();

std::string read_file(const std::string& path);
void write_file(const std::string& path, const std::string& text);
// How often `text` has `of`.
std::size_t occurrences(const std::string& text, const std::string& of);

// Polls until `done` says true; false when `limit` passes first.
bool eventually(const std::function<bool()>& done, milliseconds limit = std::chrono::seconds(10));

struct ProcessOptions {
  std::vector<std::string> argv;
  std::map<std::string, std::string> env;  // on top of ours
  std::string output;                      // file for stdout and stderr, appended; empty: /dev/null
};

struct Ran;

class Process {
 public:
  explicit Process(ProcessOptions options);  // throws std::runtime_error when it cannot start
  ~Process();                                // SIGCONT, SIGTERM, after 30 s SIGKILL; reaped
  Process(Process&&) noexcept;
  Process& operator=(Process&&) noexcept;

  pid_t pid() const { return pid_; }
  bool running();
  void signal(int number);
  // The exit status (128 + n for signal n); nullopt when it still runs after `limit`.
  std::optional<int> wait(milliseconds limit);
  // As the destructor; returns the exit status.
  int stop();

 private:
  friend Ran run(const std::vector<std::string>&, const std::string&,
                 const std::map<std::string, std::string>&, milliseconds);
  explicit Process(pid_t started) : pid_(started) {}

  pid_t pid_ = -1;
  std::optional<int> status_;
};

// Runs a program to its end and returns what it said. Never goes through a shell.
struct Ran {
  int status = -1;
  std::string out;
  std::string err;
};
Ran run(const std::vector<std::string>& argv, const std::string& input = "",
        const std::map<std::string, std::string>& env = {},
        milliseconds limit = std::chrono::seconds(30));

}  // namespace leafgate::test
