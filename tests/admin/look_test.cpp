// SPDX-License-Identifier: Apache-2.0
#include <csignal>
#include <set>
#include <sstream>

#include "tests/admin/cli.h"
#include "tests/catch.h"

using namespace leafgate::test;

namespace {

std::set<std::string> listed(const Cli& cli, std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), {"cert", "list"});
  const Json document = cli.json(arguments);
  std::set<std::string> out;
  for (const auto& entry : document["certificates"])
    out.insert(entry["fingerprint"].get<std::string>());
  return out;
}

// Four certificates: pending of dev1, active of dev1, active of dev2 that ends soon, one by bare
// HSET.
struct Fleet {
  Fleet() {
    const auto import = [&](int i, const std::string& device, const std::string& not_after,
                            const std::string& state) {
      cli.run({"cert", "import", "--from", "-", "--state", state},
              "fingerprint,device,not_after,issuer\n" + f[static_cast<std::size_t>(i)] + "," +
                  device + "," + not_after + ",0a\n");
    };
    import(0, "dev1", "+300d", "pending");
    import(1, "dev1", "+300d", "active");
    import(2, "dev2", "+20d", "active");
    cli.redis.cli({"HSET", "leafgate:cert:" + f[3], "state", "inactive"});
  }

  Cli cli;
  std::vector<std::string> f = made_up_fingerprints(4);
};

}  // namespace

TEST_CASE("cert list filters by state, device, expiry and issuer", "[cli][look]") {
  const Fleet fleet;
  const auto& f = fleet.f;

  CHECK(listed(fleet.cli, {}) == std::set<std::string>{f[0], f[1], f[2], f[3]});
  CHECK(listed(fleet.cli, {"--state", "active"}) == std::set<std::string>{f[1], f[2]});
  CHECK(listed(fleet.cli, {"--state", "pending", "--state", "inactive"}) ==
        std::set<std::string>{f[0], f[3]});
  CHECK(listed(fleet.cli, {"--device", "dev1"}) == std::set<std::string>{f[0], f[1]});
  CHECK(listed(fleet.cli, {"--device", "dev1", "--state", "active"}) ==
        std::set<std::string>{f[1]});
  CHECK(listed(fleet.cli, {"--device", "dev"}).empty());
  CHECK(listed(fleet.cli, {"--expires-within", "30d"}) == std::set<std::string>{f[2]});
  CHECK(listed(fleet.cli, {"--issuer", "0a"}) == std::set<std::string>{f[0], f[1], f[2]});
  CHECK(listed(fleet.cli, {"--limit", "2"}).size() == 2);
  CHECK(fleet.cli.run({"cert", "list", "--state", "happy"}).status == 2);
}

TEST_CASE("cert list shows the state that brokers act on", "[cli][look]") {
  const Fleet fleet;
  fleet.cli.redis.cli({"HSET", "leafgate:cert:" + fleet.f[1], "revoked_at", "1"});
  fleet.cli.redis.cli({"HSET", "leafgate:cert:" + fleet.f[2], "state", "ACTIVE"});

  CHECK(listed(fleet.cli, {"--state", "revoked"}) == std::set<std::string>{fleet.f[1]});
  CHECK(listed(fleet.cli, {"--state", "malformed"}) == std::set<std::string>{fleet.f[2]});
}

TEST_CASE("cert list reads every record of a large registry exactly once", "[cli][look]") {
  const Cli cli;
  std::string list = "fingerprint\n";
  for (const std::string& fingerprint : made_up_fingerprints(5000))
    list += fingerprint + "\n";
  REQUIRE(cli.run({"cert", "import", "--from", "-"}, list).status == 0);

  const auto document = cli.json({"cert", "list"});
  std::set<std::string> distinct;
  for (const auto& entry : document["certificates"])
    distinct.insert(entry["fingerprint"].get<std::string>());
  CHECK(distinct.size() == 5000);
  CHECK(document["certificates"].size() == 5000);
}

TEST_CASE("cert show tells record, verdict and history", "[cli][look]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  cli.run({"cert", "import", dev1.certificate, "--by", "alice"});
  cli.run({"cert", "activate", dev1.fingerprint, "--by", "bob", "--note", "approved"});

  const auto shown = cli.json({"cert", "show", dev1.certificate})["certificates"][0];
  CHECK(shown["registered"] == true);
  CHECK(shown["state"] == "active");
  CHECK(shown["updated_by"] == "bob");
  CHECK(shown["certificate"]["key"] == "P-256");
  CHECK(shown["verdict"] == Json{{"allow", true}, {"reason", "granted"}});
  REQUIRE(shown["history"].size() == 2);
  CHECK(shown["history"][0]["by"] == "bob");
  CHECK(shown["history"][0]["note"] == "approved");
  CHECK(shown["history"][1]["to"] == "pending");
  const Ran words = cli.run({"cert", "show", dev1.fingerprint});
  CHECK(words.status == 0);
  CHECK_THAT(words.out, ContainsSubstring("admitted: granted"));
}

