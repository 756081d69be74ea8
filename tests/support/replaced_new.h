// SPDX-License-Identifier: Apache-2.0
// Replaces `operator new`. For one source of a binary, which says when it fails.
#pragma once

#include <cstdlib>
#include <new>

namespace leafgate::test {

// Before each allocation, in every thread; must not allocate.
bool fails_now();

}  // namespace leafgate::test

void* operator new(std::size_t size) {
  void* const memory = leafgate::test::fails_now() ? nullptr : std::malloc(size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
