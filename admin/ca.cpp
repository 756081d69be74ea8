// SPDX-License-Identifier: Apache-2.0
#include "admin/ca.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <utility>

#include "admin/access.h"
#include "admin/change.h"
#include "admin/importer.h"
#include "admin/interrupt.h"
#include "admin/output.h"
#include "admin/targets.h"
#include "admin/text.h"
#include "base/log.h"
#include "certs/issue.h"
#include "policy/identity.h"

namespace leafgate::admin {
namespace {

namespace fs = std::filesystem;

constexpr int kDaysMax = 36500;
constexpr std::size_t kListedMax = 1000;

Result<certs::NewKey> parse_key(const std::string& text) {
  constexpr std::pair<std::string_view, certs::NewKey> kKinds[] = {
      {"p256", certs::NewKey::kP256},
      {"p384", certs::NewKey::kP384},
      {"ed25519", certs::NewKey::kEd25519},
      {"rsa3072", certs::NewKey::kRsa3072}};
  for (const auto& [name, kind] : kKinds) {
    if (text == name) return kind;
  }
  return Error{ErrorKind::kInvalid, "--key: `" + text + "`: write p256, p384, ed25519 or rsa3072"};
}

Result<std::chrono::seconds> parse_days(std::string_view option, int days) {
  if (days >= 1 && days <= kDaysMax) return std::chrono::seconds(std::chrono::hours(24) * days);
  return Error{ErrorKind::kInvalid,
               std::string(option) + ": write 1 to " + std::to_string(kDaysMax) + " days"};
}

// Files made so far; removed again unless all went well.
class NewFiles {
 public:
  ~NewFiles() {
    std::error_code ignored;
    for (const std::string& path : paths_)
      fs::remove(path, ignored);
  }
  void add(std::string path) { paths_.push_back(std::move(path)); }
  void keep() { paths_.clear(); }

 private:
  std::vector<std::string> paths_;
};

Result<void> write_chain(const std::string& path, const std::vector<const x509_st*>& chain) {
  std::FILE* file = std::fopen(path.c_str(), "wxe");
  if (file == nullptr) {
    return Error{ErrorKind::kRefused, "`" + path + "` is there already or cannot be made"};
  }
  bool written = true;
  for (const x509_st* certificate : chain) {
    written = written && std::fputs(certs::to_pem(*certificate).c_str(), file) >= 0;
  }
  if (std::fclose(file) == 0 && written) return {};
  std::remove(path.c_str());
  return Error{ErrorKind::kRefused, "`" + path + "` could not be written: is the disk full?"};
}

struct Authority {
  certs::Credential root;
  certs::Credential issuing;
};

Result<Authority> make_authority(const CaInitOptions& options, policy::Time now) {
  const Result<certs::NewKey> key = parse_key(options.key);
  if (!key) return key.error();
  const auto root_validity = parse_days("--root-days", options.root_days);
  if (!root_validity) return root_validity.error();
  const auto issuing_validity = parse_days("--issuing-days", options.issuing_days);
  if (!issuing_validity) return issuing_validity.error();

  Result<certs::Credential> root =
      certs::make_root({options.name + " root CA", root_validity.value(), key.value()}, now);
  if (!root) return root.error();
  Result<certs::Credential> issuing = certs::make_issuing_ca(
      {options.name + " issuing CA", issuing_validity.value(), key.value()}, root.value(), now);
  if (!issuing) return issuing.error();
  return Authority{std::move(root).value(), std::move(issuing).value()};
}

Result<void> write_authority(const Authority& authority, const fs::path& folder) {
  const x509_st* root = authority.root.certificate.get();
  const x509_st* issuing = authority.issuing.certificate.get();
  const auto file = [&folder](const char* name) { return (folder / name).string(); };

  NewFiles made;
  if (auto done =
          certs::write_credential(*authority.root.key, {root}, file("root.key"), file("root.crt"));
      !done) {
    return done;
  }
  made.add(file("root.key"));
  made.add(file("root.crt"));
  if (auto done = certs::write_credential(*authority.issuing.key, {issuing}, file("issuing.key"),
                                          file("issuing.crt"));
      !done) {
    return done;
  }
  made.add(file("issuing.key"));
  made.add(file("issuing.crt"));
  if (auto done = write_chain(file("ca-chain.crt"), {issuing, root}); !done) return done;
  made.keep();
  return {};
}

Result<void> make_folder(const std::string& path, fs::perms rights) {
  std::error_code failure;
  if (fs::create_directories(path, failure)) fs::permissions(path, rights, failure);
  if (!failure) return {};
  return Error{ErrorKind::kInvalid, "`" + path + "`: " + failure.message()};
}

// A device's certificate on disk.
struct Issued {
  std::string device;
  std::string certificate_path;
  std::string key_path;
  std::shared_ptr<const Leaf> leaf;
  bool fresh = true;  // false: the files were there already
};

class Issuer {
 public:
  static Result<Issuer> open(const CaIssueOptions& options) {
    const Result<certs::NewKey> key = parse_key(options.key);
    if (!key) return key.error();
    const auto validity = parse_days("--days", options.days);
    if (!validity) return validity.error();
    Result<certs::Credential> issuing =
        certs::load_credential((fs::path(options.ca) / "issuing.crt").string(),
                               (fs::path(options.ca) / "issuing.key").string());
    if (!issuing) return with_context("--ca", issuing.error());
    if (const auto made = make_folder(options.out, fs::perms::owner_all); !made) {
      return with_context("--out", made.error());
    }
    return Issuer(std::move(issuing).value(), options.out, validity.value(), key.value());
  }

