// SPDX-License-Identifier: Apache-2.0
// A broker whose C++ code, which is ours, asks for memory and sometimes gets none: what the test
// and the module preloaded into the broker share. Of no effect beside a sanitizer, which brings an
// allocator of its own.
#pragma once

#include <atomic>
#include <cstdint>

namespace leafgate::test {

// Names the file that both map. Required in the environment of the module.
inline constexpr const char* kScarcityVariable = "LEAFGATE_SCARCITY";

struct Scarcity {
  std::atomic<std::uint32_t> one_in{0};     // of so many allocations one fails; 0: none
  std::atomic<std::uint32_t> only_main{0};  // 1: in the broker's own thread only
  std::atomic<std::uint32_t> failed{0};
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);

}  // namespace leafgate::test
