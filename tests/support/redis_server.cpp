// SPDX-License-Identifier: Apache-2.0
#include "tests/support/redis_server.h"

#include <cstdlib>
#include <stdexcept>

namespace leafgate::test {
namespace {

// Of which it may spend most on reading its data, on a machine that does other things as well.
constexpr std::chrono::seconds kStartLimit{120};

}  // namespace

std::string default_redis() {
  const char* const chosen = std::getenv("LEAFGATE_REDIS_SERVER");
  return chosen == nullptr ? "redis-server" : chosen;
}

RedisServer::RedisServer(RedisOptions options) : options_(std::move(options)), port_(free_port()) {
  start();
}

void RedisServer::launch() {
  ProcessOptions process;
  process.argv = {options_.binary,
                  "--port",
                  std::to_string(port_),
                  "--bind",
                  "127.0.0.1",
                  "--save",
                  "",
                  "--dir",
                  dir_.path().string(),
                  "--appendonly",
                  options_.append_only ? "yes" : "no"};
  process.argv.insert(process.argv.end(), options_.arguments.begin(), options_.arguments.end());
  process.output = dir_ / "output";
  process_ = std::make_unique<Process>(process);
}

void RedisServer::start() {
  const auto said = [this] { return read_file(dir_ / "output"); };
  launch();
  const bool up = eventually(
      [&] {
        if (!process_->running()) {
          // The child of one that was killed while it rewrote its log holds the port for a moment.
          const std::string all = said();
          const std::size_t last = all.rfind("is starting");
          if (all.find("Address already in use", last) == std::string::npos) return true;
          launch();
          return false;
        }
        // A server that still loads its data answers PING with an error.
        const std::string answer = cli({"ping"});
        return answer == "PONG" || answer.starts_with("NOAUTH");
      },
      kStartLimit);
  if (!up || !process_->running()) {
    throw std::runtime_error(options_.binary + " did not start: " + said());
  }
}

registry::Endpoint RedisServer::endpoint() const {
  registry::Endpoint endpoint;
  endpoint.port = static_cast<std::uint16_t>(port_);
  return endpoint;
}

std::string RedisServer::url() const {
  return "redis://127.0.0.1:" + std::to_string(port_) + "/0";
}

void RedisServer::kill() {
  process_->signal(SIGKILL);
  process_->wait(std::chrono::seconds(10));
}

void RedisServer::stop() {
  process_->stop();
}

void RedisServer::restart() {
  start();
}

std::string RedisServer::cli(const std::vector<std::string>& arguments) const {
  std::vector<std::string> argv = {"redis-cli", "-p", std::to_string(port_)};
  argv.insert(argv.end(), arguments.begin(), arguments.end());
  Ran ran = run(argv);
  if (!ran.out.empty() && ran.out.back() == '\n') ran.out.pop_back();
  return ran.out;
}

registry::Client RedisServer::client() const {
  auto connected = registry::Client::connect(endpoint());
  if (!connected) throw std::runtime_error(connected.error().message);
  return std::move(connected).value();
}

}  // namespace leafgate::test
