// SPDX-License-Identifier: Apache-2.0
// The main job: a device is in exactly while its certificate is active.
#include "tests/catch.h"
#include "tests/e2e/world.h"

namespace leafgate::test {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::system_clock;

World& world() {
  static World shared;
  return shared;
}

std::string issuer_key_id(const CertFiles& certificate) {
  const Ran said = run({"openssl", "x509", "-in", certificate.certificate, "-noout", "-ext",
                        "authorityKeyIdentifier"});
  std::string digits;
  // The first line names the extension, the second holds `keyid:` (3.0) or only the digits.
  for (const char c : said.out.substr(said.out.find('\n'))) {
    if (std::isdigit(static_cast<unsigned char>(c)) != 0 || (c >= 'A' && c <= 'F')) {
      digits += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    }
  }
  return digits;
}

std::string issuer_name_id(const CertFiles& ca, const TempDir& dir) {
  // The issuer's name, as DER, is the subject of the CA: asn1parse cuts it out. REQUIRES: the name
  // is canonical, in lower case and a UTF8String.
  const Ran parsed = run({"openssl", "asn1parse", "-in", ca.certificate});
  std::string offset;
  int sequences_at_depth_2 = 0;
  std::istringstream lines(parsed.out);
  // tbsCertificate: algorithm, issuer, validity, subject are its SEQUENCEs, in this order (RFC 5280
  // §4.1).
  for (std::string line; std::getline(lines, line);) {
    if (line.find(":d=2 ") == std::string::npos && line.find("d=2 ") == std::string::npos) continue;
    if (line.find("SEQUENCE") == std::string::npos) continue;
    if (++sequences_at_depth_2 == 4) {
      offset = line.substr(0, line.find(':'));
      break;
    }
  }
  offset.erase(0, offset.find_first_not_of(' '));
  const std::string der = dir / "subject.der";
  run({"openssl", "asn1parse", "-in", ca.certificate, "-strparse", offset, "-noout", "-out", der});
  const Ran digest = run({"openssl", "dgst", "-sha256", "-r", der});
  return "name-" + digest.out.substr(0, 64);
}

TEST_CASE("a device whose certificate nobody registered is refused, whatever its CA", "[e2e]") {
  const CertFiles certificate = world().device("unknown1", "");
  for (const int version : {4, 5}) {
    ConnectOptions options = world().options(certificate, "unknown1");
    options.version = version;
    MqttClient client;

    CHECK(client.connect(options) == Connected::kRefused);
    CHECK(client.connack_code() == (version == 5 ? kNotAuthorized : kNotAuthorizedV4));
  }
  CHECK(world().gave_reason(certificate, "unknown_certificate"));
}

TEST_CASE("messages flow between devices whose certificates are active", "[e2e]") {
  MqttClient sender = world().connected(world().device("flow1"), "flow1");
  MqttClient receiver = world().connected(world().device("flow2"), "flow2");

  REQUIRE(receiver.subscribe("flow/#", 1) == 1);

  CHECK(flows(sender, receiver, "flow/here"));
}

TEST_CASE("deactivating a certificate ends its session and refuses the next; activating admits it",
          "[e2e]") {
  const CertFiles certificate = world().device("switch1");
  MqttClient client = world().connected(certificate, "switch1");

  world().set_state(certificate, "inactive");
  REQUIRE(client.ended());
  CHECK(client.disconnect_code() == kAdministrativeAction);
  CHECK(world().attempt(certificate, "switch1") == Connected::kRefused);
  CHECK(world().gave_reason(certificate, "inactive"));

  world().set_state(certificate, "active");
  MqttClient again = world().connected(certificate, "switch1");
  CHECK(again.ping());
}

TEST_CASE("only the states active and retiring admit", "[e2e]") {
  const CertFiles certificate = world().device("states1");
  for (const std::string state : {"pending", "inactive", "retired", "revoked", "Active", "active ",
                                  "", "retiring", "no such state"}) {
    world().connected(certificate, "states1").disconnect();
    INFO("`" << state << "`");

    world().set_state(certificate, state);
    world().settle();

    CHECK(world().attempt(certificate, "states1") == Connected::kRefused);
    world().set_state(certificate, "active");
  }
}

TEST_CASE("no state brings a certificate back whose record says when it was revoked", "[e2e]") {
  const CertFiles certificate = world().device("revoked1");
  MqttClient client = world().connected(certificate, "revoked1");

  world().set(certificate, {"state", "revoked", "revoked_at", in_seconds(0)});
  REQUIRE(client.ended());
  world().set_state(certificate, "active");
  world().settle();

  CHECK(world().attempt(certificate, "revoked1") == Connected::kRefused);
  CHECK(world().gave_reason(certificate, "revoked"));
}

TEST_CASE("every way to take a record away ends the session", "[e2e]") {
  const CertFiles certificate = world().device("taken1");
  const std::string key = World::key(certificate);
  const std::vector<std::vector<std::string>> ways = {
      {"DEL", key},           {"UNLINK", key},
      {"HDEL", key, "state"}, {"RENAME", key, "elsewhere"},
      {"SET", key, "active"}, {"EVAL", "redis.call('DEL', KEYS[1])", "1", key},
      {"PEXPIRE", key, "1"},  {"FLUSHDB"},
      {"FLUSHALL", "ASYNC"},
  };
  for (const std::vector<std::string>& way : ways) {
    INFO(way.front());
    world().redis.cli({"DEL", key});
    world().set(certificate, {"state", "active", "device", "taken1"});
    MqttClient client = world().connected(certificate, "taken1");

    world().redis.cli(way);

    CHECK(client.ended());
    CHECK(world().attempt(certificate, "taken1") == Connected::kRefused);
  }
}

TEST_CASE("blocking a device ends its session whichever certificate it came with", "[e2e]") {
  const CertFiles certificate = world().device("block1");
  const CertFiles other = world().device("block1");
  MqttClient client = world().connected(certificate, "block1");

  world().redis.cli({"HSET", "leafgate:block:device:block1", "note", "stolen"});
  REQUIRE(client.ended());
  CHECK(world().attempt(certificate, "block1") == Connected::kRefused);
  CHECK(world().attempt(other, "block1") == Connected::kRefused);
  CHECK(world().gave_reason(certificate, "device_blocked"));

  world().redis.cli({"DEL", "leafgate:block:device:block1"});
  CHECK(world().connected(other, "block1").ping());
}

TEST_CASE("a block with `before` refuses the certificates that were valid earlier, and only those",
          "[e2e]") {
  CertSpec old_spec;
  old_spec.not_before = "-2d";
  const CertFiles old_certificate = world().device("before1", "active", old_spec);
  const CertFiles new_certificate = world().device("before1");
  MqttClient client = world().connected(old_certificate, "before1");

  const auto yesterday = system_clock::now() - std::chrono::hours(24);
  world().redis.cli({"HSET", "leafgate:block:device:before1", "before", unix_seconds(yesterday)});

  REQUIRE(client.ended());
  CHECK(world().attempt(old_certificate, "before1") == Connected::kRefused);
  CHECK(world().connected(new_certificate, "before1").ping());
}

TEST_CASE("blocking an issuer by key id or by name ends every session of its certificates",
          "[e2e]") {
  const TempDir dir;
  const CertFiles certificate = world().device("issuer1");
  const Pki same_name("test ca");  // but for its case
  for (const std::string& id : {issuer_key_id(certificate), issuer_name_id(same_name.ca(), dir)}) {
    INFO(id);
    MqttClient client = world().connected(certificate, "issuer1");

    world().redis.cli({"HSET", "leafgate:block:issuer:" + id, "note", "key stolen"});
    CHECK(client.ended());
    CHECK(world().attempt(certificate, "issuer1") == Connected::kRefused);

    world().redis.cli({"DEL", "leafgate:block:issuer:" + id});
  }
  CHECK(world().gave_reason(certificate, "issuer_blocked"));
  CHECK(world().connected(certificate, "issuer1").ping());
}

TEST_CASE("a session ends when its certificate does", "[e2e]") {
  CertSpec spec;
  spec.not_after = "+3s";
  const auto not_after = system_clock::now() + seconds(3);
  const CertFiles certificate = world().device("short1", "active", spec);
  MqttClient client = world().connected(certificate, "short1");

  REQUIRE(client.ended(seconds(20)));

  // Issued at most a second before, and valid through the last second.
  CHECK(system_clock::now() >= not_after - seconds(1));
  CHECK(world().gave_reason(certificate, "certificate_expired"));
}

TEST_CASE("a retiring certificate admits until its retire_at and not after", "[e2e]") {
  const CertFiles certificate = world().device("retire1");
  MqttClient client = world().connected(certificate, "retire1");
  const auto retire_at = std::chrono::ceil<seconds>(system_clock::now() + seconds(1));

  world().set(certificate, {"state", "retiring", "retire_at", unix_seconds(retire_at)});
  CHECK(world().connected(certificate, "retire1").ping());  // takes over
  CHECK(client.ended());
  MqttClient last = world().connected(certificate, "retire1");

  REQUIRE(last.ended(seconds(20)));
  CHECK(system_clock::now() >= retire_at);
  CHECK(world().attempt(certificate, "retire1") == Connected::kRefused);
  CHECK(world().gave_reason(certificate, "retired"));
}

TEST_CASE("a key's own time to live ends the session, whether or not Redis has removed it yet",
          "[e2e]") {
  const CertFiles certificate = world().device("ttl1");
  MqttClient client = world().connected(certificate, "ttl1");

  world().redis.cli({"PEXPIRE", World::key(certificate), "1200"});
  world().settle();
  CHECK(client.ping());

  CHECK(client.ended(seconds(20)));
  CHECK(world().attempt(certificate, "ttl1") == Connected::kRefused);
}

TEST_CASE("a certificate that is not yet valid or too weak is refused although it is active",
          "[e2e]") {
  CertSpec early;
  early.not_before = "+1h";
  CertSpec server;
  server.extended_key_usage = "serverAuth";

  // OpenSSL refuses both in the handshake; the plugin never sees them.
  CHECK(world().attempt(world().device("early1", "active", early), "early1") ==
        Connected::kTlsFailed);
  CHECK(world().attempt(world().device("usage1", "active", server), "usage1") ==
        Connected::kTlsFailed);
}

}  // namespace
}  // namespace leafgate::test
