// SPDX-License-Identifier: Apache-2.0
// A snapshot file: refused with nothing left behind, or loaded whole. The first byte says whether
// the rest gets the checksum that fits it, which no fuzzer would find.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "certs/asn1.h"
#include "registry/snapshot.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace leafgate;
  if (size == 0) return 0;
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (data[0] % 2 == 0) {
    const auto digest = certs::sha256({data + 1, size - 1}).bytes;
    bytes.append(digest.begin(), digest.end());
  }
  const int file = memfd_create("snapshot", MFD_CLOEXEC);
  if (file < 0 || write(file, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
    std::abort();
  }

  registry::Replica replica;
  const policy::Time now(std::chrono::milliseconds(1'790'000'000'123));
  const auto read = registry::read_snapshot(file, "fuzz", replica, "leafgate:", now);
  close(file);
  if (!read && replica.size() != 0) std::abort();
  if (read && replica.size() > read.value().certificates) std::abort();  // one may come twice
  return 0;
}
