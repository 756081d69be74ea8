// SPDX-License-Identifier: Apache-2.0
// The Redis users of deploy/redis-acl: what each may do works, what none of it needs is refused,
// and no right is given that this test does not use.
#include <algorithm>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "registry/transition.h"
#include "tests/catch.h"
#include "tests/registry/registry_fixture.h"

namespace leafgate::test {
namespace {

using registry::Client;
using registry::Command;
using registry::Endpoint;
using registry::Op;
using registry::Outcome;
using registry::Reply;

const std::string kPassword = "not a secret";
const std::string kCert = cert_key('1');
const std::string kDeviceBlock = "leafgate:block:device:dev1";

Command words_of(const std::string& text) {
  std::istringstream stream(text);
  Command words;
  for (std::string word; stream >> word;)
    words.push_back(word);
  return words;
}

// A Redis with the users as they are shipped, one record, one block and an initialised data set.
struct Server {
  RedisServer redis;
  TempDir dir;

  Server() {
    for (const std::string name : {"broker", "admin", "reader"}) {
      const Command words = words_of(read_file("deploy/redis-acl/" + name + ".acl"));
      REQUIRE(words.at(0) == "user");
      Command rules{"ACL", "SETUSER"};
      rules.insert(rules.end(), words.begin() + 1, words.end());
      REQUIRE(redis.cli(rules) == "OK");
      rules = {"ACL", "SETUSER", words.at(1), ">" + kPassword};
      REQUIRE(redis.cli(rules) == "OK");
    }
    redis.cli({"HSET", kCert, "state", "active"});
    redis.cli({"HSET", kDeviceBlock, "note", "x"});
    redis.cli({"HSET", "leafgate:meta", "id", std::string(32, 'a')});
    write_file(dir / "password", kPassword + "\n");
  }

  Endpoint endpoint(const std::string& user) const {
    Endpoint endpoint = redis.endpoint();
    endpoint.username = "leafgate-" + user;
    endpoint.password_file = dir / "password";
    return endpoint;
  }

