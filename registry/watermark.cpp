// SPDX-License-Identifier: Apache-2.0
#include "registry/watermark.h"

#include <ctime>

namespace leafgate::registry {

Watermark::Clocks Watermark::now() noexcept {
  timespec since_boot{};
  ::clock_gettime(CLOCK_BOOTTIME, &since_boot);
  return {
      std::chrono::seconds(since_boot.tv_sec) + std::chrono::nanoseconds(since_boot.tv_nsec),
      std::chrono::time_point_cast<std::chrono::milliseconds>(std::chrono::system_clock::now())};
}

}  // namespace leafgate::registry
