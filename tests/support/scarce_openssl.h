// SPDX-License-Identifier: Apache-2.0
// OpenSSL's allocator in the test's hands. Linking this replaces it in the whole binary.
#pragma once

namespace leafgate::test {

// While an object lives, what OpenSSL asks for after `so_many` more allocations of this thread it
// does not get: that one, or all from there on.
class FailingOpenssl {
 public:
  enum class Which : bool { kOne, kAllFrom };
  FailingOpenssl(unsigned so_many, Which which);
  ~FailingOpenssl();
  FailingOpenssl(const FailingOpenssl&) = delete;
  FailingOpenssl& operator=(const FailingOpenssl&) = delete;

  // Did it come to that?
  static bool failed();
};

}  // namespace leafgate::test
