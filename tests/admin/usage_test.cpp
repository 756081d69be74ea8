// SPDX-License-Identifier: Apache-2.0
#include <chrono>
#include <sstream>

#include "tests/admin/cli.h"
#include "tests/catch.h"
#include "tests/support/sentinel_trio.h"
#include "tests/support/tls_redis.h"

using namespace leafgate::test;
using leafgate::registry::Endpoint;

TEST_CASE("a wrong command line ends in 2", "[cli][usage]") {
  const Cli cli;
  const std::vector<std::vector<std::string>> wrong = {
      {},
      {"cert"},
      {"cert", "paint"},
      {"cert", "activate"},
      {"cert", "activate", "--colour", "red"},
      {"cert", "revoke", "dev1"},
      {"cert", "list", "--limit", "many"},
      {"cert", "import", "x.pem", "--state", "revoked"},
      {"status", "--url", "http://127.0.0.1"},
      {"status", "--url", "redis://user:secret@127.0.0.1"},
      {"status", "--prefix", "no colon"},
      {"status", "--timeout", "soon"},
      {"status", "--note", std::string(65, 'n')},
      {"explain"},
      {"watch", "--only", "nothing"}};
  for (const auto& arguments : wrong) {
    const Ran ran = cli.run(arguments);
    INFO((arguments.empty() ? "no arguments" : arguments.back()) << ": " << ran.out << ran.err);
    CHECK(ran.status == 2);
    CHECK_FALSE(ran.err.empty());
    CHECK_THAT(ran.err, !ContainsSubstring("secret@"));
  }
}

TEST_CASE("a Redis that is not there ends in 4, with JSON as well", "[cli][usage]") {
  const Cli cli;
  const std::string nobody = "redis://127.0.0.1:" + std::to_string(free_port());
  const Ran ran = cli.run({"status", "--json", "--url", nobody});

  CHECK(ran.status == 4);
  CHECK_THAT(ran.err, ContainsSubstring("127.0.0.1"));
  CHECK(Json::parse(ran.out)["error"]["kind"] == "unreachable");
}

TEST_CASE("a Redis that does not answer is given up after --timeout", "[cli][usage]") {
  Cli cli;
  cli.redis.freeze();
  const Ran ran = cli.run({"cert", "list", "--timeout", "200ms"});
  cli.redis.thaw();

  CHECK(ran.status == 4);
}

TEST_CASE("a Redis that wants a log-in refuses without one and serves with one", "[cli][usage]") {
  const TempDir dir;
  write_file(dir / "password", "s3cret\n");
  const RedisServer redis;
  REQUIRE(redis.cli({"CONFIG", "SET", "requirepass", "s3cret"}) == "OK");
  const auto status = [&](std::vector<std::string> more) {
    std::vector<std::string> argv = {LEAFGATE_CLI, "status", "--url", redis.url()};
    argv.insert(argv.end(), more.begin(), more.end());
    return run(argv);
  };

  const Ran without = status({});
  CHECK(without.status == 1);
  CHECK_THAT(without.err, ContainsSubstring("NOAUTH"));
  CHECK(status({"--password-file", dir / "password"}).status == 0);
}

TEST_CASE("rediss:// is TLS, with files from options, --config or the environment",
          "[cli][usage]") {
  const TempDir dir;
  TlsRedis redis("yes");
  const CertFiles ours = redis.pki.issue({});
  const std::string ca = redis.pki.ca_file();
  const auto status = [](const std::vector<std::string>& more,
                         const std::map<std::string, std::string>& env = {}) {
    std::vector<std::string> argv = {LEAFGATE_CLI, "status"};
    argv.insert(argv.end(), more.begin(), more.end());
    return run(argv, "", env);
  };
  const std::vector<std::string> files = {"--tls-cert", ours.certificate, "--tls-key", ours.key};
  std::vector<std::string> options = {"--url", redis.url(), "--tls-ca", ca};

  const Ran without = status(options);
  CHECK(without.status == 1);
  CHECK_THAT(without.err, ContainsSubstring("wants a client certificate"));
  options.insert(options.end(), files.begin(), files.end());
  const Ran with = status(options);
  INFO(with.err);
  CHECK(with.status == 0);
  CHECK_THAT(with.out, ContainsSubstring(redis.url()));

  const std::map<std::string, std::string> env = {{"LEAFGATE_REDIS_URL", redis.url()},
                                                  {"LEAFGATE_TLS_CA", ca},
                                                  {"LEAFGATE_TLS_CERT", ours.certificate},
                                                  {"LEAFGATE_TLS_KEY", ours.key}};
  CHECK(status({}, env).status == 0);
  // What is meant for one server does not disturb another.
  CHECK(status({"--url", redis.server.url()}, env).status == 0);
  CHECK(status({"--url", redis.server.url(), "--tls-ca", ca}).status == 2);

  write_file(dir / "leafgate.yaml", "registry: {url: '" + redis.url() + "', tls: {ca_file: " + ca +
                                        ", cert_file: " + ours.certificate +
                                        ", key_file: " + ours.key + "}}\ntopics: any\n");
  CHECK(status({"--config", dir / "leafgate.yaml"}).status == 0);
}

