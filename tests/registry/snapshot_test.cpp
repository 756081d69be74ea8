// SPDX-License-Identifier: Apache-2.0
#include "registry/snapshot.h"

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "certs/asn1.h"
#include "tests/catch.h"
#include "tests/registry/sync_fixture.h"
#include "tests/support/process.h"

using namespace leafgate;
using namespace leafgate::registry;
using policy::CertRecord;
using policy::CertState;
using policy::Time;
using test::fingerprint;
using test::read_file;
using test::TempDir;

namespace fs = std::filesystem;

namespace {

constexpr Time kWatermark{std::chrono::milliseconds(1'790'000'000'123)};
constexpr Time kNow = kWatermark + std::chrono::minutes(1);
const std::string kPrefix = "leafgate:";

Time at(std::int64_t ms) {
  return Time(std::chrono::milliseconds(ms));
}

std::size_t files_in(const TempDir& dir) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(dir.path()), {}));
}

void store(const std::string& path, const std::string& bytes) {
  fs::remove(path);
  std::ofstream(path, std::ios::binary) << bytes;
  fs::permissions(path, fs::perms::owner_read | fs::perms::owner_write);
}

// The bytes before the checksum, with the checksum that fits them.
std::string sealed(std::string body) {
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(body.data());
  const auto digest = certs::sha256({bytes, body.size()}).bytes;
  return body.append(digest.begin(), digest.end());
}

std::string unsealed(const std::string& file) {
  return file.substr(0, file.size() - 32);
}

const Remembered kRemembered{"set-1", 77,   {"cert:ab", "block:device:dev9"},
                             "76",    true, "1700000000-76"};

void fill(Replica& replica) {
  for (std::uint64_t i = 0; i < 7; ++i)
    replica.put(fingerprint(i), {static_cast<CertState>(i)}, 1);
  replica.put(fingerprint(7), {CertState::kRetiring, at(1'800'000'000'000)}, 1);
  replica.put(fingerprint(8), {CertState::kActive, policy::kNever, at(1'800'000'000'001)}, 1);
  replica.put_device_block("dev1", {}, 1);
  replica.put_device_block("d\xc3\xa9v", {at(1'700'000'000'000)}, 1);
  replica.put_issuer_block("ab12", {at(0)}, 1);
}

Result<SnapshotWritten> write(const std::string& path, const Replica& replica) {
  return write_snapshot(path, replica, kPrefix, kWatermark, [] { return kRemembered; });
}

std::string written(const TempDir& dir) {
  Replica replica;
  fill(replica);
  REQUIRE(write(dir / "snapshot", replica));
  return read_file(dir / "snapshot");
}

bool is_empty(const Replica& replica) {
  std::size_t blocks = 0;
  replica.for_each_block([&](auto, const auto&, const auto&) { ++blocks; });
  return replica.size() == 0 && blocks == 0;
}

// The message when it is refused and nothing is left behind.
std::string refusal(const std::string& path, Time now = kNow) {
  Replica replica;
  const auto read = read_snapshot(path, replica, kPrefix, now);
  if (read) return "accepted";
  if (!is_empty(replica)) return "left something behind";
  return read.error().message;
}

}  // namespace

TEST_CASE("a snapshot gives back what the replica held", "[snapshot]") {
  const TempDir dir;
  Replica replica;
  fill(replica);
  const auto saved = write(dir / "snapshot", replica);
  REQUIRE(saved);
  CHECK(saved.value().certificates == 9);
  CHECK(saved.value().bytes == fs::file_size(dir / "snapshot"));

  Replica loaded;
  const auto read = read_snapshot(dir / "snapshot", loaded, kPrefix, kNow);
  REQUIRE(read);
  CHECK(read.value().watermark == kWatermark);
  CHECK(read.value().remembered == kRemembered);
  CHECK(read.value().certificates == 9);
  CHECK(read.value().bytes == saved.value().bytes);
  CHECK(loaded.counts() == replica.counts());
  for (std::uint64_t i = 0; i < 9; ++i)
    CHECK(loaded.find(fingerprint(i)) == replica.find(fingerprint(i)));
  CHECK(loaded.device_block("dev1") == policy::Block{});
  CHECK(loaded.device_block("d\xc3\xa9v") == policy::Block{at(1'700'000'000'000)});
  CHECK(loaded.issuer_block("ab12") == policy::Block{at(0)});
  CHECK_FALSE(loaded.issuer_block("dev1").has_value());
}

