// SPDX-License-Identifier: Apache-2.0
#include "registry/own_files.h"

#include <linux/close_range.h>
#include <unistd.h>

// It takes a descriptor of one thread and the same number of another for one and the same.
#if defined(__SANITIZE_THREAD__)
#define LEAFGATE_SHARES_FILES
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LEAFGATE_SHARES_FILES
#endif
#endif

namespace leafgate::registry {

bool own_files([[maybe_unused]] int kept) noexcept {
#ifdef LEAFGATE_SHARES_FILES
  return false;
#else
  constexpr int kFirst = STDERR_FILENO + 1;
  // In one step with the closing: nothing of the others' is held open meanwhile. seccomp filters of
  // containers allow it where they refuse unshare().
  if (::close_range(static_cast<unsigned>(kept) + 1, ~0U, CLOSE_RANGE_UNSHARE) != 0) return false;
  if (kept > kFirst) ::close_range(kFirst, static_cast<unsigned>(kept) - 1, 0);
  return true;
#endif
}

}  // namespace leafgate::registry
