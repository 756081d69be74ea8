// SPDX-License-Identifier: Apache-2.0
// File descriptors of a thread's own.
//
// Where threads share their descriptors, the kernel counts a reference to a file up and down at
// every system call on it; where nobody shares them it does not. A broker has one thread and a few
// system calls for each message: ours beside it made them a tenth slower (docs/performance.md).
#pragma once

namespace leafgate::registry {

// The calling thread's descriptors are its own from now on: what it opens, the others do not see
// and cannot close, and the other way round. Of those there are it keeps 0, 1, 2 and `kept`. False
// where the kernel (before Linux 5.9), a sandbox or ThreadSanitizer does not allow it: then they
// stay shared, and all else is the same.
bool own_files(int kept) noexcept;

}  // namespace leafgate::registry