TEST_CASE("the file is the same bytes on any machine", "[snapshot]") {
  const TempDir dir;
  Replica replica;
  replica.put(policy::Fingerprint{{0xaa}}, {CertState::kRevoked}, 9);
  REQUIRE(write_snapshot(dir / "snapshot", replica, "p:", at(0x0102),
                         [] { return Remembered{"x", 3, {}, "y", true, "z"}; }));
  using namespace std::string_view_literals;
  std::string expected;
  for (const std::string_view part :
       {"leafsnap\2\0\0\0\2\1\0\0\0\0\0\0\2\0\0\0p:"sv, "C\xaa"sv,
        "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"sv,
        "\xff\xff\xff\xff\xff\xff\5\0"sv, "M\3\0\0\0\0\0\0\0\1\0\0\0x\1\0\0\0y\1\1\0\0\0z"sv,
        "E\1\0\0\0\0\0\0\0"sv})
    expected += part;
  CHECK(read_file(dir / "snapshot") == sealed(expected));
}

TEST_CASE("an empty replica and many records come back as well", "[snapshot]") {
  const auto records = GENERATE(std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{60'000});
  const TempDir dir;
  Replica replica;
  for (std::uint64_t i = 0; i < records; ++i)
    replica.put(fingerprint(i), {static_cast<CertState>(i % 7)}, 1);
  REQUIRE(write(dir / "snapshot", replica));
  Replica loaded;
  REQUIRE(read_snapshot(dir / "snapshot", loaded, kPrefix, kNow));
  CHECK(loaded.counts() == replica.counts());
  std::uint64_t differ = 0;
  for (std::uint64_t i = 0; i < records; ++i)
    differ += loaded.find(fingerprint(i)) != replica.find(fingerprint(i));
  CHECK(differ == 0);
}

TEST_CASE("what was loaded is swept unless a sync sees it", "[snapshot]") {
  const TempDir dir;
  written(dir);
  Replica loaded;
  REQUIRE(read_snapshot(dir / "snapshot", loaded, kPrefix, kNow));
  loaded.put(fingerprint(1), {CertState::kActive}, 1);
  std::size_t told = 0;
  const auto count = [&](const auto&...) { ++told; };
  CHECK(loaded.sweep(1, {count, count, count}) == 11);
  CHECK(told == 11);
}

TEST_CASE("any damaged byte is noticed", "[snapshot]") {
  const TempDir dir;
  const std::string good = written(dir);
  for (std::size_t i = 0; i < good.size(); ++i) {
    for (const int flip : {0x01, 0x80, 0xff}) {
      std::string bad = good;
      bad[i] = static_cast<char>(bad[i] ^ flip);
      store(dir / "snapshot", bad);
      INFO("byte " << i);
      CHECK_THAT(refusal(dir / "snapshot"), ContainsSubstring((dir / "snapshot") + ": "));
    }
  }
}

TEST_CASE("a file of any other length is noticed", "[snapshot]") {
  const TempDir dir;
  const std::string good = written(dir);
  for (std::size_t size = 0; size < good.size(); ++size) {
    store(dir / "snapshot", good.substr(0, size));
    INFO("length " << size);
    CHECK_THAT(refusal(dir / "snapshot"), ContainsSubstring((dir / "snapshot") + ": "));
  }
  store(dir / "snapshot", std::string(good).append(1, '\0'));
  CHECK_THAT(refusal(dir / "snapshot"), ContainsSubstring("damaged"));
}

TEST_CASE("a whole file that says nonsense is refused and leaves nothing", "[snapshot]") {
  const TempDir dir;
  const std::string body = unsealed(written(dir));
  const std::size_t entries = body.find('C');
  const auto refused = [&](const std::string& bytes) {
    store(dir / "snapshot", sealed(bytes));
    return refusal(dir / "snapshot");
  };
  CHECK(refused(body) == "accepted");
  // Whatever byte is changed: it is refused, or it is a snapshot that says something else.
  for (std::size_t i = entries; i < body.size(); ++i) {
    std::string other = body;
    other[i] = static_cast<char>(other[i] ^ 0x80);
    CHECK(refused(other) != "left something behind");
  }
  for (std::size_t size = 0; size < body.size(); ++size)
    CHECK_THAT(refused(body.substr(0, size)), ContainsSubstring((dir / "snapshot") + ": "));
  std::string state = body;
  state[entries + 39] = 7;  // a state there is not
  CHECK_THAT(refused(state), ContainsSubstring("not as leafgate writes it"));
  std::string tag = body;
  tag[entries] = 'X';
  CHECK_THAT(refused(tag), ContainsSubstring("not as leafgate writes it"));
  std::string count = body;
  count[body.size() - 8] = 100;
  CHECK_THAT(refused(count), ContainsSubstring("not as leafgate writes it"));
  CHECK_THAT(refused(body + body.substr(entries)), ContainsSubstring("not as leafgate writes it"));
}

TEST_CASE("other files and other versions are called what they are", "[snapshot]") {
  const TempDir dir;
  const std::string body = unsealed(written(dir));
  std::string other = body;
  other[0] = 'L';
  store(dir / "snapshot", sealed(other));
  CHECK_THAT(refusal(dir / "snapshot"), ContainsSubstring("not a snapshot"));
  other = body;
  other[8] = 3;
  store(dir / "snapshot", sealed(other));
  CHECK_THAT(refusal(dir / "snapshot"), ContainsSubstring("of format 3, ours is 2"));
  store(dir / "snapshot", "");
  CHECK_THAT(refusal(dir / "snapshot"), ContainsSubstring("empty"));
  CHECK_THAT(refusal(dir.path().string()), ContainsSubstring("not a regular file"));

  store(dir / "snapshot", sealed(body));
  Replica replica;
  const auto read = read_snapshot(dir / "snapshot", replica, "other:", kNow);
  REQUIRE_FALSE(read);
  CHECK_THAT(read.error().message, ContainsSubstring("prefix `leafgate:`, ours is `other:`"));
  CHECK(is_empty(replica));
  const auto none = read_snapshot(dir / "none", replica, kPrefix, kNow);
  REQUIRE_FALSE(none);
  CHECK(none.error().kind == ErrorKind::kNotFound);
}

TEST_CASE("a watermark may be five minutes ahead and no more", "[snapshot]") {
  const TempDir dir;
  written(dir);
  CHECK(refusal(dir / "snapshot", kWatermark - kSnapshotAheadMax) == "accepted");
  CHECK_THAT(
      refusal(dir / "snapshot", kWatermark - kSnapshotAheadMax - std::chrono::milliseconds(1)),
      ContainsSubstring("from the future"));
  CHECK(refusal(dir / "snapshot", kWatermark + std::chrono::hours(24 * 365)) == "accepted");
  Replica replica;
  REQUIRE(write_snapshot(dir / "snapshot", replica, kPrefix, at(-1), [] { return Remembered{}; }));
  CHECK_THAT(refusal(dir / "snapshot"), ContainsSubstring("from before 1970"));
}

TEST_CASE("nobody else may read a snapshot, or have been able to write it", "[snapshot]") {
  const TempDir dir;
  written(dir);
  CHECK(fs::status(dir / "snapshot").permissions() ==
        (fs::perms::owner_read | fs::perms::owner_write));
  CHECK(files_in(dir) == 1);
  const auto bits = GENERATE(fs::perms::group_write, fs::perms::others_write);
  fs::permissions(dir / "snapshot", bits, fs::perm_options::add);
  CHECK_THAT(refusal(dir / "snapshot"), ContainsSubstring("others may write it"));
}

TEST_CASE("links are not followed", "[snapshot]") {
  const TempDir dir;
  const std::string elsewhere = dir / "elsewhere";
  store(elsewhere, "precious");
  Replica replica;
  fill(replica);

  fs::create_symlink(elsewhere, dir / "snapshot.new");
  fs::create_symlink(elsewhere, dir / "snapshot");
  CHECK_THAT(refusal(dir / "snapshot"), ContainsSubstring("symbolic link"));
  REQUIRE(write(dir / "snapshot", replica));
  CHECK(read_file(elsewhere) == "precious");
  CHECK_FALSE(fs::is_symlink(dir / "snapshot"));
  CHECK(files_in(dir) == 2);
  CHECK(refusal(dir / "snapshot") == "accepted");
}

TEST_CASE("what a writer left when it died does not stop the next", "[snapshot]") {
  const TempDir dir;
  store(dir / "snapshot.new", "half");
  const std::string good = written(dir);
  CHECK(files_in(dir) == 1);
  CHECK(refusal(dir / "snapshot") == "accepted");
}

TEST_CASE("where nothing can be written, the old file stays", "[snapshot]") {
  const TempDir dir;
  const std::string good = written(dir);
  Replica replica;
  // A folder in the temporary's place stops root as well.
  fs::create_directory(dir / "snapshot.new");
  const auto failed = write(dir / "snapshot", replica);
  REQUIRE_FALSE(failed);
  CHECK_THAT(failed.error().message, ContainsSubstring((dir / "snapshot") + ": cannot create"));
  CHECK(read_file(dir / "snapshot") == good);
  CHECK_FALSE(write(dir / "no/such", replica));

  fs::create_directory(dir / "target");
  CHECK_FALSE(write(dir / "target", replica));
  CHECK_FALSE(fs::exists(dir / "target.new"));
  if (::geteuid() == 0) return;
  fs::remove(dir / "snapshot.new");
  fs::permissions(dir.path(), fs::perms::owner_read | fs::perms::owner_exec);
  CHECK_FALSE(write(dir / "snapshot", replica));
  fs::permissions(dir.path(), fs::perms::owner_all);
  CHECK(read_file(dir / "snapshot") == good);
}

TEST_CASE("a full disk leaves the old file and no other", "[snapshot]") {
  const TempDir dir;
  const std::string good = written(dir);
  Replica replica;
  for (std::uint64_t i = 0; i < 20'000; ++i)
    replica.put(fingerprint(i), {CertState::kActive}, 1);

  const pid_t child = ::fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    const rlimit limit{500'000, 500'000};  // bytes; the file takes 820,000
    ::signal(SIGXFSZ, SIG_IGN);
    if (::setrlimit(RLIMIT_FSIZE, &limit) != 0) ::_exit(2);
    const auto failed = write(dir / "snapshot", replica);
    ::_exit(!failed && failed.error().message.find("cannot write") != std::string::npos ? 0 : 1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(read_file(dir / "snapshot") == good);
  CHECK(files_in(dir) == 1);
}

TEST_CASE("a snapshot taken while records change holds whole records", "[snapshot]") {
  const TempDir dir;
  Replica replica;
  constexpr std::uint64_t kRecords = 5000;
  const CertRecord one{CertState::kActive, policy::kNever, at(1111)};
  const CertRecord two{CertState::kRevoked, policy::kNever, at(2222)};
  for (std::uint64_t i = 0; i < kRecords; ++i)
    replica.put(fingerprint(i), one, 1);
  std::atomic<bool> done{false};
  std::thread changer([&] {
    for (std::uint64_t n = 0; !done; ++n) {
      replica.put(fingerprint(n % kRecords), n / kRecords % 2 ? one : two, 1);
      if (n % 7 == 0) replica.put_device_block("dev" + std::to_string(n % 50), {}, 1);
      // Shards grow and shrink as well.
      const policy::Fingerprint extra = fingerprint(kRecords + n % 20'000);
      n % 40'000 < 20'000 ? replica.put(extra, one, 1) : replica.erase(extra);
    }
  });
  std::uint64_t wrong = 0;
  for (int i = 0; i < 20; ++i) {
    REQUIRE(write(dir / "snapshot", replica));
    Replica loaded;
    REQUIRE(read_snapshot(dir / "snapshot", loaded, kPrefix, kNow));
    for (std::uint64_t n = 0; n < kRecords; ++n) {
      const auto held = loaded.find(fingerprint(n));
      wrong += held != one && held != two;
    }
  }
  done = true;
  changer.join();
  CHECK(wrong == 0);
}

TEST_CASE("what is remembered is asked after the records were copied", "[snapshot]") {
  const TempDir dir;
  Replica replica;
  replica.put(fingerprint(1), {CertState::kActive}, 1);
  // A change at that moment is in the next file.
  REQUIRE(write_snapshot(dir / "snapshot", replica, kPrefix, kWatermark, [&] {
    replica.put(fingerprint(1), {CertState::kRevoked}, 1);
    return kRemembered;
  }));
  Replica loaded;
  REQUIRE(read_snapshot(dir / "snapshot", loaded, kPrefix, kNow));
  CHECK(loaded.find(fingerprint(1))->state == CertState::kActive);
}
