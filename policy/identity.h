// SPDX-License-Identifier: Apache-2.0
// Which device a certificate speaks for. Pure; any thread; never throws but for memory.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "policy/rules.h"
#include "policy/vocabulary.h"

namespace leafgate::policy {

// The longest device id, in bytes (Redis keeps records of such values compact).
inline constexpr std::size_t kDeviceIdMax = 64;

// True for 1..kDeviceIdMax bytes of valid UTF-8 without `+ # / $`, control characters or NUL. Such
// an id can be a topic level, a Redis key part and an MQTT username without being anything else.
bool is_device_id(std::string_view text);

// The device id that `rules` reads out of `facts`: from the certificate alone, never from what the
// client says. nullopt (reason identity_missing) when the field is absent, present more than once,
// lacks the prefix to strip, is not a device id, or is a reserved name.
std::optional<std::string> device_id(const CertFacts& facts, const Rules& rules);

}  // namespace leafgate::policy
