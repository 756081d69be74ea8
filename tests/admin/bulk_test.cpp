// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <csignal>
#include <sstream>

#include "tests/admin/cli.h"
#include "tests/catch.h"

using namespace leafgate::test;

namespace {

std::string csv(const std::vector<std::string>& fingerprints) {
  std::string out = "fingerprint,device,not_after\n";
  int i = 0;
  for (const std::string& fingerprint : fingerprints) {
    out += fingerprint + ",dev" + std::to_string(++i) + ",2035-01-01\n";
  }
  return out;
}

}  // namespace

TEST_CASE("ten thousand certificates are imported from CSV, and again without a change",
          "[cli][bulk]") {
  const Cli cli;
  const TempDir dir;
  write_file(dir / "fleet.csv", csv(made_up_fingerprints(10'000)));

  const Ran first = cli.run({"cert", "import", "--from", dir / "fleet.csv", "--activate"});
  CHECK(first.status == 0);
  CHECK(first.out == "imported 10000, unchanged 0, failed 0\n");
  CHECK(cli.redis.cli({"ZCARD", "leafgate:index:device"}) == "10000");
  CHECK(cli.redis.cli({"XLEN", "leafgate:log"}) == "10000");

  const Ran again = cli.run({"cert", "import", "--from", dir / "fleet.csv", "--activate"});
  CHECK(again.status == 0);
  CHECK(again.out == "imported 0, unchanged 10000, failed 0\n");
  CHECK(cli.redis.cli({"XLEN", "leafgate:log"}) == "10000");
}

TEST_CASE("each line that fails is reported by file and line, the others are done", "[cli][bulk]") {
  const Cli cli;
  const TempDir dir;
  const auto fingerprints = made_up_fingerprints(3);
  write_file(dir / "list.csv", "fingerprint,device\n" + fingerprints[0] + ",dev1\nnonsense,dev2\n" +
                                   fingerprints[1] + ",a/b\n" + fingerprints[2] + ",dev4\n");

  const Ran ran =
      cli.run({"cert", "import", "--from", dir / "list.csv", "--errors", dir / "errors"});
  CHECK(ran.status == 1);
  CHECK(ran.out == "imported 2, unchanged 0, failed 2\n");
  const std::string errors = read_file(dir / "errors");
  CHECK(std::count(errors.begin(), errors.end(), '\n') == 2);
  CHECK_THAT(errors, ContainsSubstring((dir / "list.csv") + ":3: `nonsense`"));
  CHECK_THAT(errors, ContainsSubstring((dir / "list.csv") + ":4: `a/b`"));
}

TEST_CASE("without an error file the first failures are told, and how many more there are",
          "[cli][bulk]") {
  const Cli cli;
  std::string list;
  for (int i = 0; i < 50; ++i)
    list += "nonsense\n";
  const Ran ran = cli.run({"cert", "activate", "--from", "-"}, list);

  CHECK(ran.status == 2);
  CHECK_THAT(ran.err, ContainsSubstring("stdin:20: "));
  CHECK_THAT(ran.err, !ContainsSubstring("stdin:21: "));
  CHECK_THAT(ran.err, ContainsSubstring("30 more failures"));
}

TEST_CASE("a folder and a bundle of certificates are imported and activated", "[cli][bulk]") {
  const Cli cli;
  const TempDir dir;
  const CertFiles dev1 = device("dev1");
  const CertFiles dev2 = device("dev2");
  write_file(dir / "bundle.pem", read_file(dev1.certificate) + read_file(dev2.certificate));

  CHECK(cli.run({"cert", "import", "--from", dir.path().string()}).out ==
        "imported 2, unchanged 0, failed 0\n");
  CHECK(cli.run({"cert", "activate", "--from", dir / "bundle.pem"}).out ==
        "activated 2, unchanged 0, failed 0\n");
  CHECK(cli.field(dev1.fingerprint, "state") == "active");
  CHECK(cli.field(dev2.fingerprint, "state") == "active");
}

TEST_CASE("a list that disagrees with the certificate about the device is refused", "[cli][bulk]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  const Ran ran =
      cli.run({"cert", "import", "--from", "-"}, "file,device\n" + dev1.certificate + ",dev2\n");

  CHECK(ran.status == 2);
  CHECK_THAT(ran.err,
             ContainsSubstring("the list says device `dev2`, the certificate says `dev1`"));
}

TEST_CASE("certificates that brokers reported are adopted when they are named or all are confirmed",
          "[cli][bulk]") {
  const Cli cli;
  const auto fingerprints = made_up_fingerprints(3);
  for (const std::string& fingerprint : fingerprints) {
    cli.redis.cli({"XADD", "leafgate:events", "*", "kind", "unknown", "broker", "gateway-1",
                   "fingerprint", fingerprint, "device", "dev" + fingerprint.substr(63), "serial",
                   "0a", "not_after", "2000000000"});
  }
  cli.redis.cli(
      {"XADD", "leafgate:events", "*", "kind", "refused", "fingerprint", std::string(64, 'f')});

  const Ran shown = cli.run({"cert", "import", "--from-events"});
  CHECK(shown.status == 0);
  CHECK_THAT(shown.out, ContainsSubstring(fingerprints[2]));
  CHECK_THAT(shown.out, !ContainsSubstring("ffff"));
  CHECK(cli.redis.cli({"EXISTS", "leafgate:cert:" + fingerprints[0]}) == "0");

  CHECK(cli.run({"cert", "import", "--from-events", fingerprints[1], "--activate"}).status == 0);
  CHECK(cli.field(fingerprints[1], "state") == "active");
  CHECK(cli.field(fingerprints[1], "device") == "dev2");
  const Ran rest = cli.run({"cert", "import", "--from-events", "--yes"});
  CHECK_THAT(rest.out, ContainsSubstring("imported 2, unchanged 0, failed 0"));
  CHECK(cli.run({"cert", "import", "--from-events", std::string(64, 'f')}).status == 3);
}

TEST_CASE("what a broker reports is checked like any other input", "[cli][bulk]") {
  const Cli cli;
  const std::string fingerprint = made_up_fingerprints(1)[0];
  cli.redis.cli({"XADD", "leafgate:events", "*", "kind", "unknown", "fingerprint", fingerprint,
                 "device", "a/b\x1b[31m"});
  cli.redis.cli({"XADD", "leafgate:events", "*", "kind", "unknown", "fingerprint", "../../etc",
                 "device", "dev1"});

  const Ran shown = cli.run({"cert", "import", "--from-events"});
  CHECK(shown.out.find('\x1b') == std::string::npos);
  CHECK(cli.run({"cert", "import", "--from-events", "--yes"}).status == 2);
  CHECK(cli.redis.cli({"EXISTS", "leafgate:cert:" + fingerprint}) == "0");
}

TEST_CASE("an interrupted run ends between two chunks with its summary, and can go on",
          "[cli][bulk]") {
  const Cli cli;
  const TempDir dir;
  write_file(dir / "fleet.csv", csv(made_up_fingerprints(20'000)));
  const std::vector<std::string> argv = {LEAFGATE_CLI,      "cert",  "import",       "--from",
                                         dir / "fleet.csv", "--url", cli.redis.url()};
  Process process(ProcessOptions{argv, {}, dir / "output"});
  REQUIRE(eventually([&] { return cli.redis.cli({"EXISTS", "leafgate:meta"}) == "1"; }));
  process.signal(SIGINT);

  const auto status = process.wait(std::chrono::seconds(20));
  REQUIRE(status);
  CHECK(*status == 1);
  const std::string output = read_file(dir / "output");
  CHECK_THAT(output, ContainsSubstring("interrupted"));
  int imported = 0;
  std::istringstream(output.substr(output.find("imported ") + 9)) >> imported;
  CHECK(imported > 0);
  CHECK(imported < 20'000);
  CHECK(cli.redis.cli({"ZCARD", "leafgate:index:device"}) == std::to_string(imported));

  const auto rest = cli.json({"cert", "import", "--from", dir / "fleet.csv"});
  CHECK(rest["summary"]["unchanged"] == imported);
  CHECK(rest["summary"]["applied"] == 20'000 - imported);
  CHECK(rest["results"].size() == 1000);
  CHECK(rest["results_complete"] == false);
}
