// SPDX-License-Identifier: Apache-2.0
#include "tests/registry/registry_fixture.h"

#include <stdexcept>

namespace leafgate::test {

using registry::Command;
using registry::Reply;

RedisServer& shared_redis() {
  static RedisServer server;
  return server;
}

Registry::Registry()
    : client(shared_redis().client()), writer(client, schema), dry(client, schema, true) {
  call({"CONFIG", "SET", "maxmemory", "0"});
  call({"FLUSHALL"});
}

registry::Outcome Registry::apply(registry::Writer& by, const registry::Change& change) {
  auto outcome = by.apply(change);
  if (!outcome) throw std::runtime_error(outcome.error().message);
  return outcome.value();
}

Reply Registry::call(const Command& command) {
  auto reply = client.call(command);
  if (!reply) throw std::runtime_error(reply.error().message);
  if (reply.value().is_error()) throw std::runtime_error(std::string(*reply.value().text()));
  return reply.value();
}

std::string Registry::text(const Command& command) {
  return std::string(call(command).text().value_or(""));
}

void Registry::hset(const std::string& key, const Hash& fields) {
  Command command{"HSET", key};
  for (const auto& [name, value] : fields) {
    command.push_back(name);
    command.push_back(value);
  }
  call(command);
}

namespace {

std::vector<std::string> texts(const Reply& reply) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < reply.size(); ++i)
    all.emplace_back(reply.text_at(i).value_or(""));
  return all;
}

Hash pairs(const Reply& reply) {
  Hash hash;
  const auto all = texts(reply);
  for (std::size_t i = 0; i + 1 < all.size(); i += 2)
    hash[all[i]] = all[i + 1];
  return hash;
}

}  // namespace

Hash Registry::hash(const std::string& key) {
  return pairs(call({"HGETALL", key}));
}

std::vector<std::string> Registry::sorted_set(const std::string& key) {
  return texts(call({"ZRANGE", key, "0", "-1", "WITHSCORES"}));
}

std::vector<Hash> Registry::log() {
  std::vector<Hash> entries;
  const Reply reply = call({"XRANGE", schema.log(), "-", "+"});
  for (std::size_t i = 0; i < reply.size(); ++i)
    entries.push_back(pairs(reply[i][1]));
  return entries;
}

std::uint64_t Registry::seq() {
  const std::string seq = text({"HGET", schema.meta(), "seq"});
  return seq.empty() ? 0 : std::stoull(seq);
}

std::map<std::string, std::string> Registry::everything() {
  std::map<std::string, std::string> all;
  for (const std::string& key : texts(call({"KEYS", "*"}))) {
    const auto expires = call({"PEXPIRETIME", key}).integer().value_or(0);
    all[key] = text({"DUMP", key}) + " " + std::to_string(expires);
  }
  return all;
}

std::string fingerprint(char last) {
  return std::string(63, '0') + last;
}

std::string cert_key(char last) {
  return "leafgate:cert:" + fingerprint(last);
}

registry::Change change(registry::Op op, std::string key, registry::Fields fields) {
  registry::Change change;
  change.op = op;
  change.key = std::move(key);
  change.by = "tester";
  change.fields = std::move(fields);
  return change;
}

}  // namespace leafgate::test
