// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>

#include "config/yaml_reader.h"
#include "policy/topics.h"
#include "registry/schema.h"

namespace leafgate::config {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kWithoutCertificateMax = 64;

// The configuration's words for policy's enumerators.
constexpr Word<policy::Mode> kModes[] = {{"enforce", policy::Mode::kEnforce},
                                         {"report", policy::Mode::kReport}};
constexpr Word<policy::Then> kThens[] = {{"accept", policy::Then::kAccept},
                                         {"defer", policy::Then::kDefer}};
constexpr Word<policy::IdentitySource> kSources[] = {{"cn", policy::IdentitySource::kCommonName},
                                                     {"san_uri", policy::IdentitySource::kSanUri},
                                                     {"san_dns", policy::IdentitySource::kSanDns}};
constexpr Word<policy::ClientIdRule> kClientIds[] = {
    {"must_equal_device", policy::ClientIdRule::kMustEqualDevice},
    {"device_or_suffix", policy::ClientIdRule::kDeviceOrSuffix},
    {"any", policy::ClientIdRule::kAny}};
constexpr Word<policy::UnknownCertificate> kUnknowns[] = {
    {"refuse", policy::UnknownCertificate::kRefuse},
    {"report", policy::UnknownCertificate::kReport}};
constexpr Word<policy::CertificateInUse> kInUses[] = {
    {"allow", policy::CertificateInUse::kAllow},
    {"report", policy::CertificateInUse::kReport},
    {"refuse", policy::CertificateInUse::kRefuse}};
enum class OnDataLoss : std::uint8_t { kHold, kDeny };
constexpr Word<OnDataLoss> kOnDataLoss[] = {{"hold", OnDataLoss::kHold},
                                            {"deny", OnDataLoss::kDeny}};
constexpr Word<WhenStale> kWhenStales[] = {{"serve", WhenStale::kServe},
                                           {"refuse_new", WhenStale::kRefuseNew},
                                           {"disconnect", WhenStale::kDisconnect}};

// The host name, made a broker name.
std::string default_broker_name() {
  std::array<char, 256> buffer{};
  if (gethostname(buffer.data(), buffer.size() - 1) != 0) return "broker";
  std::string name(buffer.data());
  name.resize(std::min<std::size_t>(name.size(), 64));
  for (char& c : name) {
    if (!registry::is_broker_name({&c, 1})) c = '-';
  }
  return name.empty() ? "broker" : name;
}

std::string read_broker(YamlMapping& root) {
  auto name = root.text("broker");
  if (name.empty()) return default_broker_name();
  if (!registry::is_broker_name(name)) {
    root.fail("broker", "not a broker name: allowed: 1 to 64 of A-Z a-z 0-9 . _ -");
  }
  return name;
}

registry::Tls read_tls(YamlMapping section) {
  registry::Tls tls;
  tls.ca_file = section.text("ca_file");
  tls.cert_file = section.text("cert_file");
  tls.key_file = section.text("key_file");
  tls.server_name = section.text("server_name");
  section.finish();
  return tls;
}

struct Login {
  std::string username;
  std::string password_file;
};

// Without a password nobody logs in: Redis would see the `default` user and not the one named.
Login read_login(YamlMapping& section) {
  Login login{section.text("username"), section.text("password_file")};
  if (!login.username.empty() && login.password_file.empty())
    section.fail("username",
                 "has no effect without `password_file`: name the file of its password");
  return login;
}

void read_sentinel(YamlMapping& registry, registry::Endpoint& endpoint) {
  if (registry.node("sentinel") == nullptr) return;
  if (!endpoint.sentinels) {
    registry.fail("sentinel", "needs a `url` that starts with `redis-sentinel://`");
    return;
  }
  auto section = registry.mapping("sentinel");
  auto login = read_login(section);
  section.finish();
  endpoint.sentinels->username = std::move(login.username);
  endpoint.sentinels->password_file = std::move(login.password_file);
}

registry::Endpoint read_endpoint(YamlMapping& section) {
  const auto url = section.text("url", registry::Endpoint{}.text());
  auto parsed = registry::parse_endpoint(url);
  if (!parsed) {
    section.fail("url", parsed.error().message);
    return {};
  }
  auto endpoint = std::move(parsed).value();
  if (!endpoint.username.empty())
    section.fail("url", "a user has no effect there: name it in `registry.username`");
  auto login = read_login(section);
  endpoint.username = std::move(login.username);
  endpoint.password_file = std::move(login.password_file);
  read_sentinel(section, endpoint);
  const auto tls = read_tls(section.mapping("tls"));
  if (section.node("tls") == nullptr) return endpoint;
  auto secured = registry::with_tls(endpoint, tls);
  if (secured) return std::move(secured).value();
  section.fail("tls", secured.error().message);
  return endpoint;
}

RegistryConfig read_registry(YamlMapping section) {
  RegistryConfig config;
  if (section.node("password") != nullptr) {
    section.fail("password",
                 "a password in this file shows in backups and repositories: put it into "
                 "a file of mode 0600 and name that in `password_file`");
  }
  config.endpoint = read_endpoint(section);
  config.prefix = section.text("prefix", std::string(registry::kDefaultPrefix));
  if (!registry::is_prefix(config.prefix)) {
    section.fail("prefix",
                 "not a key prefix: allowed: up to 64 of A-Z a-z 0-9 . _ : { } - with `:` at "
                 "the end");
  }
  config.wait_at_start = section.duration("wait_at_start", config.wait_at_start, milliseconds(0),
                                          std::chrono::minutes(5));
  config.hold_on_data_loss =
      section.choice("on_data_loss", OnDataLoss::kHold, kOnDataLoss) == OnDataLoss::kHold;
  config.snapshot = section.text("snapshot");
  const bool is_file = config.snapshot.starts_with('/') && !config.snapshot.ends_with('/');
  if (!config.snapshot.empty() && !is_file) {
    section.fail("snapshot",
                 "not the path of a file: allowed: e.g. /var/lib/mosquitto/leafgate.snapshot");
  }
  section.finish();
  return config;
}

Freshness read_freshness(YamlMapping section) {
  Freshness freshness;
  // The registry's own pulse comes each second: a shorter limit would refuse in normal operation.
  const auto staleness = section.duration("max_staleness", freshness.max_staleness, seconds(3),
                                          std::chrono::hours(24 * 365));
  freshness.max_staleness = std::chrono::floor<seconds>(staleness);
  freshness.when_stale = section.choice("when_stale", freshness.when_stale, kWhenStales);
  section.finish();
  return freshness;
}

void read_device_id(YamlMapping section, policy::RulesSpec& spec) {
  spec.identity = section.choice("from", spec.identity, kSources);
  spec.strip_prefix = section.text("strip_prefix");
  if (spec.strip_prefix.size() > policy::kStripPrefixMax) {
    section.fail("strip_prefix",
                 "longer than " + std::to_string(policy::kStripPrefixMax) + " bytes");
  }
  section.finish();
}

void read_admission(YamlMapping section, policy::RulesSpec& spec) {
  spec.mode = section.choice("mode", spec.mode, kModes);
  spec.then = section.choice("then", spec.then, kThens);
  read_device_id(section.mapping("device_id"), spec);
  spec.client_id = section.choice("client_id", spec.client_id, kClientIds);
  spec.unknown_certificate =
      section.choice("unknown_certificate", spec.unknown_certificate, kUnknowns);
  spec.certificate_in_use = section.choice("certificate_in_use", spec.certificate_in_use, kInUses);
  spec.reserved_names = section.texts("reserved_names", policy::kReservedNamesMax);
  spec.min_rsa_bits = static_cast<int>(section.integer(
      "min_rsa_bits", spec.min_rsa_bits, policy::kMinRsaBitsFloor, policy::kMinRsaBitsCeiling));
  section.finish();
}

std::vector<policy::TopicPattern> read_patterns(YamlMapping& section, std::string_view key) {
  std::vector<policy::TopicPattern> patterns;
  for (const auto& text : section.texts(key, policy::kTopicFiltersMax)) {
    auto pattern = policy::TopicPattern::compile(text);
    if (!pattern) {
      section.fail(key, pattern.error().message);
      return {};
    }
    patterns.push_back(std::move(pattern).value());
  }
  return patterns;
}

policy::TopicRule read_topic_rule(YamlMapping item) {
  item.require("allow", "allow: {publish: [FILTER], subscribe: [FILTER]}");
  auto allow = item.mapping("allow");
  policy::TopicRule rule{read_patterns(allow, "publish"), read_patterns(allow, "subscribe")};
  if (rule.publish.empty() && rule.subscribe.empty()) {
    item.fail("allow",
              "allows nothing: add filters to `publish` or `subscribe`, or remove the rule");
  }
  allow.finish();
  item.finish();
  return rule;
}

void read_topics(YamlMapping& root, policy::RulesSpec& spec) {
  constexpr const char* kAllowed = "a list | defer | any";
  root.require("topics", kAllowed);
  const auto* written = root.node("topics");
  if (written == nullptr) return;
  if (written->kind == YamlNode::Kind::kList) {
    for (auto& item : root.mappings("topics", policy::kTopicRulesMax)) {
      spec.topic_rules.push_back(read_topic_rule(std::move(item)));
    }
  } else if (written->scalar == "defer") {
    spec.topics = policy::TopicMode::kDefer;
  } else if (written->scalar == "any") {
    spec.topics = policy::TopicMode::kAny;
  } else {
    root.fail("topics", std::string("must be one of: ") + kAllowed);
  }
}

// The address in the one form that the broker reports; nullopt when it is none.
std::optional<std::string> canonical_address(const std::string& text) {
  std::array<char, INET6_ADDRSTRLEN> canonical{};
  for (const int family : {AF_INET, AF_INET6}) {
    std::array<unsigned char, sizeof(in6_addr)> bytes{};
    if (inet_pton(family, text.c_str(), bytes.data()) != 1) continue;
    if (inet_ntop(family, bytes.data(), canonical.data(), canonical.size()) == nullptr) break;
    return std::string(canonical.data());
  }
  return std::nullopt;
}

std::vector<WithoutCertificate> read_without_certificate(YamlMapping& root) {
  std::vector<WithoutCertificate> clients;
  for (auto& item : root.mappings("without_certificate", kWithoutCertificateMax)) {
    item.require("username", "the name the client sends");
    item.require("address", "a numeric IPv4 or IPv6 address");
    auto username = item.text("username");
    const auto address = item.text("address");
    auto canonical = canonical_address(address);
    if (!canonical) item.fail("address", "not a numeric address: allowed: e.g. 127.0.0.1 | ::1");
    clients.push_back({std::move(username), std::move(canonical).value_or("")});
    item.finish();
  }
  return clients;
}

// Closes a file descriptor when it goes.
struct Descriptor {
  int fd;
  explicit Descriptor(int opened) : fd(opened) {}
  ~Descriptor() {
    if (fd >= 0) close(fd);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
};

Error system_error(const std::string& path, const std::string& what, int code) {
  const auto kind = code == ENOENT ? ErrorKind::kNotFound : ErrorKind::kUnreachable;
  return {kind, path + ": " + what + ": " + std::generic_category().message(code)};
}

Result<std::string> read_whole(const std::string& path) {
  // O_NONBLOCK: opening a FIFO by mistake must not hang the broker.
  const Descriptor file(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd < 0) return system_error(path, "cannot open", errno);
  struct stat status {};
  if (fstat(file.fd, &status) != 0) return system_error(path, "cannot open", errno);
  if (!S_ISREG(status.st_mode)) return Error{ErrorKind::kInvalid, path + ": not a regular file"};
  std::string text;
  std::array<char, 65536> buffer{};
  while (text.size() <= kYamlBytesMax) {
    const auto got = read(file.fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_error(path, "cannot read", errno);
    if (got == 0) break;
    text.append(buffer.data(), static_cast<std::size_t>(got));
  }
  return text;  // a text past the limit is refused by read_yaml()
}

Result<Config> read_config(const YamlNode& tree, const std::string& name) {
  YamlProblems problems(name);
  YamlMapping root(tree, "", problems);
  policy::RulesSpec spec;
  auto broker = read_broker(root);
  auto registry = read_registry(root.mapping("registry"));
  const auto freshness = read_freshness(root.mapping("freshness"));
  read_admission(root.mapping("admission"), spec);
  read_topics(root, spec);
  auto without_certificate = read_without_certificate(root);
  root.finish();
  const auto outcome = problems.outcome();
  if (!outcome) return outcome.error();
  // A device of that name would inherit what the other plugin grants the user.
  for (const auto& client : without_certificate)
    spec.reserved_names.push_back(client.username);
  auto rules = policy::Rules::make(std::move(spec));
  if (!rules) return with_context(name, rules.error());
  return Config{std::move(broker), std::move(registry), freshness, std::move(rules).value(),
                std::move(without_certificate)};
}

}  // namespace

std::string_view to_string(WhenStale when_stale) {
  for (const auto& [word, value] : kWhenStales) {
    if (value == when_stale) return word;
  }
  return "";
}

Result<Config> parse(std::string_view yaml, const std::string& name) {
  const auto tree = read_yaml(yaml, name);
  if (!tree) return tree.error();
  return read_config(tree.value(), name);
}

Result<Config> load(const std::string& path) {
  const auto text = read_whole(path);
  if (!text) return text.error();
  return parse(text.value(), path);
}

std::string device_id_rule(const policy::Rules& rules) {
  const auto& spec = rules.spec();
  std::string rule(policy::to_string(spec.identity));
  if (!spec.strip_prefix.empty()) rule += ":" + spec.strip_prefix;
  return rule;
}

}  // namespace leafgate::config
