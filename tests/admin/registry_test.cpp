// SPDX-License-Identifier: Apache-2.0
// Backup, restore and what a person decides after a loss.
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <sstream>

#include "tests/admin/cli.h"
#include "tests/catch.h"

using namespace leafgate::test;

namespace {

const std::string kHeld(32, 'a');
const std::string kOther(32, 'b');
const std::string kFp(64, '1');

std::vector<std::string> lines_of(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);)
    lines.push_back(line);
  std::sort(lines.begin(), lines.end());
  return lines;
}

// Every hash and index with its time to live; of meta what a restore keeps.
std::map<std::string, std::string> content(const Cli& cli) {
  std::map<std::string, std::string> all;
  for (const std::string& key : lines_of(cli.redis.cli({"--no-raw", "KEYS", "*"}))) {
    const std::string name = key.substr(key.find('"') + 1, key.rfind('"') - key.find('"') - 1);
    if (name == "leafgate:log") continue;
    const std::string type = cli.redis.cli({"TYPE", name});
    std::string text = type == "hash" ? cli.redis.cli({"--no-raw", "HGETALL", name})
                                      : cli.redis.cli({"ZRANGE", name, "0", "-1", "WITHSCORES"});
    if (name == "leafgate:meta") text = cli.redis.cli({"HMGET", name, "id", "device_id", "format"});
    if (type == "hash" && name != "leafgate:meta") {
      // Redis keeps no order of fields: compare them by name.
      text.clear();
      for (const std::string& field : lines_of(cli.redis.cli({"HKEYS", name})))
        text += field + "=" + cli.redis.cli({"--no-raw", "HGET", name, field}) + "\n";
    }
    all[name] = text + "|" + cli.redis.cli({"PEXPIRETIME", name});
  }
  return all;
}

void fill(const Cli& cli) {
  REQUIRE(cli.run({"registry", "init"}).status == 0);
  const CertFiles dev1 = device("dev1");
  REQUIRE(cli.run({"cert", "import", dev1.certificate, device("dev2").certificate, "--activate"})
              .status == 0);
  REQUIRE(cli.run({"cert", "revoke", dev1.fingerprint, "--note", "größer"}).status == 0);
  REQUIRE(cli.run({"device", "block", "dev3"}).status == 0);
  REQUIRE(cli.run({"device", "block", "dev4", "--before", "now"}).status == 0);
  cli.redis.cli({"HSET", "leafgate:block:issuer:0a", "note", "\xff\xfe \x1b[2J"});
  cli.redis.cli({"PEXPIREAT", "leafgate:block:issuer:0a", "4102444800123"});
  // With a version, because a record without one is in the indexes from its restore on.
  cli.redis.cli({"HSET", "leafgate:cert:" + kFp, "state", "odd", "\x80", "x", "version", "900"});
}

void broker_says(const Cli& cli, const std::string& name, const std::string& held,
                 const std::string& absent, const std::string& regressions) {
  cli.redis.cli({"HSET", "leafgate:broker:" + name, "sync", "live", "held_id", held, "absent_held",
                 absent, "regressions", regressions});
}

std::string backup(const std::string& records, const std::string& counts) {
  return R"({"kind":"backup","format":1,"prefix":"leafgate:","id":null,"at":1795000000})"
         "\n" +
         records + R"({"kind":"end","counts":)" + counts + "}\n";
}

const std::string kOneCert = R"({"log":0,"cert":1,"device_block":0,"issuer_block":0,"meta":0})";

std::string cert(const std::string& fields, const std::string& id = kFp) {
  return R"({"kind":"cert","id":")" + id + R"(","fields":)" + fields + "}\n";
}

}  // namespace

