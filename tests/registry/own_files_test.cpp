// SPDX-License-Identifier: Apache-2.0
#include "registry/own_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <thread>
#include <utility>

#include "tests/catch.h"

using namespace leafgate;

namespace {

bool is_open(int number) {
  return ::fcntl(number, F_GETFD) >= 0;
}

struct Seen {
  bool allowed = false;
  bool kept = false;
  bool another = false;
};

Seen in_a_thread_that_keeps(int kept, int another) {
  Seen seen;
  std::thread([&] {
    seen.allowed = registry::own_files(kept);
    seen.kept = is_open(kept);
    seen.another = is_open(another);
  }).join();
  return seen;
}

}  // namespace

TEST_CASE("a thread with files of its own has the one it keeps, and takes none from the others",
          "[files]") {
  const int first = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  const int second = ::open("/dev/null", O_RDONLY | O_CLOEXEC);
  REQUIRE(first < second);

  for (const auto& [kept, another] : {std::pair(first, second), std::pair(second, first)}) {
    const Seen seen = in_a_thread_that_keeps(kept, another);
    CHECK(seen.kept);
    CHECK(seen.another == !seen.allowed);
    CHECK(is_open(first));
    CHECK(is_open(second));
  }
  ::close(first);
  ::close(second);
}
