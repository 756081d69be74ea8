// SPDX-License-Identifier: Apache-2.0
#include "tests/support/scarce_openssl.h"

#include <openssl/crypto.h>

#include <cstdlib>

namespace leafgate::test {
namespace {

constexpr int kNever = -1;

thread_local int until_failure = kNever;
thread_local bool all_from_there = false;
thread_local bool has_failed = false;

bool fails_now() {
  if (until_failure == kNever) return false;
  if (until_failure > 0) {
    --until_failure;
    return false;
  }
  if (!all_from_there) until_failure = kNever;
  has_failed = true;
  return true;
}

void* take(std::size_t size, const char*, int) {
  return fails_now() ? nullptr : std::malloc(size);
}
void* take_again(void* memory, std::size_t size, const char*, int) {
  return fails_now() ? nullptr : std::realloc(memory, size);
}
void give_back(void* memory, const char*, int) {
  std::free(memory);
}

// Before OpenSSL asks for anything; later it takes no allocator.
const int replaced = CRYPTO_set_mem_functions(take, take_again, give_back);

}  // namespace

FailingOpenssl::FailingOpenssl(unsigned so_many, Which which) {
  if (replaced != 1) std::abort();
  has_failed = false;
  all_from_there = which == Which::kAllFrom;
  until_failure = static_cast<int>(so_many);
}

FailingOpenssl::~FailingOpenssl() {
  until_failure = kNever;
}

bool FailingOpenssl::failed() {
  return has_failed;
}

}  // namespace leafgate::test