TEST_CASE("a backup brings back what was lost, field by field", "[cli][registry]") {
  const Cli cli;
  const TempDir dir;
  fill(cli);
  const auto before = content(cli);
  REQUIRE(before.size() == 10);  // 3 records, 3 blocks, 3 indexes, meta
  const std::string log = cli.redis.cli({"XRANGE", "leafgate:log", "-", "+"});
  const std::string file = dir / "backup.jsonl";

  REQUIRE(cli.run({"registry", "export", "--log", "--out", file}).status == 0);
  struct stat status {};
  REQUIRE(stat(file.c_str(), &status) == 0);
  CHECK((status.st_mode & 0777U) == 0600U);
  cli.redis.cli({"FLUSHALL"});
  REQUIRE(cli.run({"registry", "import", file, "--dry-run"}).status == 0);
  CHECK(cli.redis.cli({"DBSIZE"}) == "0");
  const Ran ran = cli.run({"registry", "import", file});

  INFO(ran.out << ran.err);
  CHECK(ran.status == 0);
  CHECK(content(cli) == before);
  CHECK(cli.redis.cli({"XRANGE", "leafgate:log", "-", "+"}).starts_with(log));
  CHECK(std::stoi(cli.redis.cli({"HGET", "leafgate:meta", "seq"})) > 900);

  const std::string entries = cli.redis.cli({"XLEN", "leafgate:log"});
  const Ran again = cli.run({"registry", "import", "-"}, read_file(file));
  CHECK(again.status == 0);
  CHECK_THAT(again.out, ContainsSubstring("restored 0, unchanged 7, failed 0"));
  CHECK(cli.redis.cli({"XLEN", "leafgate:log"}) == entries);
}

TEST_CASE("an import never alters a record, and a revoked one least of all", "[cli][registry]") {
  const Cli cli;
  const TempDir dir;
  const CertFiles dev1 = device("dev1");
  cli.run({"registry", "init"});
  cli.run({"cert", "import", dev1.certificate, "--activate"});
  cli.run({"registry", "export", "--out", dir / "backup"});
  cli.run({"cert", "revoke", dev1.fingerprint});

  const Ran ran = cli.run({"registry", "import", dir / "backup"});

  CHECK(ran.status == 1);
  CHECK_THAT(ran.err, ContainsSubstring("backup:2: ") && ContainsSubstring("never alters"));
  CHECK(cli.field(dev1.fingerprint, "state") == "revoked");
}

TEST_CASE("of a backup with a fault nothing is written, and the line is named", "[cli][registry]") {
  const Cli cli;
  const auto check = [&cli](const std::string& text, const std::string& message) {
    const Ran ran = cli.run({"registry", "import", "-"}, text);
    INFO(text.substr(0, 300) << "\n" << ran.err.substr(0, 600));
    CHECK(ran.status == 2);
    CHECK_THAT(ran.err, ContainsSubstring(message));
    CHECK(ran.err.size() < 2000);
    CHECK(cli.redis.cli({"DBSIZE"}) == "0");
  };
  const std::string good = cert(R"({"state":"active"})");
  check("", "not whole");
  check("hello\n", "input:1: this is not a backup");
  check(good, "input:1: this is not a backup");
  check(backup("", kOneCert), "input:2: the counts");
  check(backup(good + good, kOneCert), "the counts");
  check(backup(good, kOneCert) + good, "input:4: a line behind");
  const std::string whole = backup(good, kOneCert);
  check(whole.substr(0, whole.size() - 5), "input:3: ");
  check(whole.substr(0, whole.find("{\"kind\":\"end\"")), "not whole");
  for (const auto& [line, message] : std::vector<std::pair<std::string, std::string>>{
           {"{\"kind\":\n", "input:2: not a JSON object"},
           {"[]\n", "input:2: not a JSON object"},
           {std::string(500000, '[') + "\n", "input:2: not a JSON object"},
           {std::string((1U << 20U) + 1, 'x') + "\n", "input:2: longer than 1048576 bytes"},
           {R"({"kind":"pulse"})"
            "\n",
            "unknown `kind` `pulse`"},
           {cert(R"({"state":"active"},"x":1)"), "unknown key `x`"},
           {cert(R"({"state":1})"), "field `state`"},
           {cert(R"({"state":{"base64":"x"}})"), "not base64"},
           {cert(R"([["state","active"],["state","revoked"]])"), "there twice"},
           {cert(R"([["state"]])"), "pairs"},
           {cert("{}"), "no fields"},
           {cert("7"), "`fields`"},
           {cert(R"({"state":")" + std::string(4097, 'x') + "\"}"), "more than 4096 bytes"},
           {cert(R"({"state":"active"})", std::string(64, 'A')), "64 lower-case hex digits"},
           {cert(R"({"state":"active"},"expire_at_ms":-1)"), "`expire_at_ms`"},
           {R"({"kind":"log","id":"99999999999999-0","fields":{"a":"b"}})"
            "\n",
            "from the future"},
           {R"({"kind":"device_block","id":"a/b","fields":{"a":"b"}})"
            "\n",
            "not a device id"},
           {R"({"kind":"issuer_block","id":"0A","fields":{"a":"b"}})"
            "\n",
            "not an issuer id"},
       })
    check(backup(line, kOneCert), message);
  CHECK(cli.run({"registry", "import", "./none"}).status == 3);
}

