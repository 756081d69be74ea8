// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/fleet.h"

#include <stdexcept>

#include "certs/issue.h"

namespace leafgate::bench {
namespace {

template <typename T>
T value_of(Result<T> result) {
  if (!result) throw std::runtime_error(result.error().message);
  return std::move(result).value();
}

}  // namespace

std::vector<Device> make_fleet(const test::Pki& pki, const std::string& name, std::size_t size) {
  const certs::Credential issuer =
      value_of(certs::load_credential(pki.ca().certificate, pki.ca().key));
  const auto now =
      std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now());
  std::vector<Device> fleet;
  for (std::size_t i = 0; i < size; ++i) {
    const std::string device = name + std::to_string(i);
    certs::Credential made = value_of(
        certs::issue_device({.device = device, .validity = std::chrono::hours(24)}, issuer, now));
    const std::string fingerprint = policy::to_hex(certs::fingerprint(*made.certificate));
    fleet.push_back({device, std::move(made.certificate), std::move(made.key), fingerprint});
  }
  return fleet;
}

}  // namespace leafgate::bench
