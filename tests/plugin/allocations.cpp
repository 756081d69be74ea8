// SPDX-License-Identifier: Apache-2.0
#include "tests/plugin/allocations.h"

#include <atomic>
#include <cstdlib>
#include <new>

namespace {

std::atomic<unsigned> total{0};
std::atomic<int> until_failure{-1};  // below 0: none is to fail

}  // namespace

void* operator new(std::size_t size) {
  ++total;
  const bool fails = until_failure >= 0 && until_failure-- == 0;
  void* const memory = fails ? nullptr : std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}

namespace leafgate::test {

unsigned allocations() {
  return total;
}

FailingAllocation::FailingAllocation(unsigned so_many) {
  until_failure = static_cast<int>(so_many);
}

FailingAllocation::~FailingAllocation() {
  until_failure = -1;
}

bool FailingAllocation::failed() const {
  return until_failure < 0;
}

}  // namespace leafgate::test