TEST_CASE("an export to a place that cannot be written says so and leaves nothing",
          "[cli][registry]") {
  const Cli cli;
  const TempDir dir;
  CHECK(cli.run({"registry", "export", "--out", dir / "none/backup"}).status == 2);
  cli.redis.cli({"HSET", "leafgate:cert:" + kFp, "note", std::string(5000, 'x')});
  const Ran ran = cli.run({"registry", "export", "--out", dir / "backup"});
  CHECK(ran.status == 1);
  CHECK_THAT(ran.err, ContainsSubstring("more than 4096 bytes"));
  CHECK(cli.run({"registry", "import", dir / "backup"}).status == 3);
}

TEST_CASE("a person confirms what brokers hold back", "[cli][registry]") {
  const Cli cli;
  const Ran nothing = cli.run({"registry", "confirm", "--yes"});
  CHECK(nothing.status == 1);
  CHECK_THAT(nothing.err, ContainsSubstring("nothing to confirm"));

  broker_says(cli, "gateway-1", kHeld, "12", "0");
  const Ran unasked = cli.run({"registry", "confirm"});
  CHECK(unasked.status == 2);
  CHECK_THAT(unasked.err, ContainsSubstring("--yes"));
  const Ran dry = cli.run({"registry", "confirm", "--dry-run"});
  CHECK(dry.status == 0);
  CHECK_THAT(dry.out, ContainsSubstring(kHeld) && ContainsSubstring("12"));
  CHECK(cli.redis.cli({"EXISTS", "leafgate:meta"}) == "0");

  const Json document = cli.json({"registry", "confirm", "--yes"});
  CHECK(document["replaces"] == kHeld);
  CHECK(document["brokers"][0]["absent_held"] == 12);
  CHECK(cli.redis.cli({"HGET", "leafgate:meta", "replaces"}) == kHeld);
  CHECK(cli.redis.cli({"HGET", "leafgate:meta", "id"}) == document["id"]);
  CHECK(cli.redis.cli({"HGET", "leafgate:meta", "confirmed"}) == "1");
}

TEST_CASE("brokers that remember different data sets need a decision", "[cli][registry]") {
  const Cli cli;
  broker_says(cli, "gateway-1", kHeld, "1", "0");
  broker_says(cli, "gateway-2", kOther, "2", "0");

  const Ran ran = cli.run({"registry", "confirm", "--yes"});
  CHECK(ran.status == 2);
  CHECK_THAT(ran.err, ContainsSubstring("gateway-1 " + kHeld) &&
                          ContainsSubstring("gateway-2 " + kOther) &&
                          ContainsSubstring("--replaces"));
  CHECK(cli.run({"registry", "confirm", "--yes", "--replaces", "x"}).status == 2);
  CHECK(cli.run({"registry", "confirm", "--yes", "--replaces", kOther}).status == 0);
  CHECK(cli.redis.cli({"HGET", "leafgate:meta", "replaces"}) == kOther);
}

