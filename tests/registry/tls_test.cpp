// SPDX-License-Identifier: Apache-2.0
// Redis over TLS: who is trusted, what is said to those who are not, and what the line may do.
#include <sys/stat.h>

#include <filesystem>

#include "registry/connection.h"
#include "tests/catch.h"
#include "tests/registry/sync_fixture.h"
#include "tests/registry/torn_line.h"
#include "tests/support/tls_redis.h"

using namespace leafgate;
using namespace leafgate::test;
using registry::Client;
using registry::Command;
using registry::Endpoint;
using registry::Schema;
using registry::SyncState;
using std::chrono::seconds;

namespace {

const Schema kSchema;
const policy::Fingerprint kA = fingerprint(1);
const std::string kKeyA = kSchema.cert(kA);

registry::SyncOptions options(const TlsRedis& redis) {
  registry::SyncOptions options = Watcher::options(redis.server);
  options.endpoint = redis.endpoint();
  return options;
}

Error refusal(const Endpoint& endpoint, milliseconds timeout = seconds(10)) {
  const auto client = Client::connect(endpoint, timeout);
  REQUIRE_FALSE(client.ok());
  CHECK_THAT(client.error().message, ContainsSubstring(endpoint.text()));
  return client.error();
}

bool connects(const Endpoint& endpoint) {
  auto client = Client::connect(endpoint);
  INFO((client ? "" : client.error().message));
  CHECK(client.ok());
  return client && client.value().call({"PING"}).value().text() == "PONG";
}

CertSpec server_spec() {
  CertSpec spec;
  spec.cn = "redis";
  spec.san = {"IP:127.0.0.1", "DNS:localhost"};
  spec.extended_key_usage = "serverAuth";
  return spec;
}

}  // namespace

