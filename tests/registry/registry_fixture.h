// SPDX-License-Identifier: Apache-2.0
// An empty registry in a real Redis, as seen by a test that writes it and by a person who looks.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "registry/client.h"
#include "registry/schema.h"
#include "registry/writer.h"
#include "tests/support/redis_server.h"

namespace leafgate::test {

// One server for all tests of a binary; each Registry empties it.
RedisServer& shared_redis();

using Hash = std::map<std::string, std::string>;

class Registry {
 public:
  Registry();

  registry::Client client;
  registry::Schema schema;
  registry::Writer writer;
  registry::Writer dry;

  // Throw when Redis does not answer: a test has nothing to say then.
  registry::Outcome apply(const registry::Change& change) { return apply(writer, change); }
  registry::Outcome apply(registry::Writer& by, const registry::Change& change);
  registry::Reply call(const registry::Command& command);
  std::string text(const registry::Command& command);  // of a bulk or status; empty for null

  void hset(const std::string& key, const Hash& fields);
  Hash hash(const std::string& key);
  std::vector<std::string> sorted_set(const std::string& key);  // member, score, member, score …
  std::vector<Hash> log();                                      // oldest first
  std::uint64_t seq();

  // Every key with its whole content and time to live: equal before and after means nothing was
  // written.
  std::map<std::string, std::string> everything();
};

// A fingerprint of 63 zeros and `last`, and its key under the default prefix.
std::string fingerprint(char last);
std::string cert_key(char last);

// A change by `tester`.
registry::Change change(registry::Op op, std::string key, registry::Fields fields = {});

}  // namespace leafgate::test
