// SPDX-License-Identifier: Apache-2.0
#include "admin/access.h"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <utility>

#include "admin/output.h"
#include "admin/text.h"

namespace leafgate::admin {
namespace {

constexpr std::string_view kDefaultUrl = "redis://127.0.0.1:6379";
// Keys a SCAN step looks at. A step of this size holds Redis up for well under a millisecond.
constexpr std::string_view kScanCount = "1000";

std::string user_at_host() {
  const uid_t uid = geteuid();
  const passwd* entry = getpwuid(uid);
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) host[0] = '\0';

  std::string text = entry != nullptr ? entry->pw_name : "uid-" + std::to_string(uid);
  text += '@';
  text += host.data();
  return text.substr(0, registry::kValueBytesMax);
}

Result<void> check_length(std::string_view option, std::string_view value) {
  if (value.size() <= registry::kValueBytesMax) return {};
  return Error{ErrorKind::kInvalid, std::string(option) + ": longer than " +
                                        std::to_string(registry::kValueBytesMax) + " bytes"};
}

std::string environment(const char* name) {
  const char* const value = std::getenv(name);
  return value == nullptr ? "" : value;
}

Result<registry::Endpoint> add_tls(const CommonOptions& options, bool from_config,
                                   registry::Endpoint endpoint) {
  registry::Tls tls = endpoint.tls.value_or(registry::Tls());
  const auto take = [from_config](std::string& file, const std::string& option, const char* name) {
    if (!option.empty()) file = option;
    if (file.empty() && !from_config) file = environment(name);
  };
  take(tls.ca_file, options.tls_ca, "LEAFGATE_TLS_CA");
  take(tls.cert_file, options.tls_cert, "LEAFGATE_TLS_CERT");
  take(tls.key_file, options.tls_key, "LEAFGATE_TLS_KEY");
  const bool asked = !(options.tls_ca + options.tls_cert + options.tls_key).empty();
  // The environment may be meant for other servers than this one. A url with sentinels does not say
  // whether it means TLS: having files for it does.
  const bool meant = endpoint.sentinels && tls != registry::Tls();
  if (!endpoint.tls && !asked && !meant) return endpoint;
  auto secured = registry::with_tls(std::move(endpoint), std::move(tls));
  return secured ? secured : with_context("--tls-ca, --tls-cert, --tls-key", secured.error());
}

Result<registry::Endpoint> resolve_endpoint(const CommonOptions& options,
                                            const std::optional<config::Config>& config) {
  registry::Endpoint endpoint;
  const bool from_config = options.url.empty() && config;
  if (from_config) {
    endpoint = config->registry.endpoint;
  } else {
    std::string url = options.url;
    if (url.empty()) url = environment("LEAFGATE_REDIS_URL");
    if (url.empty()) url = kDefaultUrl;
    Result<registry::Endpoint> parsed = registry::parse_endpoint(url);
    if (!parsed) return with_context("--url", parsed.error());
    endpoint = parsed.value();
  }
  // A login belongs to a server: what --config says of its own must not go to another --url.
  if (!options.username.empty()) endpoint.username = options.username;
  if (!options.password_file.empty()) endpoint.password_file = options.password_file;
  if (!endpoint.username.empty() && endpoint.password_file.empty()) {
    return Error{
        ErrorKind::kInvalid,
        "a Redis user has no effect without a password: name its file with --password-file"};
  }
  return add_tls(options, from_config, std::move(endpoint));
}

}  // namespace

