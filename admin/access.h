// SPDX-License-Identifier: Apache-2.0
// What a command needs of the world: where Redis is, which rules hold, who is asking; and the one
// connection. Blocking; one thread.
#pragma once

#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "admin/options.h"
#include "base/result.h"
#include "config/config.h"
#include "policy/rules.h"
#include "registry/client.h"
#include "registry/schema.h"
#include "registry/writer.h"

namespace leafgate::admin {

// The options resolved: command line over leafgate.yaml over the environment over defaults.
struct Settings {
  registry::Endpoint endpoint;
  registry::Schema schema;
  std::optional<config::Config> config;  // of --config
  std::chrono::milliseconds timeout{};
  std::string by;
  std::string note;
};

// kInvalid or kNotFound, naming the option or the file.
Result<Settings> resolve(const CommonOptions& options);

class Access {
 public:
  // resolve() and connect.
  static Result<Access> open(const CommonOptions& options);

  const Settings& settings() const { return settings_; }
  const registry::Schema& schema() const { return settings_.schema; }
  registry::Client& client() { return client_; }

  // The writer of this connection. Borrows from this object.
  registry::Writer writer(bool dry_run) { return {client_, settings_.schema, dry_run}; }

  // As Client::call(), with error replies as Errors.
  Result<registry::Reply> ask(const registry::Command& command);

  // The rules of --config, otherwise defaults with the device-id rule that `registry init`
  // recorded. Warns on standard error when both exist and differ.
  Result<policy::Rules> rules();

  // Calls `page` with the keys that match `pattern`, a batch at a time, each key once or more (that
  // is SCAN's promise), until `page` says false.
  template <typename Page>
  Result<void> scan(const std::string& pattern, Page&& page);

 private:
  Access(Settings settings, registry::Client client)
      : settings_(std::move(settings)), client_(std::move(client)) {}

  struct ScanPage {
    std::string cursor;
    std::vector<std::string> keys;
  };
  Result<ScanPage> scan_page(const std::string& cursor, const std::string& pattern);

  Settings settings_;
  registry::Client client_;
};

// Rules that leave everything at its default but the device-id rule, as `registry init` records it:
// `cn`, `san_uri:urn:device:`. kInvalid when it is not one.
Result<policy::Rules> rules_from_text(const std::string& device_id_rule);

template <typename Page>
Result<void> Access::scan(const std::string& pattern, Page&& page) {
  std::string cursor = "0";
  do {
    Result<ScanPage> found = scan_page(cursor, pattern);
    if (!found) return found.error();
    if (!page(found.value().keys)) break;
    cursor = found.value().cursor;
  } while (cursor != "0");
  return {};
}

}  // namespace leafgate::admin
