// SPDX-License-Identifier: Apache-2.0
#include "plugin/sys_topics.h"

#include "plugin/broker.h"

namespace leafgate::plugin {
namespace {

const std::string kRoot = "$SYS/broker/leafgate/";

}  // namespace

void SysTopics::publish(const Status& status) {
  for (const Statement& statement : status) {
    if (statement.topic.empty()) continue;
    std::string& published = published_[statement.topic];
    if (published == statement.value) continue;
    if (broker::publish_retained(kRoot + statement.topic, statement.value)) {
      published = statement.value;
    }
  }
}

}  // namespace leafgate::plugin
