// SPDX-License-Identifier: Apache-2.0
// `leafgate`: the operator's command.
#include <exception>
#include <iostream>

#include "admin/grammar.h"
#include "admin/options.h"

int main(int argc, char** argv) {
  using leafgate::admin::Exit;
  try {
    const int code = leafgate::admin::run_command_line(argc, argv);
    if (std::cout.flush()) return code;
    std::cerr << "leafgate: the output could not be written: is the disk full?\n";
  } catch (const std::exception& failure) {  // nothing of ours throws but for memory
    std::cerr << "leafgate: " << failure.what() << '\n';
  }
  return static_cast<int>(Exit::kRefused);
}
