// SPDX-License-Identifier: Apache-2.0
#include "tests/plugin/allocations.h"

#include <atomic>

#include "tests/support/replaced_new.h"

namespace {

std::atomic<unsigned> total{0};
std::atomic<int> until_failure{-1};  // below 0: none is to fail

}  // namespace

namespace leafgate::test {

bool fails_now() {
  ++total;
  return until_failure >= 0 && until_failure-- == 0;
}

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
