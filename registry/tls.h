// SPDX-License-Identifier: Apache-2.0
// A stream in TLS 1.2 or later: OpenSSL on a socket of ours, so that it never waits, raises no
// SIGPIPE and works with a hiredis that knows no TLS. The server's certificate must come from one
// of our CAs and be for the name we connect to. registry/ does nothing else with certificates. One
// thread.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "registry/endpoint.h"
#include "registry/stream.h"

namespace leafgate::registry {

// Reads the files now. kInvalid, naming the file, when one is of no use. What goes wrong later is
// told by the stream: kRefused when one side does not accept the other, with what to check.
// `host` is the name or address that was connected to. REQUIRES: as plain_stream().
Result<std::unique_ptr<Stream>> tls_stream(Socket socket, const Tls& tls, const std::string& host);

}  // namespace leafgate::registry
