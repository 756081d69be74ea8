// SPDX-License-Identifier: Apache-2.0
#include "admin/interrupt.h"

#include <csignal>

namespace leafgate::admin {
namespace {

volatile std::sig_atomic_t wish = 0;

extern "C" void leafgate_admin_interrupt(int) {
  wish = 1;
}

}  // namespace

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = leafgate_admin_interrupt;
  // SA_RESETHAND: whoever presses Ctrl-C twice means it. No SA_RESTART: a blocking wait is cut
  // short.
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() {
  return wish != 0;
}

}  // namespace leafgate::admin