TEST_CASE("redis-sentinel:// leads to the master that the sentinels name", "[cli][usage]") {
  SentinelTrio trio;
  const Ran init = run({LEAFGATE_CLI, "registry", "init", "--url", trio.url()});
  INFO(init.err);
  CHECK(init.status == 0);
  CHECK_FALSE(trio.first.cli({"HGET", "leafgate:meta", "id"}).empty());

  Endpoint nobody = trio.endpoint();
  nobody.sentinels->service = "flotilla";
  const Ran unknown = run({LEAFGATE_CLI, "status", "--url", nobody.text()});
  CHECK(unknown.status == 4);
  CHECK_THAT(unknown.err, ContainsSubstring("knows no `flotilla`"));
}

TEST_CASE("with sentinels TLS is what files for it ask for", "[cli][usage]") {
  const TlsRedis redis;
  const int port = free_port();
  const Sentinel sentinel(redis.port, redis.sentinel_settings(port));
  const std::vector<std::string> status = {
      LEAFGATE_CLI, "status", "--url",
      "redis-sentinel://127.0.0.1:" + std::to_string(port) + "/fleet"};
  std::vector<std::string> with_option = status;
  with_option.insert(with_option.end(), {"--tls-ca", redis.pki.ca_file()});
  REQUIRE(eventually([&] { return run(with_option).status == 0; }));

  CHECK(run(status, "", {{"LEAFGATE_TLS_CA", redis.pki.ca_file()}}).status == 0);
  CHECK(run(status).status == 4);
}

TEST_CASE("a user without a password file is an error, not another user", "[cli][usage]") {
  const Cli cli;
  const std::string port = std::to_string(cli.redis.port());
  const std::vector<std::vector<std::string>> wrong = {
      {"status", "--url", "redis://admin@127.0.0.1:" + port}, {"status", "--username", "admin"}};
  for (const auto& arguments : wrong) {
    const Ran ran = cli.run(arguments);
    INFO(arguments.back());
    CHECK(ran.status == 2);
    CHECK_THAT(ran.err, ContainsSubstring("--password-file"));
  }
  REQUIRE(cli.redis.cli({"ACL", "SETUSER", "admin", "on", ">s3cret", "+@all", "~*"}) == "OK");
  const TempDir dir;
  write_file(dir / "password", "s3cret\n");
  CHECK(cli.run({"status", "--url", wrong[0].back(), "--password-file", dir / "password"}).status ==
        0);
}

TEST_CASE("the Redis users of deploy/redis-acl have the rights that the commands need",
          "[cli][usage]") {
  const Cli cli;
  const TempDir dir;
  write_file(dir / "password", "s3cret\n");
  for (const std::string user : {"admin", "reader"}) {
    std::istringstream words(read_file("deploy/redis-acl/" + user + ".acl"));
    std::vector<std::string> command = {"ACL", "SETUSER"};
    std::string word;
    for (words >> word; words >> word;) {
      // A selector in parentheses is one argument.
      while (word.front() == '(' && word.back() != ')') {
        std::string more;
        REQUIRE(words >> more);
        word += ' ' + more;
      }
      command.push_back(word);
    }
    command.emplace_back(">s3cret");
    REQUIRE(cli.redis.cli(command) == "OK");
  }
  const CertFiles dev1 = device("dev1");
  const auto as = [&](const std::string& user, std::vector<std::string> arguments) {
    arguments.insert(arguments.end(),
                     {"--username", "leafgate-" + user, "--password-file", dir / "password"});
    return cli.run(arguments).status;
  };

  CHECK(as("admin", {"registry", "init"}) == 0);
  CHECK(as("admin", {"cert", "import", dev1.certificate, "--activate"}) == 0);
  CHECK(as("admin", {"device", "block", "dev9"}) == 0);
  CHECK(as("admin", {"device", "unblock", "dev9"}) == 0);
  CHECK(as("admin", {"cert", "import", "--from-events"}) == 0);
  for (const std::string user : {"admin", "reader"}) {
    CHECK(as(user, {"status", "--count"}) == 0);
    CHECK(as(user, {"cert", "list"}) == 0);
    CHECK(as(user, {"cert", "list", "--device", "dev1", "--expires-within", "90d"}) == 0);
    CHECK(as(user, {"cert", "show", dev1.certificate}) == 0);
    CHECK(as(user, {"device", "show", "dev1"}) == 0);
    CHECK(as(user, {"explain", dev1.certificate}) == 0);
  }
  CHECK(as("reader", {"cert", "deactivate", dev1.fingerprint}) == 1);
  CHECK(cli.field(dev1.fingerprint, "state") == "active");
}

