// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "config/yaml_reader.h"
#include "registry/schema.h"
#include "tests/catch.h"

namespace leafgate::config {
namespace {

using namespace std::chrono_literals;

Config good(const std::string& yaml) {
  const auto config = parse(yaml, "f.yaml");
  INFO((config ? "" : config.error().message));
  REQUIRE(config.ok());
  return config.value();
}

std::string refusal(const std::string& yaml) {
  const auto config = parse(yaml, "f.yaml");
  REQUIRE_FALSE(config.ok());
  CHECK(config.error().kind == ErrorKind::kInvalid);
  CHECK(config.error().message.find('\n') == std::string::npos);
  return config.error().message;
}

const std::string kWhole = R"(
broker: gateway-1
registry:
  url: redis://127.0.0.2:6380/3
  username: leafgate-broker
  password_file: /etc/leafgate/redis-password
  prefix: "plant7:"
  wait_at_start: 500ms
  on_data_loss: deny
freshness: {max_staleness: 2h, when_stale: serve}
admission:
  mode: report
  then: defer
  device_id: {from: san_uri, strip_prefix: "urn:device:"}
  client_id: device_or_suffix
  unknown_certificate: report
  certificate_in_use: refuse
  reserved_names: [admin, exporter]
  min_rsa_bits: 3072
topics:
  - allow: {publish: ["devices/{device}/#"], subscribe: ["devices/{device}/cmd/#", "broadcast/#"]}
  - allow: {subscribe: ["groups/{ou}/+"]}
without_certificate: [{username: exporter, address: 127.0.0.1}, {username: local, address: "0:0:0:0:0:0:0:1"}]
)";

TEST_CASE("every key of the configuration reaches its place", "[config]") {
  const auto config = good(kWhole);

  CHECK(config.broker == "gateway-1");
  CHECK(config.registry.endpoint.host == "127.0.0.2");
  CHECK(config.registry.endpoint.port == 6380);
  CHECK(config.registry.endpoint.database == 3);
  CHECK(config.registry.endpoint.username == "leafgate-broker");
  CHECK(config.registry.endpoint.password_file == "/etc/leafgate/redis-password");
  CHECK(config.registry.prefix == "plant7:");
  CHECK(config.registry.wait_at_start == 500ms);
  CHECK_FALSE(config.registry.hold_on_data_loss);
  CHECK(config.freshness.max_staleness == 2h);
  CHECK(config.freshness.when_stale == WhenStale::kServe);
  const auto& spec = config.rules.spec();
  CHECK(spec.mode == policy::Mode::kReport);
  CHECK(spec.then == policy::Then::kDefer);
  CHECK(spec.identity == policy::IdentitySource::kSanUri);
  CHECK(spec.strip_prefix == "urn:device:");
  CHECK(spec.client_id == policy::ClientIdRule::kDeviceOrSuffix);
  CHECK(spec.unknown_certificate == policy::UnknownCertificate::kReport);
  CHECK(spec.certificate_in_use == policy::CertificateInUse::kRefuse);
  CHECK(spec.min_rsa_bits == 3072);
  CHECK(spec.topics == policy::TopicMode::kList);
  REQUIRE(spec.topic_rules.size() == 2);
  REQUIRE(spec.topic_rules[0].subscribe.size() == 2);
  CHECK(spec.topic_rules[0].publish.at(0).text() == "devices/{device}/#");
  CHECK(spec.topic_rules[0].subscribe[1].text() == "broadcast/#");
  CHECK(spec.topic_rules[1].publish.empty());
  CHECK(config.rules.is_reserved("admin"));
  REQUIRE(config.without_certificate.size() == 2);
  CHECK(config.without_certificate[0].username == "exporter");
  CHECK(config.without_certificate[0].address == "127.0.0.1");
  CHECK(config.without_certificate[1].address == "::1");
}

TEST_CASE("what is not stated has the documented default", "[config]") {
  const auto config = good("topics: any");

  CHECK(registry::is_broker_name(config.broker));
  CHECK(config.registry.endpoint == registry::Endpoint{});
  CHECK(config.registry.prefix == registry::kDefaultPrefix);
  CHECK(config.registry.wait_at_start == 10s);
  CHECK(config.registry.hold_on_data_loss);
  CHECK(config.freshness.max_staleness == 1h);
  CHECK(config.freshness.when_stale == WhenStale::kRefuseNew);
  CHECK(config.without_certificate.empty());
  const auto& spec = config.rules.spec();
  CHECK(spec.mode == policy::Mode::kEnforce);
  CHECK(spec.then == policy::Then::kAccept);
  CHECK(spec.identity == policy::IdentitySource::kCommonName);
  CHECK(spec.client_id == policy::ClientIdRule::kMustEqualDevice);
  CHECK(spec.unknown_certificate == policy::UnknownCertificate::kRefuse);
  CHECK(spec.certificate_in_use == policy::CertificateInUse::kReport);
  CHECK(spec.min_rsa_bits == 2048);
}

TEST_CASE("topics must be stated, as a list, defer or any", "[config]") {
  CHECK(good("topics: any").rules.spec().topics == policy::TopicMode::kAny);
  CHECK(good("topics: defer").rules.spec().topics == policy::TopicMode::kDefer);
  CHECK(good("topics: []").rules.spec().topics == policy::TopicMode::kList);

  CHECK(refusal("broker: a") == "f.yaml:1: topics: must be stated: allowed: a list | defer | any");
  CHECK(refusal("") == "f.yaml:1: topics: must be stated: allowed: a list | defer | any");
  for (const auto* topics :
       {"topics:", "topics: all", "topics: {allow: {publish: [a]}}", "topics: ''"}) {
    INFO(topics);
    CHECK(refusal(topics) == "f.yaml:1: topics: must be one of: a list | defer | any");
  }
}

TEST_CASE("a topic rule that is wrong is refused with its place", "[config]") {
  CHECK_THAT(refusal("topics:\n  - allow: {publish: [a]}\n  - allow: {}"),
             ContainsSubstring("f.yaml:3: topics[1].allow: allows nothing"));
  CHECK_THAT(refusal("topics:\n  - {}"),
             ContainsSubstring("f.yaml:2: topics[0].allow: must be stated"));
  CHECK_THAT(refusal("topics:\n  - deny: {publish: [a]}"),
             ContainsSubstring("topics[0].allow: must be stated"));
  CHECK_THAT(refusal("topics:\n  - allow: {publish: [a]}\n    deny: 1"),
             ContainsSubstring("f.yaml:3: topics[0]: unknown key `deny`: allowed: allow"));
  CHECK_THAT(
      refusal("topics:\n  - allow: {publish: ['a/{dev}']}"),
      ContainsSubstring("f.yaml:2: topics[0].allow.publish:") && ContainsSubstring("`a/{dev}`"));
  CHECK_THAT(refusal("topics:\n  - allow: {publish: a}"), ContainsSubstring("must be a list"));
  CHECK_THAT(refusal("topics:\n  - allow: {publish: ['a#']}"),
             ContainsSubstring("not well-formed"));
}

TEST_CASE("unknown and duplicate keys are errors everywhere", "[config]") {
  CHECK(refusal("topics: any\nbrokr: x") ==
        "f.yaml:2: unknown key `brokr`: allowed: broker | registry | freshness | admission | "
        "topics | "
        "without_certificate");
  CHECK_THAT(refusal("topics: any\nadmission:\n  mood: enforce"),
             ContainsSubstring("f.yaml:3: admission: unknown key `mood`: allowed: mode | then | "));
  CHECK_THAT(refusal("topics: any\nregistry: {uri: x}"),
             ContainsSubstring("registry: unknown key `uri`"));
  CHECK_THAT(refusal("topics: any\nfreshness: {max: 1h}"),
             ContainsSubstring("freshness: unknown key `max`"));
  CHECK_THAT(refusal("topics: any\nadmission: {device_id: {field: cn}}"),
             ContainsSubstring("admission.device_id: unknown key `field`"));
  CHECK_THAT(
      refusal("topics: any\nwithout_certificate: [{username: a, address: 127.0.0.1, port: 1}]"),
      ContainsSubstring("without_certificate[0]: unknown key `port`"));
  CHECK_THAT(refusal("topics: any\n'<<': {broker: x}"), ContainsSubstring("unknown key `<<`"));
  CHECK(refusal("topics: any\ntopics: defer") == "f.yaml:2: topics: stated twice: remove one");
  CHECK_THAT(refusal("topics: any\nadmission: {mode: report, mode: enforce}"),
             ContainsSubstring("admission.mode: stated twice"));
}

TEST_CASE("TLS is what rediss:// asks for, and its files go with it", "[config]") {
  const auto bare = good("topics: any\nregistry: {url: 'rediss://h'}");
  CHECK(bare.registry.endpoint.tls == registry::Tls{});
  const auto whole = good(
      "topics: any\nregistry: {url: 'rediss://h', tls: {ca_file: /ca, cert_file: /c, key_file: /k, "
      "server_name: redis.example}}");
  CHECK(whole.registry.endpoint.tls == registry::Tls{"/ca", "/c", "/k", "redis.example"});

  CHECK_THAT(refusal("topics: any\nregistry:\n  tls: {ca_file: /ca}"),
             ContainsSubstring("f.yaml:3: registry.tls: TLS needs a url that starts with"));
  CHECK_THAT(refusal("topics: any\nregistry: {url: 'rediss://h', tls: {cert_file: /c}}"),
             ContainsSubstring("registry.tls: a client certificate needs both"));
  CHECK_THAT(refusal("topics: any\nregistry: {url: 'rediss://h', tls: {ca: /ca}}"),
             ContainsSubstring("registry.tls: unknown key `ca`: allowed: ca_file | cert_file"));
}

TEST_CASE("sentinels may want a log-in of their own, and TLS like Redis itself", "[config]") {
  const auto config = good(
      "topics: any\nregistry: {url: 'redis-sentinel://h,i:2/fleet?db=3', username: broker, "
      "password_file: /b, sentinel: {username: watcher, password_file: /s}, tls: {ca_file: /ca}}");
  const auto& endpoint = config.registry.endpoint;
  CHECK(endpoint.username == "broker");
  CHECK(endpoint.sentinels ==
        registry::Sentinels{{{"h", 26379}, {"i", 2}}, "fleet", "watcher", "/s"});
  CHECK(endpoint.tls->ca_file == "/ca");
  CHECK_FALSE(good("topics: any\nregistry: {url: 'redis-sentinel://h/fleet'}")
                  .registry.endpoint.tls.has_value());

  CHECK_THAT(refusal("topics: any\nregistry:\n  sentinel: {username: u}"),
             ContainsSubstring("f.yaml:3: registry.sentinel: needs a `url` that starts with"));
  CHECK_THAT(refusal("topics: any\nregistry: {url: 'redis-sentinel://h/s', sentinel: {user: u}}"),
             ContainsSubstring("registry.sentinel: unknown key `user`"));
}

TEST_CASE("a snapshot is a file with a whole path", "[config]") {
  CHECK(parse("topics: any", "f.yaml").value().registry.snapshot.empty());
  const auto config =
      parse("topics: any\nregistry: {snapshot: /var/lib/x/leafgate.snapshot}", "f.yaml");
  REQUIRE(config);
  CHECK(config.value().registry.snapshot == "/var/lib/x/leafgate.snapshot");
  for (const char* path : {"leafgate.snapshot", "./x", "/var/lib/x/"}) {
    CHECK_THAT(refusal(std::string("topics: any\nregistry: {snapshot: ") + path + "}"),
               ContainsSubstring("f.yaml:2: registry.snapshot: not the path of a file"));
  }
}

TEST_CASE("a password is refused wherever it is written", "[config]") {
  const auto key = refusal("topics: any\nregistry: {password: hunter2}");
  CHECK_THAT(key, ContainsSubstring("f.yaml:2: registry.password: ") &&
                      ContainsSubstring("password_file"));
  CHECK(key.find("hunter2") == std::string::npos);

  const auto url = refusal("topics: any\nregistry: {url: 'redis://u:hunter2@h:6379/0'}");
  CHECK_THAT(url, ContainsSubstring("f.yaml:2: registry.url: "));
  CHECK(url.find("hunter2") == std::string::npos);
}

TEST_CASE("a user that would not be logged in is an error", "[config]") {
  CHECK_THAT(
      refusal("topics: any\nregistry: {url: 'redis://broker@h', password_file: /p}"),
      ContainsSubstring("f.yaml:2: registry.url: ") && ContainsSubstring("`registry.username`"));
  CHECK_THAT(
      refusal("topics: any\nregistry:\n  username: broker"),
      ContainsSubstring("f.yaml:3: registry.username: ") && ContainsSubstring("`password_file`"));
  CHECK_THAT(
      refusal("topics: any\nregistry: {url: 'redis-sentinel://h/s', sentinel: {username: u}}"),
      ContainsSubstring("registry.sentinel.username: "));
}

TEST_CASE("words, numbers and durations out of range name what is allowed", "[config]") {
  struct Case {
    std::string yaml;
    std::string expected;
  };
  const std::vector<Case> cases = {
      {"admission: {mode: off}",
       "f.yaml:2: admission.mode: unknown value `off`: allowed: enforce | report"},
      {"admission: {then: ok}", "allowed: accept | defer"},
      {"admission: {client_id: x}", "allowed: must_equal_device | device_or_suffix | any"},
      {"admission: {unknown_certificate: x}", "allowed: refuse | report"},
      {"admission: {certificate_in_use: x}", "allowed: allow | report | refuse"},
      {"admission: {device_id: {from: ou}}",
       "admission.device_id.from: unknown value `ou`: allowed: cn | san_uri | san_dns"},
      {"admission: {device_id: {strip_prefix: " + std::string(57, 'a') + "}}",
       "longer than 56 bytes"},
      {"admission: {min_rsa_bits: 1024}", "allowed: 2048..16384"},
      {"admission: {reserved_names: admin}", "admission.reserved_names: must be a list"},
      {"admission: {reserved_names: ['']}", "admission.reserved_names[0]: must be one value"},
      {"freshness: {when_stale: panic}", "allowed: serve | refuse_new | disconnect"},
      {"freshness: {max_staleness: 2s}", "freshness.max_staleness: `2s` is out of range"},
      {"freshness: {max_staleness: 3600}",
       "is not a duration: allowed: 500ms | 10s | 5m | 1h | 2d"},
      {"registry: {on_data_loss: allow}", "registry.on_data_loss"},
      {"registry: {wait_at_start: 6m}", "registry.wait_at_start: `6m` is out of range"},
      {"registry: {prefix: nocolon}", "registry.prefix: not a key prefix"},
      {"registry: {prefix: 'a*:'}", "registry.prefix: not a key prefix"},
      {"registry: {url: 'http://x'}", "f.yaml:2: registry.url: "},
      {"broker: 'a b'", "f.yaml:2: broker: not a broker name"},
      {"broker: " + std::string(65, 'a'), "not a broker name"},
      {"without_certificate: [{username: a}]", "without_certificate[0].address: must be stated"},
      {"without_certificate: [{address: 127.0.0.1}]",
       "without_certificate[0].username: must be stated"},
      {"without_certificate: [{username: a, address: localhost}]", "not a numeric address"},
      {"without_certificate: [{username: a, address: 127.0.0.1/8}]", "not a numeric address"},
      {"without_certificate: {username: a}", "without_certificate: must be a list"},
  };
  for (const auto& c : cases) {
    INFO(c.yaml);
    CHECK_THAT(refusal("topics: any\n" + c.yaml), ContainsSubstring(c.expected));
  }
}

TEST_CASE("rules, filters and clients without certificate have limits", "[config]") {
  std::string rules = "topics:\n";
  for (std::size_t i = 0; i <= policy::kTopicRulesMax; ++i)
    rules += "  - allow: {publish: [a]}\n";
  CHECK_THAT(refusal(rules), ContainsSubstring("topics: more than 256 entries"));

  std::string filters = "topics:\n";
  for (int i = 0; i < 3; ++i) {
    filters += "  - allow: {publish: [a";
    for (int j = 0; j < 400; ++j)
      filters += ", a";
    filters += "]}\n";
  }
  CHECK_THAT(refusal(filters), ContainsSubstring("topics: more than 1024 filters"));

  std::string clients = "topics: any\nwithout_certificate:\n";
  for (int i = 0; i < 65; ++i)
    clients += "  - {username: a, address: 127.0.0.1}\n";
  CHECK_THAT(refusal(clients), ContainsSubstring("without_certificate: more than 64 entries"));
}

TEST_CASE("no certificate may claim the name of a client that comes without one", "[config]") {
  const auto config =
      good("topics: any\nwithout_certificate: [{username: exporter, address: '::1'}]");

  CHECK(config.rules.is_reserved("exporter"));
}

TEST_CASE("the device id rule is one short text", "[config]") {
  CHECK(device_id_rule(good("topics: any").rules) == "cn");
  CHECK(device_id_rule(good(kWhole).rules) == "san_uri:urn:device:");
  const auto longest = good("topics: any\nadmission: {device_id: {from: san_uri, strip_prefix: " +
                            std::string(56, 'a') + "}}");
  CHECK(device_id_rule(longest.rules).size() <= registry::kValueBytesMax);
}

// A file of its own, removed at the end.
class TemporaryFile {
 public:
  TemporaryFile() {
    const int fd = mkstemp(path_);
    REQUIRE(fd >= 0);
    close(fd);
  }
  ~TemporaryFile() { unlink(path_); }
  std::string path() const { return path_; }
  void write(const std::string& text) const { std::ofstream(path_, std::ios::binary) << text; }

