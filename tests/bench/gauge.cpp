// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/gauge.h"

#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace leafgate::bench {
namespace {

std::filesystem::path tasks_of(pid_t process) {
  return "/proc/" + std::to_string(process) + "/task";
}

}  // namespace

std::chrono::duration<double, std::micro> processor_time(pid_t process) {
  double ns = 0;
  for (const auto& task : std::filesystem::directory_iterator(tasks_of(process))) {
    std::ifstream file(task.path() / "schedstat");
    double on_processor = 0;
    if (file >> on_processor) ns += on_processor;
  }
  return std::chrono::duration<double, std::micro>(ns / 1e3);
}

long resident_kb(pid_t process) {
  std::ifstream status("/proc/" + std::to_string(process) + "/status");
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("VmRSS:", 0) == 0) return std::stol(line.substr(6));
  }
  return 0;
}

void give_first_processor(pid_t process) {
  cpu_set_t first;
  CPU_ZERO(&first);
  CPU_SET(0, &first);
  for (const auto& task : std::filesystem::directory_iterator(tasks_of(process)))
    sched_setaffinity(std::stoi(task.path().filename()), sizeof first, &first);
}

void leave_first_processor() {
  cpu_set_t others;
  sched_getaffinity(0, sizeof others, &others);
  if (CPU_COUNT(&others) < 2) return;
  CPU_CLR(0, &others);
  sched_setaffinity(0, sizeof others, &others);
}

void put_this_thread_first() {
  sched_param priority{};
  priority.sched_priority = 1;
  sched_setscheduler(0, SCHED_FIFO, &priority);
}

void raise_open_files() {
  constexpr rlim_t kWanted = 65536;
  rlimit limit{kWanted, kWanted};
  if (setrlimit(RLIMIT_NOFILE, &limit) == 0) return;
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace leafgate::bench