  Result<Issued> device(const std::string& device) const {
    if (!policy::is_device_id(device)) {
      return Error{ErrorKind::kInvalid,
                   "`" + device.substr(0, 100) +
                       "` is not a device id: 1 to 64 bytes without + # / $ and control "
                       "characters"};
    }
    Issued issued = paths(device);
    issued.device = device;
    const Result<bool> there = already_there(issued);
    if (!there) return there.error();
    issued.fresh = !there.value();
    if (issued.fresh) {
      const Result<certs::Credential> made =
          certs::issue_device({device, validity_, key_}, issuing_, system_now());
      if (!made) return with_context("`" + device + "`", made.error());
      if (const auto written = write(made.value(), issued); !written) return written.error();
    }
    return described(std::move(issued));
  }

  Result<Issued> server(const std::vector<std::string>& names) const {
    const Result<certs::Credential> made =
        certs::issue_server({names, validity_, key_}, issuing_, system_now());
    if (!made) return made.error();
    std::string name = names.front();
    // `*.example.com` and `::1` make awkward file names.
    std::replace_if(
        name.begin(), name.end(), [](char c) { return c == '*' || c == ':' || c == '/'; }, '_');
    Issued issued = paths(name);
    if (const auto written = write(made.value(), issued); !written) return written.error();
    return described(std::move(issued));
  }

 private:
  Issuer(certs::Credential issuing, fs::path out, std::chrono::seconds validity, certs::NewKey key)
      : issuing_(std::move(issuing)), out_(std::move(out)), validity_(validity), key_(key) {}

  Issued paths(const std::string& name) const {
    Issued issued;
    issued.certificate_path = (out_ / (name + ".crt")).string();
    issued.key_path = (out_ / (name + ".key")).string();
    return issued;
  }

  static Result<bool> already_there(const Issued& issued) {
    std::error_code failure;
    const bool certificate = fs::exists(issued.certificate_path, failure);
    const bool key = fs::exists(issued.key_path, failure);
    if (certificate == key) return certificate;
    return Error{ErrorKind::kRefused,
                 "`" + (certificate ? issued.certificate_path : issued.key_path) +
                     "` is there without its other half, `" +
                     (certificate ? issued.key_path : issued.certificate_path) + "`: move it away"};
  }

  Result<void> write(const certs::Credential& made, const Issued& issued) const {
    return certs::write_credential(*made.key, {made.certificate.get(), issuing_.certificate.get()},
                                   issued.key_path, issued.certificate_path);
  }

  static Result<Issued> described(Issued issued) {
    Result<std::vector<std::shared_ptr<const Leaf>>> leaves = load_leaves(issued.certificate_path);
    if (!leaves) return leaves.error();
    issued.leaf = std::move(leaves.value().front());
    return issued;
  }

