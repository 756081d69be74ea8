// SPDX-License-Identifier: Apache-2.0
// Sessions as the tests of their table want them.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "plugin/sessions.h"
#include "tests/plugin/fake_broker.h"

namespace leafgate::test {

// It begins with `first` and goes on with zeros.
policy::Fingerprint beginning_with(std::uint8_t first);

// Confirmed; its device is its client id, its certificate beginning_with(certificate).
plugin::Session a_session(const mosquitto& client, const std::string& id,
                          std::uint8_t certificate = 1);

std::vector<const plugin::Session*> of_certificate(plugin::Sessions& sessions, std::uint8_t first);
std::vector<const plugin::Session*> of_device(plugin::Sessions& sessions,
                                              const std::string& device);

}  // namespace leafgate::test
