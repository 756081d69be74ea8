// SPDX-License-Identifier: Apache-2.0
// leafgate.yaml: an Error of one line, or rules that can be bound and asked.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "config/config.h"
#include "policy/topics.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace leafgate;
  const auto parsed = config::parse({reinterpret_cast<const char*>(data), size}, "fuzz.yaml");
  if (!parsed) {
    if (parsed.error().message.find('\n') != std::string::npos) std::abort();
    return 0;
  }
  const policy::BoundTopics topics(parsed.value().rules.spec().topic_rules,
                                   {.device = "dev1",
                                    .client_id = "dev1/app",
                                    .common_name = "dev1",
                                    .organizational_unit = "ou"});
  static_cast<void>(topics.allowing_rule({policy::Access::kSubscribe, "a/+/#"}));
  return 0;
}
