// SPDX-License-Identifier: Apache-2.0
#include "admin/grammar.h"

#include <CLI/CLI.hpp>
#include <functional>
#include <iostream>
#include <string>

#include "admin/ca.h"
#include "admin/check_config.h"
#include "admin/explain.h"
#include "admin/inspect.h"
#include "admin/options.h"
#include "admin/output.h"
#include "admin/state.h"

namespace leafgate::admin {
namespace {

using registry::Op;

constexpr const char* kFooter =
    "A certificate is named by its fingerprint (64 hex digits, either case, colons allowed) or by "
    "a file (a path\n"
    "with `/` or a name that ends in .pem, .crt, .cer or .der).\n\n"
    "Exit codes:\n"
    "  0  done; for explain: admitted\n"
    "  1  refused, partly failed, interrupted, or a check found errors\n"
    "  2  the command line or an input is wrong\n"
    "  3  nothing that was named exists\n"
    "  4  Redis did not answer\n\n"
    "Environment: LEAFGATE_REDIS_URL is used where neither --url nor --config says where Redis "
    "is;\n"
    "LEAFGATE_TLS_CA, LEAFGATE_TLS_CERT and LEAFGATE_TLS_KEY likewise for --tls-ca and so on.\n"
    "Run `leafgate <noun> <verb> --help` for a verb's options and examples; the reference is "
    "docs/cli.md.";

// Everything that can be typed, and the command that was.
struct CommandLine {
  CommonOptions common;
  ImportOptions import;
  ChangeOptions change;
  ListOptions list;
  ShowOptions show;
  BlockOptions block;
  RegistryInitOptions registry_init;
  RegistryConfirmOptions registry_confirm;
  RegistryExportOptions registry_export;
  RegistryImportOptions registry_import;
  CaInitOptions ca_init;
  CaIssueOptions ca_issue;
  ExplainOptions explain;
  StatusOptions status;
  WatchOptions watch;
  CheckConfigOptions check_config;
  std::function<Exit()> run;
};

void add_common(CLI::App& app, CommonOptions& common) {
  const std::string group = "Common options";
  app.add_option("--url", common.url,
                 "Redis: redis[s]://HOST[:PORT][/DB], unix:///PATH[?db=DB] or "
                 "redis-sentinel://HOST,HOST/SERVICE[?db=DB]")
      ->type_name("URL")
      ->group(group);
  app.add_option("--config", common.config, "leafgate.yaml: takes registry and rules from it")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--username", common.username, "Redis user")->type_name("USER")->group(group);
  app.add_option("--password-file", common.password_file, "file that holds the Redis password")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--tls-ca", common.tls_ca, "CA that Redis's certificate must come from")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--tls-cert", common.tls_cert, "our certificate for Redis")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--tls-key", common.tls_key, "its key")->type_name("FILE")->group(group);
  app.add_option("--prefix", common.prefix, "of all keys; default leafgate:")
      ->type_name("PREFIX")
      ->group(group);
  app.add_option("--by", common.by, "who makes the change, for the log; default user@host")
      ->type_name("WHO")
      ->group(group);
  app.add_option("--note", common.note, "why, for the record and the log; at most 64 bytes")
      ->type_name("TEXT")
      ->group(group);
  app.add_option("--timeout", common.timeout, "how long Redis may take to answer; default 5s")
      ->type_name("DURATION")
      ->group(group);
  app.add_flag("--json", common.json, "one JSON document (watch: JSON lines)")->group(group);
}

CLI::App& add_noun(CLI::App& app, const std::string& name, const std::string& what) {
  CLI::App* noun = app.add_subcommand(name, what);
  noun->require_subcommand(1);
  return *noun;
}

CLI::App& add_verb(CLI::App& noun, CommandLine& line, const std::string& name,
                   const std::string& what, const std::string& examples,
                   std::function<Exit()> run) {
  CLI::App* verb = noun.add_subcommand(name, what);
  verb->footer("Examples:\n" + examples);
  verb->callback([&line, run = std::move(run)] { line.run = run; });
  add_common(*verb, line.common);
  return *verb;
}

void add_dry_run(CLI::App& verb, bool& dry_run) {
  verb.add_flag("--dry-run", dry_run, "say what would change, write nothing");
}

void add_from(CLI::App& verb, SelectorOptions& which, const std::string& what) {
  verb.add_option("--from", which.from, what)->type_name("FILE");
  verb.add_option("--errors", which.errors, "write failures to this file, a line each")
      ->type_name("FILE");
}

void add_certificate_selectors(CLI::App& verb, SelectorOptions& which) {
  verb.add_option("certificates", which.selectors, "fingerprints and files")->type_name("CERT");
  verb.add_option("--device", which.devices, "all registered certificates of a device")
      ->type_name("ID")
      ->allow_extra_args(false);
  add_from(verb, which,
           "list or CSV of fingerprints and files, PEM bundle, folder, or - for standard input");
  add_dry_run(verb, which.dry_run);
}

CLI::App& add_change(CLI::App& cert, CommandLine& line, const std::string& name,
                     const std::string& what, const std::string& examples, Op op) {
  CLI::App& verb = add_verb(cert, line, name, what, examples,
                            [&line, op] { return cert_change(line.common, line.change, op); });
  add_certificate_selectors(verb, line.change.which);
  verb.add_option("--if-version", line.change.if_version, "only while the record has this version")
      ->type_name("N");
  return verb;
}

void add_import(CLI::App& cert, CommandLine& line) {
  ImportOptions& options = line.import;
  CLI::App& verb = add_verb(
      cert, line, "import", "register certificates; never alters an existing record",
      "  leafgate cert import dev1.crt --activate\n"
      "  leafgate cert import --from fleet.csv --state pending --errors failed.txt\n"
      "  leafgate cert import --from certs/ --activate\n"
      "  leafgate cert import --from-events            # what brokers saw and nobody registered\n"
      "  leafgate cert import --from-events --yes --activate",
      [&line] { return cert_import(line.common, line.import); });
  verb.add_option("certificates", options.which.selectors,
                  "files (and fingerprints, with --from-events)")
      ->type_name("CERT");
  add_from(verb, options.which,
           "CSV with a header (fingerprint or file, device, serial, issuer, not_before, not_after, "
           "spki, note), list, "
           "PEM bundle, folder, or - for standard input");
  CLI::Option* state = verb.add_option("--state", options.state,
                                       "of the new records: pending (default), active, inactive")
                           ->type_name("STATE");
  state->check(CLI::IsMember({"pending", "active", "inactive"}));
  verb.add_flag("--activate", options.activate, "the same as --state active")->excludes(state);
  CLI::Option* events = verb.add_flag("--from-events", options.from_events,
                                      "certificates that brokers reported as unknown");
  verb.add_flag("--yes", options.yes, "import all of --from-events")->needs(events);
  add_dry_run(verb, options.which.dry_run);
}

void add_changes(CLI::App& cert, CommandLine& line) {
  add_change(cert, line, "activate", "pending, inactive or retiring -> active",
             "  leafgate cert activate dev1.crt\n"
             "  leafgate cert activate --device dev1 --note 'back from repair'\n"
             "  leafgate cert activate --from fleet.csv --dry-run",
             Op::kActivate);
  add_change(cert, line, "deactivate", "pending, active or retiring -> inactive; ends its sessions",
             "  leafgate cert deactivate 3f:2a:…:9c --note 'in repair'\n"
             "  leafgate cert deactivate --device dev1",
             Op::kDeactivate);
  add_change(cert, line, "retire", "-> retired, or with --at -> retiring until then",
             "  leafgate cert retire old.crt --at +7d\n"
             "  leafgate cert retire old.crt",
             Op::kRetire)
      .add_option("--at", line.change.retire_at,
                  "admit until then: +7d, 2026-12-31T00:00:00Z or Unix seconds")
      ->type_name("TIME");
  add_change(cert, line, "revoke", "-> revoked; final; ends its sessions",
             "  leafgate cert revoke dev1.crt --reason keyCompromise\n"
             "  leafgate cert revoke --from stolen.txt --reason cessationOfOperation",
             Op::kRevoke)
      .add_option("--reason", line.change.reason,
                  "RFC 5280: unspecified (default), keyCompromise, cACompromise, "
                  "affiliationChanged, superseded, "
                  "cessationOfOperation, privilegeWithdrawn, aACompromise")
      ->type_name("REASON");
  add_change(cert, line, "delete", "forget a record; not one that is revoked and unexpired",
             "  leafgate cert delete dev1.crt", Op::kDelete);
}

void add_list(CLI::App& cert, CommandLine& line) {
  ListOptions& options = line.list;
  CLI::App& verb = add_verb(cert, line, "list", "records, filtered",
                            "  leafgate cert list --state pending --state inactive\n"
                            "  leafgate cert list --expires-within 30d\n"
                            "  leafgate cert list --device dev1 --json",
                            [&line] { return cert_list(line.common, line.list); });
  verb.add_option("--state", options.states, "only these states; may be repeated")
      ->type_name("STATE")
      ->allow_extra_args(false);
  verb.add_option("--device", options.device, "of this device, from the index")->type_name("ID");
  verb.add_option("--expires-within", options.expires_within,
                  "whose notAfter lies between now and then, from the index")
      ->type_name("DURATION");
  verb.add_option("--issuer", options.issuer, "of this issuer key id")->type_name("KEYID");
  verb.add_option("--limit", options.limit, "stop after so many")->type_name("N");
}

void add_cert(CLI::App& app, CommandLine& line) {
  CLI::App& cert = add_noun(
      app, "cert", "certificates: import list show activate deactivate retire revoke delete");
  add_import(cert, line);
  add_list(cert, line);
  CLI::App& show = add_verb(cert, line, "show", "a record, what brokers say of it, and its history",
                            "  leafgate cert show dev1.crt\n"
                            "  leafgate cert show --device dev1 --json",
                            [&line] { return cert_show(line.common, line.show); });
  show.add_option("certificates", line.show.selectors, "fingerprints and files")->type_name("CERT");
  show.add_option("--device", line.show.devices, "all registered certificates of a device")
      ->type_name("ID")
      ->allow_extra_args(false);
  show.add_option("--history", line.show.history, "log entries to show; default 10")
      ->type_name("N");
  add_changes(cert, line);
}

void add_device(CLI::App& app, CommandLine& line) {
  CLI::App& device = add_noun(app, "device", "devices: show block unblock");
  CLI::App& show = add_verb(device, line, "show", "a device's certificates and its block",
                            "  leafgate device show dev1",
                            [&line] { return device_show(line.common, line.show); });
  show.add_option("devices", line.show.devices, "device ids")->type_name("ID")->required();
  show.add_option("--history", line.show.history, "log entries of each certificate; default 10")
      ->type_name("N");

  CLI::App& block = add_verb(
      device, line, "block", "refuse a device whatever its certificates say; ends its sessions",
      "  leafgate device block dev1 --note stolen\n"
      "  leafgate device block dev1 --before now      # certificates issued from now on may come\n"
      "  leafgate device block --from stolen.txt",
      [&line] { return device_change(line.common, line.block, Op::kBlock); });
  CLI::App& unblock =
      add_verb(device, line, "unblock", "take a block away", "  leafgate device unblock dev1",
               [&line] { return device_change(line.common, line.block, Op::kUnblock); });
  for (CLI::App* verb : {&block, &unblock}) {
    verb->add_option("devices", line.block.which.selectors, "device ids")->type_name("ID");
    add_from(*verb, line.block.which,
             "list of device ids, or CSV with a column `device`; - for standard input");
    add_dry_run(*verb, line.block.which.dry_run);
  }
  block.add_option("--before", line.block.before, "only certificates with an earlier notBefore")
      ->type_name("TIME");
}

void add_issuer(CLI::App& app, CommandLine& line) {
  CLI::App& issuer = add_noun(app, "issuer", "issuing CAs: block unblock");
  CLI::App& block =
      add_verb(issuer, line, "block", "refuse everything a CA issued; ends the sessions",
               "  leafgate issuer block issuing.crt            # a CA certificate: what it issued\n"
               "  leafgate issuer block dev1.crt               # a device certificate: what its "
               "issuer issued\n"
               "  leafgate issuer block 9f86d081…              # a key id\n"
               "  leafgate issuer block issuing.crt --before 2026-11-01",
               [&line] { return issuer_change(line.common, line.block, Op::kBlock); });
  CLI::App& unblock = add_verb(
      issuer, line, "unblock", "take a block away", "  leafgate issuer unblock issuing.crt",
      [&line] { return issuer_change(line.common, line.block, Op::kUnblock); });
  for (CLI::App* verb : {&block, &unblock}) {
    verb->add_option("issuers", line.block.which.selectors,
                     "issuer ids, CA certificates or device certificates")
        ->type_name("ISSUER")
        ->required();
    add_dry_run(*verb, line.block.which.dry_run);
  }
  block.add_option("--before", line.block.before, "only certificates with an earlier notBefore")
      ->type_name("TIME");
}

void add_backup(CLI::App& noun, CommandLine& line) {
  CLI::App& out =
      add_verb(noun, line, "export", "write certificates, blocks and the data set's id as a backup",
               "  leafgate registry export --out registry.jsonl\n"
               "  leafgate registry export --log | gzip >registry.jsonl.gz",
               [&line] { return registry_export(line.common, line.registry_export); });
  out.add_option("--out", line.registry_export.out,
                 "file, for its owner only; appears when it is whole; default: standard output")
      ->type_name("FILE");
  out.add_flag("--log", line.registry_export.log, "the log as well");

  CLI::App& in = add_verb(noun, line, "import",
                          "put back what a backup has and the registry lacks; alters nothing",
                          "  leafgate registry import registry.jsonl --dry-run\n"
                          "  gunzip -c registry.jsonl.gz | leafgate registry import -",
                          [&line] { return registry_import(line.common, line.registry_import); });
  in.add_option("file", line.registry_import.file,
                "what registry export wrote; - for standard input")
      ->type_name("FILE")
      ->required();
  in.add_option("--errors", line.registry_import.errors, "write failures to this file, a line each")
      ->type_name("FILE");
  add_dry_run(in, line.registry_import.dry_run);
}

void add_loss(CLI::App& noun, CommandLine& line) {
  CLI::App& confirm =
      add_verb(noun, line, "confirm", "accept the registry as it is: brokers on HOLD go on with it",
               "  leafgate registry confirm\n"
               "  leafgate registry confirm --dry-run\n"
               "  leafgate registry confirm --replaces 5d41402abc4b2a76b9719d911017c592 --yes",
               [&line] { return registry_confirm(line.common, line.registry_confirm); });
  confirm
      .add_option("--replaces", line.registry_confirm.replaces,
                  "the data set that brokers remember; default: the one they all say")
      ->type_name("ID");
  confirm.add_flag("--while-reading", line.registry_confirm.while_reading,
                   "also while brokers still read, and may keep refusals nobody has seen");
  confirm.add_flag("--yes", line.registry_confirm.yes, "do not ask");
  add_dry_run(confirm, line.registry_confirm.dry_run);

  add_verb(noun, line, "regressions",
           "what brokers refuse although the registry, having lost writes, calls it active",
           "  leafgate registry regressions\n  leafgate registry regressions --json",
           [&line] { return registry_regressions(line.common); });
}

void add_registry(CLI::App& app, CommandLine& line) {
  CLI::App& noun =
      add_noun(app, "registry", "the data set: init export import confirm regressions");
  CLI::App& init =
      add_verb(noun, line, "init", "give the registry an id and record the device-id rule",
               "  leafgate registry init\n"
               "  leafgate registry init --device-id san_uri:urn:device:\n"
               "  leafgate registry init --config /etc/leafgate/leafgate.yaml",
               [&line] { return registry_init(line.common, line.registry_init); });
  init.add_option(
          "--device-id", line.registry_init.device_id_rule,
          "cn, san_uri or san_dns, and after a colon a prefix to strip; default: --config's, or cn")
      ->type_name("RULE");
  init.add_flag("--change-rule", line.registry_init.change_rule,
                "replace another rule that is recorded");
  add_dry_run(init, line.registry_init.dry_run);
  add_backup(noun, line);
  add_loss(noun, line);
}

void add_ca(CLI::App& app, CommandLine& line) {
  CLI::App& ca = add_noun(app, "ca", "a small private CA: init issue");
  CaInitOptions& making = line.ca_init;
  CLI::App& init = add_verb(ca, line, "init", "make a root and an issuing CA in a folder",
                            "  leafgate ca init ca --name 'Example fleet'",
                            [&line] { return ca_init(line.common, line.ca_init); });
  init.add_option("folder", making.folder, "where; made when it is not there")
      ->type_name("FOLDER")
      ->required();
  init.add_option("--name", making.name, "first words of both names; default leafgate")
      ->type_name("NAME");
  init.add_option("--key", making.key, "p256 (default), p384, ed25519 or rsa3072")
      ->type_name("KIND");
  init.add_option("--root-days", making.root_days, "validity of the root; default 3650")
      ->type_name("N");
  init.add_option("--issuing-days", making.issuing_days, "validity of the issuing CA; default 1825")
      ->type_name("N");

  CaIssueOptions& issuing = line.ca_issue;
  CLI::App& issue =
      add_verb(ca, line, "issue", "make keys and certificates of devices, or of a server",
               "  leafgate ca issue --ca ca --device dev1 --device dev2 --out certs\n"
               "  leafgate ca issue --ca ca --from devices.txt --out certs --register --activate\n"
               "  leafgate ca issue --ca ca --server broker.example 192.0.2.1 --days 90",
               [&line] { return ca_issue(line.common, line.ca_issue); });
  issue.add_option("--ca", issuing.ca, "folder made by `ca init`")->type_name("FOLDER")->required();
  issue.add_option("--device", issuing.devices, "device ids: <id>.crt and <id>.key for each")
      ->type_name("ID");
  issue
      .add_option("--from", issuing.from,
                  "list of device ids, or CSV with a column `device`; - for standard input")
      ->type_name("FILE");
  issue.add_option("--server", issuing.servers, "host names and addresses of one server")
      ->type_name("NAME");
  issue.add_option("--errors", issuing.errors, "with --register: write failures to this file")
      ->type_name("FILE");
  issue.add_option("--days", issuing.days, "validity; default 365")->type_name("N");
  issue.add_option("--key", issuing.key, "p256 (default), p384, ed25519 or rsa3072")
      ->type_name("KIND");
  issue.add_option("--out", issuing.out, "folder for the files; default: this one")
      ->type_name("FOLDER");
  issue.add_flag("--register", issuing.register_them, "import the certificates into the registry");
  issue.add_flag("--activate", issuing.activate, "with --register: as active, not as pending");
}

void add_explain(CLI::App& app, CommandLine& line) {
  ExplainOptions& options = line.explain;
  CLI::App& verb = add_verb(app, line, "explain", "what a broker would decide, and why",
                            "  leafgate explain dev1.crt --config /etc/leafgate/leafgate.yaml\n"
                            "  leafgate explain dev1.crt --client-id dev1 --publish "
                            "devices/dev1/state --config leafgate.yaml\n"
                            "  leafgate explain dev1.crt --record state=retiring --record "
                            "retire_at=1800000000 --at 2027-01-15\n"
                            "  leafgate explain 3f2a…9c --json",
                            [&line] { return explain(line.common, line.explain); });
  verb.add_option("certificate", options.certificate, "file or fingerprint")->type_name("CERT");
  verb.add_flag("--no-certificate", options.no_certificate, "the client presents none");
  verb.add_option("--client-id", options.client_id, "MQTT client id; default: the device id")
      ->type_name("ID");
  CLI::Option* publish =
      verb.add_option("--publish", options.publish, "may it publish to this topic")
          ->type_name("TOPIC");
  CLI::Option* subscribe =
      verb.add_option("--subscribe", options.subscribe, "may it subscribe to this filter")
          ->type_name("FILTER");
  CLI::Option* receive =
      verb.add_option("--receive", options.receive, "may it receive from this topic")
          ->type_name("TOPIC");
  publish->excludes(subscribe)->excludes(receive);
  subscribe->excludes(receive);
  verb.add_option("--at", options.at,
                  "at that time: +30d, 2026-12-31T00:00:00Z or Unix seconds; default now")
      ->type_name("TIME");
  verb.add_option("--record", options.record,
                  "suppose this record: state=…, retire_at=…, revoked_at=…; implies --offline")
      ->type_name("FIELD=VALUE")
      ->allow_extra_args(false);
  verb.add_flag("--offline", options.offline, "do not ask Redis: no record, no blocks");
  verb.add_flag("--stale", options.stale, "suppose the broker's copy of the registry is too old");
  verb.add_flag("--certificate-in-use", options.certificate_in_use,
                "suppose the certificate is live under another client id");
  verb.add_flag("--client-id-taken", options.client_id_taken,
                "suppose another device's live session has this client id");
}

void add_watching(CLI::App& app, CommandLine& line) {
  CLI::App& see = add_verb(app, line, "status", "registry, brokers, counts, what needs attention",
                           "  leafgate status\n  leafgate status --json",
                           [&line] { return status(line.common, line.status); });
  see.add_flag("--count", line.status.count,
               "count states also when there are more than 100000 certificates");

  CLI::App& follow =
      add_verb(app, line, "watch", "changes and broker events as they happen; Ctrl-C ends it",
               "  leafgate watch\n"
               "  leafgate watch --only events --json\n"
               "  leafgate watch --since 1h",
               [&line] { return watch(line.common, line.watch); });
  follow
      .add_option("--since", line.watch.since,
                  "start with the past: 1h, 2026-11-22T10:00:00Z or Unix seconds")
      ->type_name("TIME");
  follow.add_option("--only", line.watch.only, "log or events")
      ->type_name("STREAM")
      ->check(CLI::IsMember({"log", "events"}));

  CLI::App& check = add_verb(app, line, "check-config",
                             "check leafgate.yaml and mosquitto.conf before brokers read them",
                             "  leafgate check-config /etc/leafgate/leafgate.yaml\n"
                             "  leafgate check-config --mosquitto /etc/mosquitto/mosquitto.conf",
                             [&line] { return check_config(line.common, line.check_config); });
  check
      .add_option(
          "file", line.check_config.file,
          "leafgate.yaml; default: the one mosquitto.conf names, or /etc/leafgate/leafgate.yaml")
      ->type_name("FILE");
  check.add_option("--mosquitto", line.check_config.mosquitto, "mosquitto.conf")->type_name("FILE");
}

}  // namespace

int run_command_line(int argc, const char* const* argv) {
  CommandLine line;
  CLI::App app("Admits devices to Mosquitto by the state of their certificates in Redis.",
               "leafgate");
  app.footer(kFooter);
  app.set_version_flag("--version", "leafgate " LEAFGATE_VERSION);
  app.require_subcommand(1);
  add_common(app, line.common);
  add_cert(app, line);
  add_device(app, line);
  add_issuer(app, line);
  add_registry(app, line);
  add_ca(app, line);
  add_explain(app, line);
  add_watching(app, line);

  try {
    app.parse(argc, argv);
  } catch (const CLI::Success& asked) {  // --help, --version
    return app.exit(asked);
  } catch (const CLI::ParseError& wrong) {
    print_error({ErrorKind::kInvalid, wrong.what()}, line.common.json);
    return static_cast<int>(Exit::kUsage);
  }
  return static_cast<int>(line.run());
}

}  // namespace leafgate::admin