  certs::Credential issuing_;
  fs::path out_;
  std::chrono::seconds validity_;
  certs::NewKey key_;
};

Json to_json(const Issued& issued) {
  Json out;
  if (!issued.device.empty()) out["device"] = issued.device;
  out["outcome"] = issued.fresh ? "issued" : "unchanged";
  out["certificate"] = issued.certificate_path;
  out["key"] = issued.key_path;
  out["fingerprint"] = policy::to_hex(issued.leaf->facts.fingerprint);
  out["not_after"] = json_time(issued.leaf->description.not_after);
  return out;
}

void print_words(const Issued& issued) {
  std::cout << (issued.fresh ? "issued " : "unchanged ") << printable(issued.certificate_path)
            << "  " << policy::to_hex(issued.leaf->facts.fingerprint) << "  until "
            << format_time(issued.leaf->description.not_after) << '\n';
}

// Issues without registering: the summary of what happened to files.
Exit issue_only(const Issuer& issuer, Targets& devices, bool bulk, bool json) {
  Progress progress("issued", std::nullopt);
  Tally tally;
  Json results = Json::array();
  catch_interrupts();
  for (std::optional<Result<Target>> target; !interrupted() && (target = devices.next());) {
    const Result<Issued> issued =
        *target ? issuer.device(target->value().device) : Result<Issued>(target->error());
    if (!issued) {
      ++tally.failed;
      print_error(issued.error(), false);
      if (results.size() < kListedMax)
        results.push_back({{"outcome", "failed"}, {"message", issued.error().message}});
      continue;
    }
    ++(issued.value().fresh ? tally.applied : tally.unchanged);
    if (json && results.size() < kListedMax) results.push_back(to_json(issued.value()));
    if (!json && !bulk) print_words(issued.value());
    if (bulk) progress.show(tally.total());
  }
  if (json) {
    Json summary = {
        {"issued", tally.applied}, {"unchanged", tally.unchanged}, {"failed", tally.failed}};
    const bool all_listed = tally.total() <= kListedMax;
    print(Json{{"results", std::move(results)},
               {"results_complete", all_listed},
               {"summary", std::move(summary)}});
  } else if (bulk || tally.total() > 1) {
    std::cout << "issued " << tally.applied << ", unchanged " << tally.unchanged << ", failed "
              << tally.failed << '\n';
  }
  return tally.failed == 0 && !interrupted() ? Exit::kOk : Exit::kRefused;
}

Exit issue_and_register(const CommonOptions& common, const CaIssueOptions& options,
                        const Issuer& issuer, Targets& devices, const SelectorOptions& which) {
  Result<Access> access = Access::open(common);
  if (!access) return fail(access.error(), common.json);
  const Result<policy::Rules> rules = access.value().rules();
  if (!rules) return fail(rules.error(), common.json);
  const Importer importer(access.value(), rules.value(), options.activate ? "active" : "pending");

  ChangeRun run(access.value(), {"fingerprint", "registered"}, which, common.json);
  return run.run([&]() -> std::optional<Result<Item>> {
    const std::optional<Result<Target>> target = devices.next();
    if (!target) return std::nullopt;
    if (!*target) return target->error();
    const Result<Issued> issued = issuer.device(target->value().device);
    if (!issued) return issued.error();
    Target registered;
    registered.where = issued.value().certificate_path;
    registered.fingerprint = issued.value().leaf->facts.fingerprint;
    registered.leaf = issued.value().leaf;
    return importer.item(registered);
  });
}

Exit issue_server(const Issuer& issuer, const CaIssueOptions& options, bool json) {
  const Result<Issued> issued = issuer.server(options.servers);
  if (!issued) return fail(issued.error(), json);
  if (json) {
    print(Json{{"results", Json::array({to_json(issued.value())})},
               {"results_complete", true},
               {"summary", {{"issued", 1}, {"unchanged", 0}, {"failed", 0}}}});
  } else {
    print_words(issued.value());
  }
  return Exit::kOk;
}

}  // namespace

Exit ca_init(const CommonOptions& common, const CaInitOptions& options) {
  const Result<Authority> authority = make_authority(options, system_now());
  if (!authority) return fail(authority.error(), common.json);
  if (const auto made = make_folder(options.folder, fs::perms::owner_all); !made) {
    return fail(made.error(), common.json);
  }
  if (const auto written = write_authority(authority.value(), options.folder); !written) {
    return fail(written.error(), common.json);
  }
  if (common.json) {
    print(Json{{"folder", options.folder},
               {"files", {"root.crt", "root.key", "issuing.crt", "issuing.key", "ca-chain.crt"}},
               {"root_fingerprint",
                policy::to_hex(certs::fingerprint(*authority.value().root.certificate))},
               {"issuing_fingerprint",
                policy::to_hex(certs::fingerprint(*authority.value().issuing.certificate))}});
    return Exit::kOk;
  }
  std::cout << "made " << printable(options.folder)
            << ": root.crt root.key issuing.crt issuing.key ca-chain.crt\n"
            << "brokers need ca-chain.crt as cafile; root.key is needed only for another issuing "
               "CA: keep it offline\n";
  return Exit::kOk;
}

Exit ca_issue(const CommonOptions& common, const CaIssueOptions& options) {
  const bool wants_devices = !options.devices.empty() || !options.from.empty();
  if (wants_devices == !options.servers.empty()) {
    return fail(
        {ErrorKind::kInvalid, "name devices (--device, --from) or a server (--server), not both"},
        common.json);
  }
  if (options.activate && !options.register_them) {
    return fail({ErrorKind::kInvalid, "--activate goes with --register"}, common.json);
  }
  if (options.register_them && !wants_devices) {
    return fail({ErrorKind::kInvalid, "--register is for devices: servers are not in the registry"},
                common.json);
  }
  const Result<Issuer> issuer = Issuer::open(options);
  if (!issuer) return fail(issuer.error(), common.json);
  if (!wants_devices) return issue_server(issuer.value(), options, common.json);

  SelectorOptions which;
  which.selectors = options.devices;
  which.from = options.from;
  which.errors = options.errors;
  Result<Targets> devices = Targets::device_ids(which);
  if (!devices) return fail(devices.error(), common.json);
  if (options.register_them) {
    return issue_and_register(common, options, issuer.value(), devices.value(), which);
  }
  return issue_only(issuer.value(), devices.value(), !options.from.empty(), common.json);
}

}  // namespace leafgate::admin
