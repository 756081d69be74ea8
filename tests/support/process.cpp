// SPDX-License-Identifier: Apache-2.0
#include "tests/support/process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <thread>
#include <utility>

namespace leafgate::test {
namespace {

constexpr milliseconds kPollInterval{2};
constexpr milliseconds kStopPatience{30000};
constexpr int kExecFailed = 127;

[[noreturn]] void fail(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

class Fd {
 public:
  explicit Fd(int number) : number_(number) {}
  ~Fd() {
    if (number_ >= 0) close(number_);
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;

  int get() const { return number_; }

 private:
  int number_;
};

int open_or_throw(const std::string& path, int flags) {
  const int number = open(path.c_str(), flags | O_CLOEXEC, 0600);
  if (number < 0) fail("cannot open `" + path + "`");
  return number;
}

// A file in memory: unlike a pipe it needs nobody at the other end while the child runs.
int memory_file(const std::string& content) {
  const int number = memfd_create("leafgate-test", MFD_CLOEXEC);
  if (number < 0) fail("memfd_create");
  std::size_t written = 0;
  while (written < content.size()) {
    const ssize_t n = write(number, content.data() + written, content.size() - written);
    if (n < 0) fail("cannot write a child's input");
    written += static_cast<std::size_t>(n);
  }
  lseek(number, 0, SEEK_SET);
  return number;
}

std::string content_of(const Fd& file) {
  std::string text;
  char buffer[65536];
  off_t offset = 0;
  for (;;) {
    const ssize_t n = pread(file.get(), buffer, sizeof buffer, offset);
    if (n < 0) fail("cannot read a child's output");
    if (n == 0) return text;
    text.append(buffer, static_cast<std::size_t>(n));
    offset += n;
  }
}

std::vector<std::string> environment(const std::map<std::string, std::string>& extra) {
  std::vector<std::string> all;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    if (extra.count(text.substr(0, text.find('='))) == 0) all.push_back(text);
  }
  for (const auto& [name, value] : extra)
    all.push_back(name + "=" + value);
  return all;
}

std::vector<char*> pointers(std::vector<std::string>& strings) {
  std::vector<char*> out;
  for (std::string& text : strings)
    out.push_back(text.data());
  out.push_back(nullptr);
  return out;
}

// Between fork and exec: async-signal-safe calls only.
[[noreturn]] void become(char** argv, char** envp, pid_t parent, int in, int out, int err) {
  // Ends with the test binary even when that crashes. The kernel counts the death of the *thread*
  // that forked, so children are started from threads that outlive them.
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(kExecFailed);

  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  if (dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0) _exit(kExecFailed);
  execvpe(argv[0], argv, envp);
  _exit(kExecFailed);
}

pid_t spawn(const std::vector<std::string>& argv, const std::map<std::string, std::string>& env,
            int in, int out, int err) {
  if (argv.empty()) throw std::runtime_error("no program to run");
  std::vector<std::string> words = argv;
  std::vector<std::string> variables = environment(env);
  std::vector<char*> argv_pointers = pointers(words);
  std::vector<char*> env_pointers = pointers(variables);
  const pid_t parent = getpid();

  const pid_t pid = fork();
  if (pid < 0) fail("fork");
  if (pid == 0) become(argv_pointers.data(), env_pointers.data(), parent, in, out, err);
  return pid;
}

int exit_status(int raw) {
  return WIFSIGNALED(raw) ? 128 + WTERMSIG(raw) : WEXITSTATUS(raw);
}

}  // namespace

TempDir::TempDir() {
  std::string name = (std::filesystem::temp_directory_path() / "leafgate-test-XXXXXX").string();
  if (mkdtemp(name.data()) == nullptr) fail("mkdtemp");
  path_ = name;
}

TempDir::~TempDir() {
  if (std::getenv("LEAFGATE_KEEP") != nullptr) {
    std::fprintf(stderr, "kept: %s\n", path_.c_str());
    return;
  }
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

int free_port() {
  // Below the kernel's ephemeral range: there, an outgoing connection could take the port between
  // this check and its use, or while a stopped server waits to be started again.
  static std::mt19937 random(std::random_device{}());
  std::uniform_int_distribution<int> any(15000, 32000);
  for (int attempt = 0; attempt < 1000; ++attempt) {
    const int port = any(random);
    const Fd probe(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    if (bind(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      return port;
    }
  }
  throw std::runtime_error("no free port found");
}

std::string read_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) fail("cannot open `" + path + "`");
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

void write_file(const std::string& path, const std::string& text) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file << text;
  file.flush();
  if (!file) fail("cannot write `" + path + "`");
}

std::size_t occurrences(const std::string& text, const std::string& of) {
  std::size_t count = 0;
  for (auto at = text.find(of); at != std::string::npos; at = text.find(of, at + of.size())) {
    ++count;
  }
  return count;
}

bool eventually(const std::function<bool()>& done, milliseconds limit) {
  const auto end = std::chrono::steady_clock::now() + limit;
  for (;;) {
    if (done()) return true;
    if (std::chrono::steady_clock::now() >= end) return false;
    std::this_thread::sleep_for(kPollInterval);
  }
}

Process::Process(ProcessOptions options) {
  const Fd in(open_or_throw("/dev/null", O_RDONLY));
  const Fd out(options.output.empty()
                   ? open_or_throw("/dev/null", O_WRONLY)
                   : open_or_throw(options.output, O_WRONLY | O_CREAT | O_APPEND));
  pid_ = spawn(options.argv, options.env, in.get(), out.get(), out.get());
}

Process::~Process() {
  if (pid_ > 0) stop();
}

Process::Process(Process&& other) noexcept
    : pid_(std::exchange(other.pid_, -1)), status_(other.status_) {}

Process& Process::operator=(Process&& other) noexcept {
  std::swap(pid_, other.pid_);
  std::swap(status_, other.status_);
  return *this;
}

bool Process::running() {
  return !wait(milliseconds(0)).has_value();
}

void Process::signal(int number) {
  if (running()) ::kill(pid_, number);
}

std::optional<int> Process::wait(milliseconds limit) {
  eventually(
      [this] {
        if (status_) return true;
        int raw = 0;
        if (waitpid(pid_, &raw, WNOHANG) != pid_) return false;
        status_ = exit_status(raw);
        return true;
      },
      limit);
  return status_;
}

int Process::stop() {
  signal(SIGCONT);
  signal(SIGTERM);
  if (const auto status = wait(kStopPatience)) return *status;
  signal(SIGKILL);
  return wait(kStopPatience).value_or(-1);
}

Ran run(const std::vector<std::string>& argv, const std::string& input,
        const std::map<std::string, std::string>& env, milliseconds limit) {
  const Fd in(memory_file(input));
  const Fd out(memory_file(""));
  const Fd err(memory_file(""));
  Process process(spawn(argv, env, in.get(), out.get(), err.get()));
  const std::optional<int> status = process.wait(limit);
  if (!status) process.signal(SIGKILL);
  return {process.wait(kStopPatience).value_or(-1), content_of(out), content_of(err)};
}

}  // namespace leafgate::test
