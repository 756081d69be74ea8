// SPDX-License-Identifier: Apache-2.0
#include "tests/plugin/sessions_fixture.h"

namespace leafgate::test {

using plugin::Session;
using plugin::Sessions;

policy::Fingerprint beginning_with(std::uint8_t first) {
  policy::Fingerprint made;
  made.bytes[0] = first;
  return made;
}

Session a_session(const mosquitto& client, const std::string& id, std::uint8_t certificate) {
  Session session;
  session.client = &client;
  session.client_id = id;
  session.device = id;
  session.facts.fingerprint = beginning_with(certificate);
  session.confirmed = true;
  return session;
}

std::vector<const Session*> of_certificate(Sessions& sessions, std::uint8_t first) {
  std::vector<const Session*> found;
  sessions.each_of_certificate(beginning_with(first),
                               [&](const Session& session) { found.push_back(&session); });
  return found;
}

std::vector<const Session*> of_device(Sessions& sessions, const std::string& device) {
  std::vector<const Session*> found;
  sessions.each_of_device(device, [&](const Session& session) { found.push_back(&session); });
  return found;
}

}  // namespace leafgate::test
