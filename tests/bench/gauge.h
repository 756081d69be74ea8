// SPDX-License-Identifier: Apache-2.0
// What the kernel says of a process, and on which processor it runs.
#pragma once

#include <sys/types.h>

#include <chrono>

namespace leafgate::bench {

// Of all its threads, ended ones excepted.
std::chrono::duration<double, std::micro> processor_time(pid_t process);
long resident_kb(pid_t process);  // 0 when there is no such process

// The broker has the first processor for itself, all else shares the others: a load that takes the
// broker's time would be measured as the broker's slowness. Without effect on a machine with one.
void give_first_processor(pid_t process);
void leave_first_processor();  // this process, and all that it starts from now on

// This thread before all others on its processor, where the kernel allows it: one that measures how
// long something takes must not wait for those that make the load.
void put_this_thread_first();

// As many open files as the kernel lets us have, for us and what we start.
void raise_open_files();

}  // namespace leafgate::bench