 private:
  char path_[32] = "/tmp/leafgate-config-XXXXXX";
};

TEST_CASE("a file is read, and named in its errors", "[config]") {
  const TemporaryFile file;

  file.write(kWhole);
  CHECK(load(file.path()).ok());
  file.write("topics: any\nx: 1\n");
  const auto wrong = load(file.path());
  REQUIRE_FALSE(wrong.ok());
  CHECK_THAT(wrong.error().message, ContainsSubstring(file.path() + ":2: unknown key `x`"));
}

TEST_CASE("a file that is not there, not a file or too large is refused", "[config]") {
  const TemporaryFile file;
  unlink(file.path().c_str());

  const auto missing = load(file.path());
  REQUIRE_FALSE(missing.ok());
  CHECK(missing.error().kind == ErrorKind::kNotFound);
  CHECK_THAT(missing.error().message, ContainsSubstring(file.path()));

  const auto folder = load("/tmp");
  REQUIRE_FALSE(folder.ok());
  CHECK_THAT(folder.error().message, ContainsSubstring("/tmp: not a regular file"));

  REQUIRE(mkfifo(file.path().c_str(), 0600) == 0);
  const auto fifo = load(file.path());
  REQUIRE_FALSE(fifo.ok());
  CHECK_THAT(fifo.error().message, ContainsSubstring("not a regular file"));
  unlink(file.path().c_str());

  file.write("topics: any\n#" + std::string(kYamlBytesMax, 'x'));
  const auto large = load(file.path());
  REQUIRE_FALSE(large.ok());
  CHECK(large.error().kind == ErrorKind::kInvalid);
  CHECK_THAT(large.error().message, ContainsSubstring("larger than"));
}

}  // namespace
}  // namespace leafgate::config
