// SPDX-License-Identifier: Apache-2.0
// Which untrusted text may become part of an id or a topic. Pure; any thread; never throws.
#pragma once

#include <string_view>

namespace leafgate::policy {

// True for text that Mosquitto accepts in topics and ids: well-formed UTF-8 (RFC 3629) without NUL,
// control characters (U+0001..U+001F, U+007F..U+009F) or Unicode non-characters (MQTT 5 §1.5.4).
// The empty text is plain.
bool is_plain_text(std::string_view text);

}  // namespace leafgate::policy
