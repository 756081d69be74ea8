// SPDX-License-Identifier: Apache-2.0
// The certificates of tests/data/certificates; its README.md says how each was made.
#pragma once

#include <string>

#include "certs/certificate.h"
#include "tests/catch.h"
#include "tests/support/process.h"

namespace leafgate::test {

inline std::string crafted_path(const std::string& name) {
  return "tests/data/certificates/" + name + ".der";
}

inline std::string crafted_bytes(const std::string& name) {
  return read_file(crafted_path(name));
}

inline certs::Certificate crafted(const std::string& name) {
  auto read = certs::load_certificates(crafted_path(name));
  INFO(name << ": " << (read ? "" : read.error().message));
  REQUIRE(read);
  return std::move(read.value().front());
}

inline certs::Certificate load(const std::string& path) {
  auto read = certs::load_certificates(path);
  INFO((read ? "" : read.error().message));
  REQUIRE(read);
  REQUIRE(read.value().size() == 1);
  return std::move(read.value().front());
}

}  // namespace leafgate::test
