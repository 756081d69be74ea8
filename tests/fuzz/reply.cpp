// SPDX-License-Identifier: Apache-2.0
// Bytes from Redis: replies in any cut, and every text in them as each thing we parse.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "registry/resp.h"
#include "registry/schema.h"

namespace {

using leafgate::registry::Reply;

void parse_all(const Reply& reply, const leafgate::registry::Schema& schema) {
  using namespace leafgate::registry;
  for (std::size_t i = 0; i < reply.size(); ++i)
    parse_all(reply[i], schema);
  const auto text = reply.text();
  if (!text) return;
  const auto key = parse_key(schema, *text);
  if (key.kind == KeyName::Kind::kCert && schema.cert(key.fingerprint) != *text) std::abort();
  const auto record = parse_record(text, text, std::nullopt);
  if (record != parse_record(text, text, "")) std::abort();  // an empty revoked_at is none
  static_cast<void>(parse_block(text));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const leafgate::registry::Schema schema;
  leafgate::registry::ReplyReader reader;
  const std::size_t cut = std::min<std::size_t>(data[0], size - 1);  // the first byte cuts the rest
  const auto* bytes = reinterpret_cast<const char*>(data + 1);
  for (const auto part : {std::span(bytes, cut), std::span(bytes + cut, size - 1 - cut)}) {
    if (!reader.feed(part)) return 0;
    for (;;) {
      const auto reply = reader.next();
      if (!reply) return 0;
      if (!reply.value()) break;
      parse_all(*reply.value(), schema);
    }
  }
  return 0;
}