TEST_CASE("status says what a broker holds back", "[cli][registry]") {
  const Cli cli;
  broker_says(cli, "gateway-1", kHeld, "12", "3");

  const Ran ran = cli.run({"status"});
  CHECK_THAT(ran.out, ContainsSubstring("gateway-1 is on HOLD") && ContainsSubstring(kHeld) &&
                          ContainsSubstring("12 records") &&
                          ContainsSubstring("refuses 3 certificates"));
  CHECK(cli.json({"status"})["brokers"][0]["status"]["absent_held"] == 12);
}

TEST_CASE("nobody confirms unseen what a broker that still reads may keep", "[cli][registry]") {
  const Cli cli;
  broker_says(cli, "gateway-1", "", "0", "1");
  cli.redis.cli({"HSET", "leafgate:broker:gateway-2", "sync", "syncing"});

  const Ran refused = cli.run({"registry", "confirm", "--yes"});
  CHECK(refused.status == 1);
  CHECK_THAT(refused.err, ContainsSubstring("gateway-2") && ContainsSubstring("--while-reading"));
  CHECK(cli.redis.cli({"HGET", "leafgate:meta", "confirmed"}).empty());
  CHECK_THAT(cli.run({"registry", "regressions"}).out,
             ContainsSubstring("gateway-2 still reads the registry"));
  CHECK(cli.json({"registry", "regressions"})["still_reading"][0] == "gateway-2");
  CHECK(cli.run({"registry", "confirm", "--dry-run"}).status == 0);

  CHECK(cli.run({"registry", "confirm", "--yes", "--while-reading"}).status == 0);
  CHECK(cli.redis.cli({"HGET", "leafgate:meta", "confirmed"}) == "1");
}

TEST_CASE("regressions are listed until somebody decides", "[cli][registry]") {
  const Cli cli;
  const CertFiles dev1 = device("dev1");
  const CertFiles dev2 = device("dev2");
  cli.run({"cert", "import", dev1.certificate, dev2.certificate, "--activate"});
  for (const CertFiles& files : {dev1, dev2}) {
    cli.redis.cli({"XADD", "leafgate:events", "*", "kind", "regressed", "broker", "gateway-1",
                   "key", "cert:" + files.fingerprint, "held", "revoked", "registry", "active"});
  }
  CHECK(cli.json({"registry", "regressions"})["regressions"].size() == 2);

  cli.run({"cert", "revoke", dev1.fingerprint});
  const Json left = cli.json({"registry", "regressions"})["regressions"];
  REQUIRE(left.size() == 1);
  CHECK(left[0]["device"] == "dev2");
  CHECK(left[0]["broker"] == "gateway-1");
  CHECK(left[0]["held"] == "revoked");
  const Ran ran = cli.run({"registry", "regressions"});
  CHECK_THAT(ran.out, ContainsSubstring("dev2") && ContainsSubstring("leafgate cert revoke"));

  // It was away when two others were written, and goes on refusing them.
  broker_says(cli, "gateway-1", "", "0", "3");
  const Json more = cli.json({"registry", "regressions"})["unlisted"];
  CHECK(more == Json::parse(R"([{"broker": "gateway-1", "count": 2}])"));
  CHECK_THAT(cli.run({"registry", "regressions"}).out,
             ContainsSubstring("gateway-1 refuses 2 that are not listed"));

  REQUIRE(cli.run({"registry", "confirm", "--yes"}).status == 0);
  CHECK(cli.json({"registry", "regressions"})["regressions"].empty());
  CHECK_FALSE(ContainsSubstring("no regressions").match(cli.run({"registry", "regressions"}).out));
}
