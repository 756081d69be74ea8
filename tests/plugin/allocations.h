// SPDX-License-Identifier: Apache-2.0
// Replaces `operator new` in the binary it is linked into: counts, and fails when told to.
#pragma once

namespace leafgate::test {

// How many there were, in all threads.
unsigned allocations();

// The allocation after `so_many` more fails, once; while an object lives.
class FailingAllocation {
 public:
  explicit FailingAllocation(unsigned so_many);
  ~FailingAllocation();
  FailingAllocation(const FailingAllocation&) = delete;
  FailingAllocation& operator=(const FailingAllocation&) = delete;

  bool failed() const;
};

}  // namespace leafgate::test