TEST_CASE("device show gathers a device's certificates and its block", "[cli][look]") {
  const Fleet fleet;
  fleet.cli.run({"device", "block", "dev1", "--note", "stolen", "--before", "1700000000"});

  const auto shown = fleet.cli.json({"device", "show", "dev1"})["devices"][0];
  CHECK(shown["certificates"].size() == 2);
  CHECK(shown["block"]["note"] == "stolen");
  CHECK(shown["block"]["before"] == 1700000000);
  CHECK(fleet.cli.run({"device", "show", "dev9"}).status == 3);
}

TEST_CASE("status counts states and blocks and warns of what needs attention", "[cli][look]") {
  const Fleet fleet;
  fleet.cli.run({"device", "block", "dev1"});
  auto status = fleet.cli.json({"status"});
  CHECK(status["certificates"]["total"] == 4);
  CHECK(status["certificates"]["by_state"]["active"] == 2);
  CHECK(status["certificates"]["by_state"]["inactive"] == 1);
  CHECK(status["blocks"]["devices"] == 1);
  CHECK(status["log"]["entries"] == 4);
  CHECK(status["certificates"]["counted_by"] == "registry");
  CHECK(status["warnings"].size() == 2);  // no device-id rule, no broker

  fleet.cli.run({"registry", "init"});
  fleet.cli.redis.cli({"HSET", "leafgate:broker:gateway-1", "instance", "x", "mode", "report",
                       "sync", "live", "would_refuse", "7", "sessions", "3"});
  status = fleet.cli.json({"status"});
  REQUIRE(status["brokers"].size() == 1);
  CHECK(status["brokers"][0]["name"] == "gateway-1");
  CHECK(status["brokers"][0]["status"]["sessions"] == 3);
  REQUIRE(status["warnings"].size() == 1);
  CHECK_THAT(status["warnings"][0].get<std::string>(), ContainsSubstring("mode report"));
  CHECK_THAT(fleet.cli.run({"status"}).out, ContainsSubstring("gateway-1"));

  fleet.cli.redis.cli({"HSET", "leafgate:broker:gateway-1", "mode", "enforce", "stale", "1",
                       "when_stale", "disconnect", "snapshot_age_s", "4711", "snapshot_error",
                       "cannot write: No space left on device"});
  const auto words = fleet.cli.run({"status"}).out;
  CHECK_THAT(words, ContainsSubstring("gateway-1 admits nobody and ends sessions: its copy"));
  CHECK_THAT(words, ContainsSubstring("no good snapshot: cannot write: No space left on device"));
  CHECK_THAT(words, ContainsSubstring("4711"));
}

TEST_CASE("watch follows changes and events, from the past on when asked, and ends well on SIGINT",
          "[cli][look]") {
  const Cli cli;
  const TempDir dir;
  const CertFiles dev1 = device("dev1");
  cli.run({"cert", "import", dev1.certificate});
  Process watch(
      ProcessOptions{{LEAFGATE_CLI, "watch", "--json", "--since", "1h", "--url", cli.redis.url()},
                     {},
                     dir / "output"});
  const auto lines = [&] {
    std::vector<Json> out;
    std::istringstream input(read_file(dir / "output"));
    for (std::string line; std::getline(input, line);)
      out.push_back(Json::parse(line, nullptr, false));
    return out;
  };
  REQUIRE(eventually([&] { return lines().size() == 1; }));
  cli.run({"cert", "activate", dev1.certificate});
  cli.redis.cli({"XADD", "leafgate:events", "*", "kind", "refused", "stream", "forged", "reason",
                 "unknown_certificate"});
  REQUIRE(eventually([&] { return lines().size() == 3; }));
  watch.signal(SIGINT);

  CHECK(watch.wait(std::chrono::seconds(10)) == 0);
  const auto seen = lines();
  CHECK(seen[0]["to"] == "pending");
  CHECK(seen[1]["to"] == "active");
  CHECK(seen[2]["stream"] == "events");
  CHECK(seen[2]["kind"] == "refused");
}

TEST_CASE("watch shows one stream when only that is wanted", "[cli][look]") {
  const Cli cli;
  const TempDir dir;
  cli.run({"device", "block", "dev1"});
  cli.redis.cli({"XADD", "leafgate:events", "*", "kind", "ended", "reason", "x\x1b[31m y"});
  Process watch(ProcessOptions{
      {LEAFGATE_CLI, "watch", "--only", "events", "--since", "1h", "--url", cli.redis.url()},
      {},
      dir / "output"});

  REQUIRE(eventually([&] { return read_file(dir / "output").find('\n') != std::string::npos; }));
  watch.signal(SIGTERM);
  CHECK(watch.wait(std::chrono::seconds(10)) == 0);
  const std::string output = read_file(dir / "output");
  CHECK_THAT(output, ContainsSubstring("events  kind=ended reason=\"x\\x1b[31m y\""));
  CHECK_THAT(output, !ContainsSubstring("block:device"));
}
