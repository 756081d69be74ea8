// SPDX-License-Identifier: Apache-2.0
// What was typed, as plain values: filled by the grammar (grammar.h), read by the commands. No
// command sees the command line itself. One thread.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace leafgate::admin {

// The exit codes. Part of the contract: `leafgate --help` and docs/cli.md.
enum class Exit : std::uint8_t {
  kOk = 0,
  kRefused = 1,      // refused, partly failed, interrupted, or a check found errors
  kUsage = 2,        // the command line or an input is wrong
  kNotFound = 3,     // nothing that was named exists
  kUnreachable = 4,  // Redis did not answer
};

Exit exit_for(ErrorKind kind);

// Every verb has these.
struct CommonOptions {
  std::string url;     // empty: --config's, LEAFGATE_REDIS_URL, redis://127.0.0.1:6379
  std::string config;  // path of leafgate.yaml; empty: none
  std::string username;
  std::string password_file;
  // Files for TLS; empty: --config's, or LEAFGATE_TLS_CA, _CERT and _KEY.
  std::string tls_ca;
  std::string tls_cert;
  std::string tls_key;
  std::string prefix;  // empty: --config's or the default
  std::string by;      // empty: user@host
  std::string note;
  std::string timeout = "5s";
  bool json = false;
};

// Which certificates (or devices) a change is about.
struct SelectorOptions {
  std::vector<std::string> selectors;
  std::vector<std::string> devices;
  std::string from;    // file, folder or `-`
  std::string errors;  // where to write failures; empty: to standard error
  bool dry_run = false;
};

struct ImportOptions {
  SelectorOptions which;
  std::string state = "pending";
  bool activate = false;
  bool from_events = false;
  bool yes = false;
};

// activate, deactivate, retire, revoke, delete.
struct ChangeOptions {
  SelectorOptions which;
  std::string retire_at;  // retire: empty: now
  std::string reason;     // revoke
  std::optional<std::uint64_t> if_version;
};

struct ListOptions {
  std::vector<std::string> states;
  std::string device;
  std::string expires_within;
  std::string issuer;
  std::size_t limit = 0;  // 0: all
};

struct ShowOptions {
  std::vector<std::string> selectors;
  std::vector<std::string> devices;
  std::size_t history = 10;
};

struct BlockOptions {
  SelectorOptions which;
  std::string before;
};

struct RegistryInitOptions {
  std::string device_id_rule;  // empty: --config's, or `cn`
  bool change_rule = false;
  bool dry_run = false;
};

struct RegistryConfirmOptions {
  std::string replaces;        // empty: what brokers remember
  bool while_reading = false;  // also where brokers do not know yet what they keep
  bool yes = false;
  bool dry_run = false;
};

struct RegistryExportOptions {
  std::string out;  // empty: standard output
  bool log = false;
};

struct RegistryImportOptions {
  std::string file;    // or `-`
  std::string errors;  // as SelectorOptions
  bool dry_run = false;
};

struct CaInitOptions {
  std::string folder;
  std::string name = "leafgate";
  std::string key = "p256";
  int root_days = 3650;
  int issuing_days = 1825;
};

struct CaIssueOptions {
  std::string ca;
  std::vector<std::string> devices;
  std::vector<std::string> servers;
  std::string from;
  std::string errors;
  std::string key = "p256";
  std::string out = ".";
  int days = 365;
  bool register_them = false;
  bool activate = false;
};

struct ExplainOptions {
  std::string certificate;  // file or fingerprint; empty with no_certificate
  bool no_certificate = false;
  std::string client_id;  // empty: the device id
  std::string publish;
  std::string subscribe;
  std::string receive;
  std::string at;                   // empty: now
  std::vector<std::string> record;  // field=value; not empty implies offline
  bool offline = false;
  bool stale = false;
  bool certificate_in_use = false;
  bool client_id_taken = false;
};

struct StatusOptions {
  bool count = false;
};

struct WatchOptions {
  std::string since;  // empty: from now on
  std::string only;   // `log`, `events` or empty: both
};

struct CheckConfigOptions {
  std::string file;
  std::string mosquitto;
};

}  // namespace leafgate::admin