  Client client(const std::string& user) const {
    auto client = Client::connect(endpoint(user));
    REQUIRE(client.ok());
    return std::move(client).value();
  }
};

std::string joined(const Command& command) {
  std::string text;
  for (const std::string& word : command)
    text += word.substr(0, 80) + " ";
  return text;
}

bool says_no(Client& client, const Command& command) {
  const auto reply = client.call(command);
  REQUIRE(reply.ok());
  return reply.value().is_error() && reply.value().text()->starts_with("NOPERM");
}

// `subscribe`, `client|id` …: as rules name them.
std::string rule_name(const Command& command) {
  std::string name = command[0];
  if (name == "CLIENT" || name == "SCRIPT") name += "|" + command[1];
  std::transform(name.begin(), name.end(), name.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return name;
}

void check_rights(const std::string& user, const std::vector<Command>& allowed,
                  const std::vector<Command>& forbidden) {
  Server server;
  std::set<std::string> used;
  for (const Command& command : allowed) {
    INFO(user << " may: " << joined(command));
    // A connection each: some commands change what the connection is.
    Client client = server.client(user);
    CHECK_FALSE(says_no(client, command));
    used.insert(rule_name(command));
  }
  Client client = server.client(user);
  for (const Command& command : forbidden) {
    INFO(user << " may not: " << joined(command));
    CHECK(says_no(client, command));
  }
  for (std::string word : words_of(read_file("deploy/redis-acl/" + user + ".acl"))) {
    if (word[0] != '+') continue;
    word = word.substr(1, word.find(')') == std::string::npos ? word.npos : word.find(')') - 1);
    INFO("a right that nothing uses: " << word);
    CHECK(used.contains(word));
  }
}

std::vector<Command> lines(const std::string& text) {
  std::vector<Command> commands;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    if (Command words = words_of(line); !words.empty()) commands.push_back(std::move(words));
  }
  return commands;
}

// What nobody of ours may do.
const std::string kNobody = R"(
    FLUSHALL
    FLUSHDB
    SWAPDB 0 1
    KEYS *
    CONFIG GET *
    CONFIG SET maxmemory 1
    SHUTDOWN
    REPLICAOF no one
    ACL LIST
    ACL SETUSER x on
    CLIENT KILL TYPE normal
    CLIENT LIST
    PSYNC ? -1
    MONITOR
    SCRIPT FLUSH
    FUNCTION FLUSH
    PUBLISH __redis__:invalidate x
    RENAME leafgate:meta leafgate:gone
    RESTORE leafgate:cert:x 0 x
    MIGRATE h 1 k 0 1
    DEL leafgate:meta
    DEL leafgate:log
    DEL leafgate:index:device
    XTRIM leafgate:log MAXLEN 0
    XDEL leafgate:log 0-1
    XADD leafgate:cert:x * a b
    GET leafgate:pulse:a:b
    HGET other:cert:x state
    HMGET other state
    SUBSCRIBE other
)";

TEST_CASE("the broker's user can do what a broker does, and change no state", "[registry][acl]") {
  auto allowed = lines(R"(
    SELECT 1
    PING
    ROLE
    INFO keyspace
    CLIENT ID
    SUBSCRIBE __redis__:invalidate
    CLIENT TRACKING ON BCAST PREFIX leafgate:block: PREFIX leafgate:cert: PREFIX leafgate:pulse:a:b
    MULTI
    EXEC
    SCAN 0 MATCH leafgate:* COUNT 100
    HMGET leafgate:meta id format device_id
    HMGET leafgate:block:device:dev1 before
    HMGET leafgate:block:issuer:0a before
    HMGET leafgate:broker:gateway-1 instance
    PEXPIRETIME leafgate:block:device:dev1
    SET leafgate:pulse:gateway-1:a1 1 EX 60
    SET leafgate:lease:rebuild:0 a1 NX GET PX 5000
    SET leafgate:lease:rebuild:0 a1 XX PX 5000
    PEXPIRETIME leafgate:lease:audit
    HSET leafgate:broker:gateway-1 instance a1
    EXPIRE leafgate:broker:gateway-1 30
    XADD leafgate:events MAXLEN ~ 100000 * kind refused
  )");
  allowed.push_back({"HMGET", kCert, "state", "retire_at", "revoked_at"});
  allowed.push_back({"PEXPIRETIME", kCert});
  auto forbidden = lines(kNobody + R"(
    SET leafgate:meta x
    HSET leafgate:meta id x
    HSET leafgate:block:device:dev1 before 1
    EXPIRE leafgate:block:device:dev1 1
    XADD leafgate:log * a b
    XRANGE leafgate:log - +
    XRANGE leafgate:events - +
    SET other x
    SUBSCRIBE leafgate
    EVAL return 0
  )");
  for (const Command& command : std::vector<Command>{{"HSET", kCert, "state", "active"},
                                                     {"HDEL", kCert, "revoked_at"},
                                                     {"DEL", kCert},
                                                     {"EXPIRE", kCert, "1"},
                                                     {"SET", kCert, "x"},
                                                     {"HGETALL", kCert},
                                                     {"EVAL", "return 1", "0"},
                                                     {"SCRIPT", "LOAD", "return 1"}}) {
    forbidden.push_back(command);
  }

  check_rights("broker", allowed, forbidden);
}

const std::string kReading = R"(
    SELECT 1
    PING
    ROLE
    INFO server
    TIME
    SCAN 0 MATCH leafgate:* COUNT 100
    TYPE leafgate:meta
    EXISTS leafgate:meta
    HGET leafgate:meta id
    HMGET leafgate:meta id seq
    HGETALL leafgate:broker:gateway-1
    HEXISTS leafgate:meta id
    TTL leafgate:pulse:a:b
    PTTL leafgate:block:device:dev1
    EXPIRETIME leafgate:block:device:dev1
    PEXPIRETIME leafgate:block:device:dev1
    ZRANGE leafgate:index:device 0 -1
    ZRANGEBYLEX leafgate:index:device [a [b
    ZRANGEBYSCORE leafgate:index:expiry 0 1
    ZCARD leafgate:index:spki
    ZCOUNT leafgate:index:expiry 0 1
    ZSCORE leafgate:index:expiry x
    XREAD COUNT 1 STREAMS leafgate:events 0
    XRANGE leafgate:log - +
    XREVRANGE leafgate:events + -
    XLEN leafgate:log
)";

TEST_CASE("the reader's user can look at everything of ours and write nothing", "[registry][acl]") {
  auto forbidden = lines(kNobody + R"(
    HSET leafgate:meta id x
    SET leafgate:x x
    XADD leafgate:log * a b
    XADD leafgate:events * a b
    ZADD leafgate:index:device 0 x
    EXPIRE leafgate:meta 1
    PERSIST leafgate:meta
    HSET leafgate:broker:gateway-1 a b
    SUBSCRIBE __redis__:invalidate
    CLIENT TRACKING ON
  )");
  forbidden.push_back({"HSET", kCert, "state", "active"});
  forbidden.push_back({"DEL", kCert});
  forbidden.push_back({"EVAL", "return 1", "0"});

  check_rights("reader", lines(kReading), forbidden);
}

Command eval(const std::string& command, const std::string& script) {
  return {command, script, "3", kCert, "leafgate:meta", "leafgate:log", "activate", "", "me", ""};
}

TEST_CASE("the admin's user can make transitions and hand-written changes, and nothing worse",
          "[registry][acl]") {
  auto allowed = lines(kReading + R"(
    HSET leafgate:block:device:dev2 note x
    HDEL leafgate:block:device:dev2 note
    DEL leafgate:block:device:dev2
    UNLINK leafgate:block:device:dev2
    EXPIRE leafgate:block:device:dev1 1000
    PEXPIRE leafgate:block:device:dev1 1000000
    EXPIREAT leafgate:block:device:dev1 4102444800
    PEXPIREAT leafgate:block:device:dev1 4102444800000
    PERSIST leafgate:block:device:dev1
    HSET leafgate:meta device_id cn
    HINCRBY leafgate:meta seq 1
    HDEL leafgate:meta replaces
    ZADD leafgate:index:device 0 x
    ZREM leafgate:index:device x
    XADD leafgate:log * a b
    SCRIPT EXISTS 0000
  )");
  allowed.push_back({"SCRIPT", "LOAD", std::string(registry::kTransitionLua)});
  allowed.push_back(eval("EVAL", std::string(registry::kTransitionLua)));
  allowed.push_back(eval("EVALSHA", std::string(40, '0')));
  allowed.push_back({"HSET", kCert, "state", "inactive"});
  auto forbidden = lines(kNobody + R"(
    HSET leafgate:broker:gateway-1 a b
    XADD leafgate:events * a b
    SET leafgate:pulse:a:b 1
    SET leafgate:meta x
    HSET other:cert:x state active
    EXPIRE leafgate:log 1
    EXPIRE leafgate:meta 1
    HSET leafgate:log a b
    SUBSCRIBE __redis__:invalidate
    CLIENT TRACKING ON
  )");
  forbidden.push_back({"EVAL", "return 1", "1", "other"});

  check_rights("admin", allowed, forbidden);
}

TEST_CASE("a script run by the admin's user can do no more than that user", "[registry][acl]") {
  Server server;
  server.redis.cli({"XADD", "leafgate:log", "1-1", "a", "b"});
  Client client = server.client("admin");
  for (const std::string body :
       {"redis.call('FLUSHALL')", "redis.call('DEL', 'leafgate:log')",
        "redis.call('SET', 'leafgate:x', 1)", "redis.call('HSET', 'other', 'a', 'b')"}) {
    INFO(body);
    const auto reply = client.call({"EVAL", body, "0"});
    REQUIRE(reply.ok());
    CHECK(reply.value().is_error());
  }
  CHECK(server.redis.cli({"EXISTS", kCert, "leafgate:log", "leafgate:x", "other"}) == "2");
}

TEST_CASE("every operation of the writer works for the admin's user", "[registry][acl]") {
  Server server;
  Client client = server.client("admin");
  registry::Writer writer(client, registry::Schema{});
  const std::string key = cert_key('2');
  REQUIRE(writer.init("cn", false, "tester").ok());
  for (const auto& [op, fields] :
       std::vector<std::pair<Op, registry::Fields>>{{Op::kImport,
                                                     {{"state", "pending"},
                                                      {"device", "dev1"},
                                                      {"spki", std::string(64, 'a')},
                                                      {"not_after", "1000000000"}}},
                                                    {Op::kActivate, {}},
                                                    {Op::kDeactivate, {}},
                                                    {Op::kActivate, {}},
                                                    {Op::kRetire, {{"retire_at", "4102444800"}}},
                                                    {Op::kRetire, {}},
                                                    {Op::kRevoke, {}},
                                                    {Op::kDelete, {}}}) {
    INFO(to_string(op));
    const auto outcome = writer.apply(change(op, key, fields));
    REQUIRE(outcome.ok());
    CHECK(outcome.value().kind == Outcome::Kind::kApplied);
  }
  REQUIRE(writer.confirm(std::string(32, 'b'), "tester", "").ok());
  auto restored = change(Op::kRestore, cert_key('3'), {{"state", "active"}, {"version", "100"}});
  restored.ends_at_ms = 4102444800000;
  REQUIRE(writer.apply(restored).ok());
  CHECK(server.redis.cli({"HGET", cert_key('3'), "state"}) == "active");
  const std::string block = "leafgate:block:issuer:0a";
  server.redis.cli({"HSET", block, "before", "1"});
  server.redis.cli({"EXPIRE", block, "1000"});
  for (const Op op : {Op::kBlock, Op::kUnblock}) {
    const auto outcome = writer.apply(change(op, block));
    REQUIRE(outcome.ok());
    CHECK(outcome.value().kind == Outcome::Kind::kApplied);
  }
}

TEST_CASE("the scripts work for the users they are for", "[registry][acl]") {
  Server server;
  const auto script = [&](const std::string& name, const std::string& user) {
    const std::string url =
        "redis://leafgate-" + user + "@127.0.0.1:" + std::to_string(server.redis.port());
    return run({"sh", "scripts/" + name, fingerprint('1')}, "",
               {{"LEAFGATE_REDIS_URL", url}, {"REDISCLI_AUTH", kPassword}});
  };

  const Ran refused = script("deactivate", "reader");
  CHECK(refused.status == 1);
  CHECK_THAT(refused.err, ContainsSubstring("redis refuses"));
  CHECK(script("status", "reader").status == 0);
  CHECK(script("status", "admin").status == 0);
  CHECK(script("deactivate", "admin").status == 0);
  CHECK(server.redis.cli({"HGET", kCert, "state"}) == "inactive");
}

TEST_CASE(
    "the shipped users cannot log in before they have a password, and keep it when loaded again",
    "[registry][acl]") {
  RedisServer redis;
  Command rules = words_of(read_file("deploy/redis-acl/reader.acl"));
  rules[0] = "SETUSER";
  rules.insert(rules.begin(), "ACL");
  REQUIRE(redis.cli(rules) == "OK");
  const auto log_in = [&](const std::string& password) {
    Client client = redis.client();
    return !client.call({"AUTH", "leafgate-reader", password}).value().is_error();
  };

  CHECK_FALSE(log_in(""));
  CHECK_FALSE(log_in("anything"));
  redis.cli({"ACL", "SETUSER", "leafgate-reader", ">" + kPassword});
  CHECK(log_in(kPassword));
  REQUIRE(redis.cli(rules) == "OK");
  CHECK(log_in(kPassword));
  CHECK_FALSE(log_in("anything"));
}

TEST_CASE("Redis starts with the shipped users as its ACL file", "[registry][acl]") {
  TempDir dir;
  std::string all;
  for (const std::string name : {"broker", "admin", "reader", "default"})
    all += read_file("deploy/redis-acl/" + name + ".acl");
  all += "user root on >root ~* &* +@all\n";
  write_file(dir / "users.acl", all);

  RedisServer redis({.append_only = true, .arguments = {"--aclfile", dir / "users.acl"}});
  const auto as_root = [&](const std::vector<std::string>& words) {
    std::vector<std::string> argv = {"redis-cli", "-p", std::to_string(redis.port()), "--user",
                                     "root"};
    argv.insert(argv.end(), words.begin(), words.end());
    return run(argv, "", {{"REDISCLI_AUTH", "root"}}).out;
  };

  CHECK_THAT(redis.cli({"PING"}), ContainsSubstring("NOAUTH"));
  CHECK_THAT(as_root({"ACL", "USERS"}), ContainsSubstring("leafgate-broker"));

  // What scripts wrote is replayed as `default`.
  as_root({"EVAL", "redis.call('HSET', 'a', 'b', 1) redis.call('HSET', 'c', 'd', 1)", "0"});
  redis.stop();
  redis.restart();
  CHECK(eventually([&] { return as_root({"DBSIZE"}) == "2\n"; }));
}

}  // namespace
}  // namespace leafgate::test
