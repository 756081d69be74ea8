// SPDX-License-Identifier: Apache-2.0
#include "tests/support/sentinel_trio.h"

#include <algorithm>
#include <stdexcept>

namespace leafgate::test {

Sentinel::Sentinel(int master_port, const std::string& settings) {
  const std::string file = dir_ / "sentinel.conf";
  write_file(file, "port " + std::to_string(port_) +
                       "\nbind 127.0.0.1\n"
                       "sentinel monitor fleet 127.0.0.1 " +
                       std::to_string(master_port) +
                       " 2\n"
                       "sentinel down-after-milliseconds fleet 500\n"
                       "sentinel failover-timeout fleet 3000\n" +
                       settings);
  ProcessOptions process;
  process.argv = {default_redis(), file, "--sentinel"};
  process.output = dir_ / "output";
  process_ = std::make_unique<Process>(process);
}

std::string Sentinel::cli(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv = {"redis-cli", "-p", std::to_string(port_)};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  return run(argv).out;
}

std::string Sentinel::named() const {
  const std::string answer = cli({"sentinel", "get-master-addr-by-name", "fleet"});
  const std::size_t line = answer.find('\n');
  return line == std::string::npos ? "" : answer.substr(line + 1, answer.size() - line - 2);
}

SentinelTrio::SentinelTrio()
    : second({.arguments = {"--replicaof", "127.0.0.1 " + std::to_string(first.port())}}),
      sentinels{Sentinel(first.port()), Sentinel(first.port()), Sentinel(first.port())} {
  const bool ready = eventually(
      [this] {
        return std::all_of(sentinels.begin(), sentinels.end(), [](const Sentinel& sentinel) {
          const std::string known = sentinel.cli({"info", "sentinel"});
          return known.find("status=ok") != std::string::npos &&
                 known.find("slaves=1,sentinels=3") != std::string::npos;
        });
      },
      std::chrono::seconds(60));
  if (!ready) throw std::runtime_error("the sentinels did not find each other");
}

registry::Endpoint SentinelTrio::endpoint() const {
  return registry::parse_endpoint(url()).value();
}

std::string SentinelTrio::url() const {
  std::string servers;
  for (const Sentinel& sentinel : sentinels)
    servers += (servers.empty() ? "127.0.0.1:" : ",127.0.0.1:") + std::to_string(sentinel.port());
  return "redis-sentinel://" + servers + "/fleet";
}

bool SentinelTrio::majority_names(const RedisServer& server) const {
  return eventually(
      [&] {
        const std::string port = std::to_string(server.port());
        return std::count_if(sentinels.begin(), sentinels.end(), [&port](const Sentinel& sentinel) {
                 return sentinel.named() == port;
               }) >= 2;
      },
      std::chrono::seconds(60));
}

}  // namespace leafgate::test