Result<Settings> resolve(const CommonOptions& options) {
  Settings settings;
  if (!options.config.empty()) {
    Result<config::Config> loaded = config::load(options.config);
    if (!loaded) return loaded.error();
    settings.config.emplace(std::move(loaded).value());
  }

  Result<registry::Endpoint> endpoint = resolve_endpoint(options, settings.config);
  if (!endpoint) return endpoint.error();
  settings.endpoint = endpoint.value();

  std::string prefix = options.prefix;
  if (prefix.empty() && settings.config) prefix = settings.config->registry.prefix;
  if (prefix.empty()) prefix = registry::kDefaultPrefix;
  if (!registry::is_prefix(prefix)) {
    return Error{
        ErrorKind::kInvalid,
        "--prefix: `" + prefix + "`: write letters, digits and ._:{}-, with a `:` at the end"};
  }
  settings.schema = registry::Schema(prefix);

  const Result<std::chrono::milliseconds> timeout = parse_duration(options.timeout);
  if (!timeout) return with_context("--timeout", timeout.error());
  if (timeout.value().count() == 0)
    return Error{ErrorKind::kInvalid, "--timeout: must be longer than nothing"};
  settings.timeout = timeout.value();

  settings.by = options.by.empty() ? user_at_host() : options.by;
  settings.note = options.note;
  if (const auto checked = check_length("--by", settings.by); !checked) return checked.error();
  if (const auto checked = check_length("--note", settings.note); !checked) return checked.error();
  return settings;
}

Result<Access> Access::open(const CommonOptions& options) {
  Result<Settings> settings = resolve(options);
  if (!settings) return settings.error();
  Result<registry::Client> client =
      registry::Client::connect(settings.value().endpoint, settings.value().timeout);
  if (!client) return client.error();
  return Access(std::move(settings).value(), std::move(client).value());
}

Result<registry::Reply> Access::ask(const registry::Command& command) {
  Result<registry::Reply> reply = client_.call(command);
  if (reply && reply.value().is_error()) return registry::to_error(reply.value());
  return reply;
}

Result<policy::Rules> Access::rules() {
  const Result<registry::Reply> meta = ask({"HGET", schema().meta(), "device_id"});
  if (!meta) return meta.error();
  const auto recorded = meta.value().text();

  if (settings_.config) {
    const std::string ours = config::device_id_rule(settings_.config->rules);
    if (recorded && *recorded != ours) {
      print_warning("the registry's device-id rule is `" + std::string(*recorded) +
                    "`, --config says `" + ours +
                    "`: brokers and tools must agree; see `leafgate registry init --change-rule`");
    }
    return settings_.config->rules;
  }
  return rules_from_text(recorded ? std::string(*recorded) : "cn");
}

Result<Access::ScanPage> Access::scan_page(const std::string& cursor, const std::string& pattern) {
  const Result<registry::Reply> reply =
      ask({"SCAN", cursor, "MATCH", pattern, "COUNT", std::string(kScanCount)});
  if (!reply) return reply.error();
  const registry::Reply& page = reply.value();
  if (page.size() != 2 || !page[0].text()) {
    return Error{ErrorKind::kInternal, "redis answered SCAN in a form nobody knows"};
  }

  ScanPage out{std::string(*page[0].text()), {}};
  const registry::Reply keys = page[1];
  out.keys.reserve(keys.size());
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if (const auto key = keys[i].text()) out.keys.emplace_back(*key);
  }
  return out;
}

Result<policy::Rules> rules_from_text(const std::string& device_id_rule) {
  const std::size_t colon = device_id_rule.find(':');
  const std::string source = device_id_rule.substr(0, colon);
  policy::RulesSpec spec;
  if (colon != std::string::npos) spec.strip_prefix = device_id_rule.substr(colon + 1);
  for (const auto candidate : {policy::IdentitySource::kCommonName, policy::IdentitySource::kSanUri,
                               policy::IdentitySource::kSanDns}) {
    if (source != policy::to_string(candidate)) continue;
    spec.identity = candidate;
    return policy::Rules::make(std::move(spec));
  }
  return Error{ErrorKind::kInvalid,
               "`" + device_id_rule +
                   "` is not a device-id rule: write `cn`, `san_uri` or `san_dns`, and a "
                   "prefix to strip after a colon, e.g. `san_uri:urn:device:`"};
}

}  // namespace leafgate::admin