TEST_CASE("a replica kept over TLS is what Redis holds, also while it changes", "[tls][sync]") {
  TlsRedis redis;
  fill(redis.server, 10'000);
  Watcher watcher(options(redis));
  REQUIRE(watcher.live());
  CHECK(watcher.replica.size() == 10'000);

  redis.server.cli({"hset", kKeyA, "state", "revoked"});
  CHECK(watcher.sees(kA, "revoked"));
  std::vector<Command> commands;
  for (std::uint64_t i = 0; i < 5000; ++i) {
    commands.push_back({"HSET", kSchema.cert(fingerprint(2 * i)), "state", "inactive"});
  }
  Client client = redis.server.client();
  REQUIRE(client.pipeline(commands).ok());

  REQUIRE(watcher.settled());
  CHECK(differences(redis.server, watcher.replica) == "");
  CHECK(watcher.sync.status().repairs == 0);
}

// Not both at once: Redis 7.0 itself breaks off a TLS session whose client does not read for long
// ("bad length" in its log).
TEST_CASE("more than any buffer holds goes there and comes back", "[tls]") {
  TlsRedis redis;
  auto client = Client::connect(redis.endpoint());
  REQUIRE(client.ok());
  const auto value = [](int i) { return std::string(200'000, 'a') + std::to_string(i); };
  std::vector<Command> commands;
  for (int i = 0; i < 200; ++i)
    commands.push_back({"SET", std::to_string(i), value(i)});

  const auto replies = client.value().pipeline(commands);

  INFO((replies ? "" : replies.error().message));
  REQUIRE(replies.ok());
  for (int i = 0; i < 200; ++i)
    REQUIRE(client.value().call({"GET", std::to_string(i)}).value().text() == value(i));
}

TEST_CASE("a certificate of another CA is refused, with what to check", "[tls]") {
  TlsRedis redis;
  const Pki stranger("another CA");
  Endpoint endpoint = redis.endpoint();
  endpoint.tls->ca_file = stranger.ca_file();

  const Error error = refusal(endpoint);

  CHECK(error.kind == ErrorKind::kRefused);
  CHECK_THAT(error.message, ContainsSubstring("ca_file must hold the CA that issued it"));
  Watcher watcher([&] {
    registry::SyncOptions wrong = options(redis);
    wrong.endpoint = endpoint;
    return wrong;
  }());
  CHECK(eventually([&] { return !watcher.sync.status().last_error.empty(); }));
  CHECK_THAT(watcher.sync.status().last_error, ContainsSubstring("certificate"));
  CHECK_FALSE(watcher.sync.status().ever_synced);
}

TEST_CASE("the system's CAs do not know a private one", "[tls]") {
  TlsRedis redis;
  Endpoint endpoint = redis.endpoint();
  endpoint.tls->ca_file.clear();
  CHECK_THAT(refusal(endpoint).message, ContainsSubstring("ca_file"));
}

TEST_CASE("a certificate for another name is refused, whatever its CA", "[tls]") {
  TlsRedis redis;
  CertSpec spec = server_spec();
  spec.san = {"DNS:redis.example", "IP:127.0.0.2"};
  redis.present(redis.pki.issue(spec));
  Endpoint endpoint = redis.endpoint();

  CHECK_THAT(refusal(endpoint).message,
             ContainsSubstring("IP address mismatch") && ContainsSubstring("set server_name"));
  endpoint.tls->server_name = "other.example";
  CHECK_THAT(refusal(endpoint).message, ContainsSubstring("hostname mismatch"));
  endpoint.tls->server_name = "redis.example";
  CHECK(connects(endpoint));
  endpoint.tls->server_name = "127.0.0.2";
  CHECK(connects(endpoint));
}

#if !defined(__SANITIZE_THREAD__)  // see registry/resolve.h
TEST_CASE("a host name is looked up and then looked for in the certificate", "[tls]") {
  TlsRedis redis;
  Endpoint endpoint = redis.endpoint();
  endpoint.host = "localhost";
  CHECK(connects(endpoint));
}
#endif

TEST_CASE("a certificate outside its validity is refused, with what to do", "[tls]") {
  TlsRedis redis;
  CertSpec spec = server_spec();
  SECTION("expired") {
    spec.not_before = "-2d";
    spec.not_after = "-1d";
    redis.present(redis.pki.issue(spec));
    CHECK_THAT(refusal(redis.endpoint()).message,
               ContainsSubstring("has expired") && ContainsSubstring("renew it"));
  }
  SECTION("not yet valid") {
    spec.not_before = "+1d";
    redis.present(redis.pki.issue(spec));
    CHECK_THAT(refusal(redis.endpoint()).message,
               ContainsSubstring("not yet valid") && ContainsSubstring("clock"));
  }
}

TEST_CASE("a server that wants a client's certificate gets ours, or is understood", "[tls]") {
  TlsRedis redis("yes");
  const std::string protocol = GENERATE("TLSv1.2", "TLSv1.3");
  INFO(protocol);
  REQUIRE(redis.server.cli({"config", "set", "tls-protocols", protocol}) == "OK");
  Endpoint endpoint = redis.endpoint();

  const Error none = refusal(endpoint);
  CHECK(none.kind == ErrorKind::kRefused);
  CHECK_THAT(none.message, ContainsSubstring("client certificate"));

  Pki stranger("another CA");
  const CertFiles wrong = stranger.issue({});
  endpoint.tls->cert_file = wrong.certificate;
  endpoint.tls->key_file = wrong.key;
  CHECK_THAT(refusal(endpoint).message,
             ContainsSubstring("does not accept our client certificate"));

  const CertFiles right = redis.pki.issue({});
  endpoint.tls->cert_file = right.certificate;
  endpoint.tls->key_file = right.key;
  CHECK(connects(endpoint));
}

TEST_CASE("TLS where there is none is told", "[tls]") {
  TlsRedis redis;
  Endpoint endpoint = redis.endpoint();
  endpoint.port = static_cast<std::uint16_t>(redis.server.port());
  // Redis waits for the end of a command that never comes.
  CHECK_THAT(refusal(endpoint, milliseconds(300)).message, ContainsSubstring("speaks TLS"));

  // One connection too many is told so before anything is read.
  const Client first = redis.server.client();
  redis.server.cli({"config", "set", "maxclients", "1"});
  CHECK_THAT(refusal(endpoint).message, ContainsSubstring("no TLS is spoken there"));
}

TEST_CASE("a file that is of no use is named, and never waited for", "[tls]") {
  TlsRedis redis;
  TempDir dir;
  Endpoint endpoint = redis.endpoint();
  const CertFiles right = redis.pki.issue({});
  const CertFiles other = redis.pki.issue({});
  endpoint.tls->cert_file = right.certificate;
  endpoint.tls->key_file = right.key;
  std::string bad;
  SECTION("missing") {
    bad = endpoint.tls->ca_file = dir / "missing.crt";
  }
  SECTION("not in PEM") {
    bad = endpoint.tls->cert_file = dir / "garbage.crt";
    write_file(bad, "garbage");
  }
  SECTION("of another certificate") {
    bad = endpoint.tls->key_file = other.key;
  }
  SECTION("a FIFO that nobody writes") {
    bad = endpoint.tls->ca_file = dir / "fifo";
    REQUIRE(::mkfifo(bad.c_str(), 0600) == 0);
  }
  SECTION("a key that needs a passphrase") {
    bad = endpoint.tls->key_file = dir / "locked.key";
    REQUIRE(run({"openssl", "pkcs8", "-topk8", "-in", right.key, "-out", bad, "-passout",
                 "pass:secret"})
                .status == 0);
  }

  const Error error = refusal(endpoint);

  CHECK(error.kind == ErrorKind::kInvalid);
  CHECK_THAT(error.message, ContainsSubstring(bad));
}

TEST_CASE("bytes that come one by one are a handshake and a session like any other", "[tls]") {
  TlsRedis redis;
  fill(redis.server, 20);
  TornLine line(redis.port, 1 << 30, TornLine::End::kSilence);
  registry::SyncOptions torn = options(redis);
  torn.endpoint.port = static_cast<std::uint16_t>(line.port());
  Watcher watcher(torn);
  REQUIRE(watcher.live());
  redis.server.cli({"hset", kKeyA, "state", "revoked"});
  CHECK(watcher.sees(kA, "revoked"));
  REQUIRE(watcher.settled());
  CHECK(differences(redis.server, watcher.replica) == "");
}

TEST_CASE("a handshake that stops is given up, wherever it stops", "[tls]") {
  TlsRedis redis;
  const std::size_t bytes = GENERATE(1U, 5U, 100U, 1000U);
  INFO(bytes << " bytes");
  Endpoint endpoint = redis.endpoint();
  SECTION("in silence") {
    TornLine line(redis.port, bytes, TornLine::End::kSilence);
    endpoint.port = static_cast<std::uint16_t>(line.port());
    const Error error = refusal(endpoint, milliseconds(300));
    CHECK(error.kind == ErrorKind::kUnreachable);
    CHECK_THAT(error.message, ContainsSubstring("does not answer"));
  }
  SECTION("with an end") {
    TornLine line(redis.port, bytes, TornLine::End::kHalf);
    endpoint.port = static_cast<std::uint16_t>(line.port());
    const Error error = refusal(endpoint);
    CHECK(error.kind == ErrorKind::kUnreachable);
    CHECK_THAT(error.message, ContainsSubstring("closed the connection"));
  }
  SECTION("under a sync, which can be stopped meanwhile") {
    TornLine line(redis.port, bytes, TornLine::End::kSilence);
    registry::SyncOptions impatient = options(redis);
    impatient.endpoint.port = static_cast<std::uint16_t>(line.port());
    impatient.answer_deadline = milliseconds(200);
    Watcher watcher(impatient);
    CHECK(eventually([&] {
      return watcher.sync.status().last_error.find("does not answer") != std::string::npos;
    }));
  }
}

TEST_CASE("a session that is ended in one direction only is left and made anew", "[tls][sync]") {
  TlsRedis redis;
  fill(redis.server, 20);
  // Enough for a handshake, a scan and some beats.
  TornLine line(redis.port, 12'000, TornLine::End::kHalf);
  registry::SyncOptions half = options(redis);
  half.endpoint.port = static_cast<std::uint16_t>(line.port());
  Watcher watcher(half);
  REQUIRE(watcher.live());

  CHECK(eventually([&] { return watcher.sync.status().connects >= 2; }, seconds(60)));

  redis.server.cli({"hset", kKeyA, "state", "revoked"});
  CHECK(watcher.sees(kA, "revoked"));
  CHECK_THAT(watcher.log(), ContainsSubstring("closed the connection"));
}

TEST_CASE("writing to a TLS peer that is gone is an error and not a signal", "[tls]") {
  TlsRedis redis;
  registry::Connection connection(redis.endpoint());
  REQUIRE(eventually([&] { return !connection.progress().ok() || connection.ready(); }));
  REQUIRE(connection.ready());
  redis.server.kill();

  // SIGPIPE, as it is by default, would end this test binary.
  CHECK(eventually([&] {
    return !connection.send({"SET", "key", std::string(100'000, 'x')}).ok() ||
           !connection.progress().ok();
  }));
}

TEST_CASE("certificates are read at each connect, so that all of them can be replaced",
          "[tls][sync]") {
  TlsRedis redis("yes");
  fill(redis.server, 500);
  Pki next("the next CA");
  TempDir dir;
  const auto link = [&dir](const std::string& name, const std::string& target) {
    std::filesystem::create_symlink(target, dir / "new");
    std::filesystem::rename(dir / "new", dir / name);
  };
  CertFiles ours = redis.pki.issue({});
  link("ca", redis.pki.ca_file());
  link("cert", ours.certificate);
  link("key", ours.key);
  registry::SyncOptions rotating = options(redis);
  rotating.endpoint.tls = registry::Tls{dir / "ca", dir / "cert", dir / "key", ""};
  Watcher watcher(rotating);
  REQUIRE(watcher.live());

  redis.server.cli({"config", "set", "tls-ca-cert-file", next.ca_file()});
  redis.present(next.server());
  redis.server.cli({"client", "kill", "type", "normal"});
  REQUIRE(eventually([&] { return watcher.sync.status().state != SyncState::kLive; }));
  redis.server.cli({"hset", kKeyA, "state", "revoked"});
  REQUIRE(eventually(
      [&] { return watcher.sync.status().last_error.find("certificate") != std::string::npos; }));
  ours = next.issue({});
  link("ca", next.ca_file());
  link("cert", ours.certificate);
  link("key", ours.key);

  CHECK(watcher.sees(kA, "revoked"));
  REQUIRE(watcher.settled());
  CHECK(differences(redis.server, watcher.replica) == "");
}
