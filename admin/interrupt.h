// SPDX-License-Identifier: Apache-2.0
// SIGINT and SIGTERM as a wish: long commands ask between two steps and end with what they have.
#pragma once

namespace leafgate::admin {

// From now on SIGINT and SIGTERM only set the flag. A second one ends the process at once.
void catch_interrupts();

bool interrupted();

}  // namespace leafgate::admin
