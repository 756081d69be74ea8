// SPDX-License-Identifier: Apache-2.0
// Thousands of devices with a certificate and a key each, made in memory: the openssl command line
// takes 20 ms for one. What is measured is not who signed them.
#pragma once

#include <string>
#include <vector>

#include "certs/certificate.h"
#include "tests/support/pki.h"

namespace leafgate::bench {

struct Device {
  std::string name;  // CN, and MQTT client id
  certs::Certificate certificate;
  certs::Key key;
  std::string fingerprint;  // as a record is named
};

// `<name>0` to `<name><size - 1>`, signed by the CA of `pki`. Throws when they cannot be made.
std::vector<Device> make_fleet(const test::Pki& pki, const std::string& name, std::size_t size);

}  // namespace leafgate::bench
