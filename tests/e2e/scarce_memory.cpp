// SPDX-License-Identifier: Apache-2.0
// Preloaded into a broker: `operator new` that fails as often as a test says, in every thread.
#include "tests/e2e/scarce_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <random>

#include "tests/support/replaced_new.h"

namespace {

using leafgate::test::Scarcity;

// Before main(), and so before the plugin; no allocation in here.
Scarcity* map_scarcity() {
  const char* const path = std::getenv(leafgate::test::kScarcityVariable);
  const int fd = path != nullptr ? ::open(path, O_RDWR | O_CLOEXEC) : -1;
  if (fd < 0) std::abort();
  void* const at = ::mmap(nullptr, sizeof(Scarcity), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  ::close(fd);
  if (at == MAP_FAILED) std::abort();
  return static_cast<Scarcity*>(at);
}

Scarcity* const scarcity = map_scarcity();

}  // namespace

bool leafgate::test::fails_now() {
  if (scarcity == nullptr) return false;  // another library's initialiser came first
  const std::uint32_t one_in = scarcity->one_in.load(std::memory_order_relaxed);
  if (one_in == 0 || (scarcity->only_main != 0 && ::gettid() != ::getpid())) return false;
  thread_local std::minstd_rand random{static_cast<unsigned>(::gettid())};
  if (random() % one_in != 0) return false;
  ++scarcity->failed;
  return true;
}
