// SPDX-License-Identifier: Apache-2.0
// What a broker says of itself to MQTT clients: retained messages below `$SYS/broker/leafgate/`,
// for whoever watches the broker's own `$SYS` already. docs/operate.md lists them.
//
// The broker's thread only.
#pragma once

#include <map>
#include <string>

#include "registry/outbox.h"

namespace leafgate::plugin {

class SysTopics {
 public:
  // `fields`: of the `broker:<name>` hash. Publishes those that have a topic and differ from what
  // was published last; an empty value takes the retained message away.
  void publish(const registry::Fields& fields);

 private:
  std::map<std::string, std::string> published_;  // by topic
};

}  // namespace leafgate::plugin