TEST_CASE("--config brings server, prefix and rules; the command line wins", "[cli][usage]") {
  const Cli cli;
  const TempDir dir;
  write_file(dir / "leafgate.yaml", "registry: {url: " + cli.redis.url() +
                                        ", prefix: \"other:\"}\n"
                                        "admission: {device_id: {from: san_dns}}\ntopics: any\n");
  const std::string config = dir / "leafgate.yaml";
  const auto init = [&](const std::vector<std::string>& more) {
    std::vector<std::string> argv = {LEAFGATE_CLI, "registry", "init", "--config", config};
    argv.insert(argv.end(), more.begin(), more.end());
    return run(argv).status;
  };

  CHECK(init({}) == 0);
  CHECK(cli.redis.cli({"HGET", "other:meta", "device_id"}) == "san_dns");
  CHECK(init({"--prefix", "third:", "--device-id", "cn"}) == 0);
  CHECK(cli.redis.cli({"HGET", "third:meta", "device_id"}) == "cn");

  cli.run({"registry", "init", "--prefix", "other:", "--device-id", "cn", "--change-rule"});
  const Ran warned = run({LEAFGATE_CLI, "cert", "show", std::string(64, 'a'), "--config", config});
  CHECK_THAT(warned.err, ContainsSubstring("device-id rule is `cn`, --config says `san_dns`"));
}

TEST_CASE("help and version are for everybody, and every verb shows examples", "[cli][usage]") {
  const Cli cli;
  CHECK(cli.run({"--version"}).out.substr(0, 9) == "leafgate ");
  const Ran help = cli.run({"--help"});
  CHECK(help.status == 0);
  CHECK_THAT(help.out, ContainsSubstring("Exit codes"));
  for (const std::vector<std::string>& verb :
       std::vector<std::vector<std::string>>{{"cert", "import"},
                                             {"cert", "list"},
                                             {"cert", "show"},
                                             {"cert", "activate"},
                                             {"cert", "deactivate"},
                                             {"cert", "retire"},
                                             {"cert", "revoke"},
                                             {"cert", "delete"},
                                             {"device", "show"},
                                             {"device", "block"},
                                             {"device", "unblock"},
                                             {"issuer", "block"},
                                             {"issuer", "unblock"},
                                             {"registry", "init"},
                                             {"ca", "init"},
                                             {"ca", "issue"},
                                             {"explain"},
                                             {"status"},
                                             {"watch"},
                                             {"check-config"}}) {
    std::vector<std::string> arguments = verb;
    arguments.emplace_back("--help");
    const Ran ran = cli.run(arguments);
    INFO(ran.out);
    CHECK(ran.status == 0);
    CHECK_THAT(ran.out, ContainsSubstring("Examples:\n  leafgate " + verb[0]));
  }
}

TEST_CASE("check-config tells file, line and what to do, and fails on errors", "[cli][usage]") {
  const Cli cli;
  const TempDir dir;
  write_file(dir / "leafgate.yaml", "topics: any\ncolour: red\n");
  const Ran yaml = cli.run({"check-config", dir / "leafgate.yaml"});
  CHECK(yaml.status == 1);
  CHECK_THAT(yaml.out, ContainsSubstring((dir / "leafgate.yaml") + ":2: error: "));

  write_file(dir / "leafgate.yaml", "topics: any\n");
  CHECK(cli.run({"check-config", dir / "leafgate.yaml"}).status == 0);
  write_file(dir / "mosquitto.conf",
             "plugin /x/mosquitto_leafgate.so\nplugin_opt_config " + (dir / "leafgate.yaml") +
                 "\nset_tcp_nodelay true\nlistener 8883\ncertfile a\ncafile b\n");
  const auto document = cli.json({"check-config", "--mosquitto", dir / "mosquitto.conf"});
  CHECK(document["files"].size() == 2);
  CHECK(document["errors"] == 1);
  CHECK(document["warnings"] == 1);
  bool found = false;
  for (const auto& finding : document["findings"]) {
    found = found || (finding["line"] == 4 && finding["severity"] == "error");
  }
  CHECK(found);
  CHECK(cli.run({"check-config", dir / "none.yaml"}).status == 3);
}
