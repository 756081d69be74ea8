// SPDX-License-Identifier: Apache-2.0
// What a broker says of itself to MQTT clients: retained messages below `$SYS/broker/leafgate/`,
// for whoever watches the broker's own `$SYS` already. docs/operate.md lists them.
//
// The broker's thread only.
#pragma once

#include <map>
#include <string>

#include "plugin/status.h"

namespace leafgate::plugin {

class SysTopics {
 public:
  // Publishes what has a topic and differs from what was published last; an empty value takes the
  // retained message away.
  void publish(const Status& status);

 private:
  std::map<std::string, std::string> published_;  // by topic
};

}  // namespace leafgate::plugin
