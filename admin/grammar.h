// SPDX-License-Identifier: Apache-2.0
// The command line: nouns, verbs, options, help. The only place that knows CLI11.
#pragma once

namespace leafgate::admin {

// Parses, runs the one command that was named and returns the process's exit code.
int run_command_line(int argc, const char* const* argv);

}  // namespace leafgate::admin
