// SPDX-License-Identifier: Apache-2.0
// The broker as the rest of plugin/ sees it: typed calls, and the one function that can say yes.
//
// The broker's thread only, code_of() excepted: no function of the broker may be called from
// another thread, logging included (mosquitto_kick from a thread crashes it). Text that comes back
// borrows from the broker and is gone when the client is; a client the broker does not know is
// undefined behaviour.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/log.h"
#include "certs/certificate.h"
#include "policy/decision.h"

struct mosquitto;  // a connection or an offline session, owned by the broker

namespace leafgate::plugin {

// What a callback answers when it says no.
enum class Refusal : std::uint8_t {
  kConnect,     // as kConnection; on 2.1 also codes that say what a client can do about it
  kConnection,  // MOSQ_ERR_AUTH: the only code that gives a client a CONNACK on 2.0
  kTopic,       // MOSQ_ERR_ACL_DENIED: any other would disconnect the publisher or the subscriber
};

// A decision, and what our yes is worth.
struct Verdict {
  policy::Decision decision;
  policy::Then then = policy::Then::kDefer;
};

// The only place where a decision becomes a broker code, and so the only place that can say yes.
// kDefer says neither: the next plugin, password_file or acl_file decides.
int code_of(const Verdict& verdict, Refusal refusal) noexcept;

// Neither yes nor no.
int code_of_silence() noexcept;

namespace broker {

// Empty when the broker has none (NULL).
std::string_view client_id(const mosquitto* client);
std::string_view address(const mosquitto* client);
std::string_view username(const mosquitto* client);

// The leaf certificate; nullptr for offline sessions, listeners without TLS or
// `require_certificate`, and the contexts the broker makes up for its own checks.
certs::Certificate certificate(const mosquitto* client);

// True when the connection runs over libwebsockets now (2.0), or ran over websockets (2.1).
bool is_websocket(const mosquitto* client);

// False when the broker refuses the name or is out of memory; the old name stays then.
[[nodiscard]] bool set_username(mosquitto* client, const std::string& username);

// Ends the connection that holds `client_id`, or marks it for closing (libwebsockets). Re-enters
// our callbacks. From TICK only: elsewhere the broker is in the middle of using the client. False
// when the broker has no such client.
bool kick(const std::string& client_id, bool with_will);

// A retained message of the broker's own, QoS 0. Goes out in the loop's next turn, which then asks
// ACL_CHECK for its receivers: nothing is re-entered here. False when the broker does not take it.
[[nodiscard]] bool publish_retained(const std::string& topic, std::string_view text);

// One line of the broker's log. May re-enter ACL_CHECK (log_dest topic): hold no lock.
void log(log::Level level, const std::string& text);
inline void log(const log::Line& line) {
  log(line.level(), line.text());
}

// Found at run time: one binary serves 2.0 and 2.1.
bool is_2_1();

enum class Holds : std::uint8_t { kYes, kNo, kUnknown };
// Does the broker's table of client ids lead from `client_id` to `client`? kUnknown before 2.1.
Holds holds_client_id(const mosquitto* client, const std::string& client_id);

}  // namespace broker
}  // namespace leafgate::plugin
