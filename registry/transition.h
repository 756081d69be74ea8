// SPDX-License-Identifier: Apache-2.0
// The text of transition.lua, embedded at build time.
#pragma once

#include <string_view>

namespace leafgate::registry {

extern const std::string_view kTransitionLua;

}  // namespace leafgate::registry
