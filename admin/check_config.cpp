// SPDX-License-Identifier: Apache-2.0
#include "admin/check_config.h"

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "admin/output.h"
#include "admin/text.h"

namespace leafgate::admin {
namespace {

using Severity = Finding::Severity;

constexpr std::string_view kPluginFile = "mosquitto_leafgate.so";
constexpr std::string_view kDefaultConfig = "/etc/leafgate/leafgate.yaml";

std::string file_name(const std::string& path) {
  return std::filesystem::path(path).filename().string();
}
bool is_plugin_line(const ConfLine& line) {
  return line.name == "plugin" || line.name == "auth_plugin" || line.name == "global_plugin" ||
         line.name == "plugin_load";
}

bool is_ours(const ConfLine& line) {
  return is_plugin_line(line) && file_name(line.value) == kPluginFile;
}

bool is_plugin_option(const ConfLine& line) {
  return line.name.rfind("plugin_opt_", 0) == 0 || line.name.rfind("auth_opt_", 0) == 0;
}

class Checker {
 public:
  Checker(const std::vector<ConfLine>& lines, std::string path,
          const std::optional<config::Config>& config, std::string config_path)
      : lines_(lines),
        path_(std::move(path)),
        config_(config),
        config_path_(std::move(config_path)) {}

  std::vector<Finding> run() {
    check_plugin();
    check_options();
    check_settings();
    for (const Listener& listener : listeners_of(lines_))
      check_listener(listener);
    if (config_) check_together();
    return std::move(findings_);
  }

 private:
  void add(Severity severity, const ConfLine* at, const std::string& message) {
    findings_.push_back(
        {severity, at != nullptr ? at->file : path_, at != nullptr ? at->line : 0, message});
  }
  void error(const ConfLine* at, const std::string& message) { add(Severity::kError, at, message); }
  void warning(const ConfLine* at, const std::string& message) {
    add(Severity::kWarning, at, message);
  }

  const ConfLine* last(std::string_view name) const {
    const auto found = std::find_if(lines_.rbegin(), lines_.rend(),
                                    [name](const ConfLine& line) { return line.name == name; });
    return found == lines_.rend() ? nullptr : &*found;
  }

  const ConfLine* ours() const {
    const auto found = std::find_if(lines_.begin(), lines_.end(), is_ours);
    return found == lines_.end() ? nullptr : &*found;
  }

  const ConfLine* other_plugin() const {
    const auto found = std::find_if(lines_.begin(), lines_.end(), [](const ConfLine& line) {
      return is_plugin_line(line) && !is_ours(line);
    });
    return found == lines_.end() ? nullptr : &*found;
  }

  void check_plugin() {
    const ConfLine* plugin = ours();
    if (plugin == nullptr) {
      return error(
          nullptr,
          "leafgate is not loaded: add `plugin /usr/lib/leafgate/plugin/" +
              std::string(kPluginFile) +
              "` (/usr/local/lib/ when you built it yourself) and, below it, `plugin_opt_config " +
              (config_path_.empty() ? std::string(kDefaultConfig) : config_path_) + "`");
    }
    const ConfLine& first = *std::find_if(lines_.begin(), lines_.end(), is_plugin_line);
    if (&first != plugin) {
      error(plugin, "leafgate must be the first plugin: `" + file_name(first.value) + "` at " +
                        first.file + ":" + std::to_string(first.line) +
                        " could say yes before leafgate is asked; move this line up");
    }
    if (std::count_if(lines_.begin(), lines_.end(), is_ours) > 1) {
      error(plugin, "leafgate is loaded more than once: keep one line");
    }
    std::error_code failure;
    if (!std::filesystem::exists(plugin->value, failure)) {
      warning(plugin, "`" + plugin->value + "` is not on this machine");
    }
  }

  void check_options() {
    const ConfLine* plugin = nullptr;
    const ConfLine* config_line = nullptr;
    for (const ConfLine& line : lines_) {
      if (is_plugin_line(line)) plugin = &line;
      if (!is_plugin_option(line) || plugin == nullptr || !is_ours(*plugin)) continue;
      const std::string key = line.name.substr(line.name.find("opt_") + 4);
      if (key == "config") {
        config_line = &line;
      } else {
        error(&line, "leafgate knows only `plugin_opt_config`: remove this line");
      }
    }
    if (ours() == nullptr) return;
    if (config_line == nullptr) {
      return error(ours(), "`plugin_opt_config` is missing below this line: name leafgate.yaml");
    }
    if (config_line->value.empty() || config_line->value.front() != '/') {
      warning(config_line,
              "the path is relative to wherever the broker is started: write it from `/`");
    }
    std::error_code failure;
    if (!config_path_.empty() &&
        !std::filesystem::equivalent(config_line->value, config_path_, failure)) {
      error(config_line, "names another file than the one checked, `" + config_path_ + "`");
    }
  }

  void check_settings() {
    if (const ConfLine* line = last("per_listener_settings");
        line != nullptr && is_true(line->value)) {
      error(line,
            "brokers before 2.0.15 never let plugins run with it, and leafgate would refuse "
            "everyone: set it "
            "to false");
    }
    const ConfLine* nodelay = last("set_tcp_nodelay");
    if (nodelay == nullptr || !is_true(nodelay->value)) {
      warning(nodelay,
              "set_tcp_nodelay is not true: each TLS connect takes about 40 ms longer; add "
              "`set_tcp_nodelay true`");
    }
    for (const std::string_view name : {"allow_anonymous", "listener_allow_anonymous"}) {
      const ConfLine* line = last(name);
      if (line == nullptr || !is_true(line->value)) continue;
      warning(
          line,
          "devices have a name once leafgate admitted them, so nobody needs this: set it to false");
    }
  }

  void check_listener(const Listener& listener) {
    const ConfLine* at = listener.start;
    if (at == nullptr && !listener.lines.empty()) at = listener.lines.front();
    if (listener.find("certfile") == nullptr) return check_plain_listener(listener, at);

    if (!listener.has_true("require_certificate")) {
      error(at,
            "require_certificate is not true: without it the broker asks nobody for a certificate; "
            "add "
            "`require_certificate true`");
    }
    if (listener.find("cafile") == nullptr && listener.find("capath") == nullptr) {
      error(at,
            "no cafile or capath: the broker cannot check device certificates; name the CA's file");
    }
    for (const std::string_view name : {"use_identity_as_username", "use_subject_as_username"}) {
      const ConfLine* line = listener.find(name);
      if (line == nullptr || !is_true(line->value)) continue;
      error(line,
            "with it the broker does not ask leafgate at CONNECT: remove it; leafgate sets the "
            "username to "
            "the device id itself");
    }
  }

  void check_plain_listener(const Listener& listener, const ConfLine* at) {
    if (listener.find("psk_hint") != nullptr) {
      return warning(listener.find("psk_hint"),
                     "clients with pre-shared keys have no certificate: only those named "
                     "in `without_certificate` get in");
    }
    const bool somebody = config_ && !config_->without_certificate.empty();
    warning(at, std::string("this listener has no TLS (certfile, keyfile): ") +
                    (somebody ? "only clients named in `without_certificate` get in"
                              : "nobody gets in here, because `without_certificate` names nobody"));
  }

  void check_together() {
    const policy::RulesSpec& rules = config_->rules.spec();
    const bool others_authenticate = last("password_file") != nullptr || other_plugin() != nullptr;
    if (rules.then == policy::Then::kDefer && !others_authenticate) {
      error(ours(),
            "leafgate.yaml says `then: defer`, but there is no password_file and no other plugin "
            "to accept "
            "anybody: every device will be refused");
    }
    if (!config_->without_certificate.empty() && !others_authenticate) {
      error(ours(),
            "`without_certificate` names clients, but there is no password_file and no other "
            "plugin to "
            "accept them");
    }
    const ConfLine* acl_file = last("acl_file");
    if (rules.topics == policy::TopicMode::kDefer && acl_file == nullptr &&
        other_plugin() == nullptr) {
      error(ours(),
            "leafgate.yaml says `topics: defer`, but there is no acl_file and no other plugin: "
            "every topic "
            "will be denied");
    }
    if (rules.topics != policy::TopicMode::kDefer && acl_file != nullptr) {
      warning(acl_file,
              "acl_file is not asked, because leafgate decides on topics: say `topics: defer` in "
              "leafgate.yaml or remove this line");
    }
  }

  const std::vector<ConfLine>& lines_;
  std::string path_;
  const std::optional<config::Config>& config_;
  std::string config_path_;
  std::vector<Finding> findings_;
};

// An error of config/ as a finding: it starts with `FILE:LINE: ` where it knows the line.
Finding finding_of(const std::string& path, std::string message) {
  Finding finding{Severity::kError, path, 0, {}};
  if (message.rfind(path + ":", 0) == 0) message.erase(0, path.size() + 1);
  const std::size_t digits = message.find_first_not_of("0123456789");
  if (digits != 0 && digits != std::string::npos && message[digits] == ':') {
    std::from_chars(message.data(), message.data() + digits, finding.line);
    message.erase(0, digits + 1);
  }
  finding.message = message.substr(std::min(message.find_first_not_of(' '), message.size()));
  return finding;
}

std::string_view to_string(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "warning";
  }
  return "error";
}

void print(const std::vector<Finding>& findings, const std::vector<std::string>& files, bool json) {
  const auto errors = std::count_if(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.severity == Severity::kError;
  });
  const auto warnings = static_cast<std::ptrdiff_t>(findings.size()) - errors;
  if (json) {
    Json list = Json::array();
    for (const Finding& finding : findings) {
      list.push_back({{"file", finding.file},
                      {"line", finding.line == 0 ? Json() : Json(finding.line)},
                      {"severity", to_string(finding.severity)},
                      {"message", finding.message}});
    }
    admin::print(Json{{"files", files},
                      {"findings", std::move(list)},
                      {"errors", errors},
                      {"warnings", warnings}});
    return;
  }
  for (const Finding& finding : findings) {
    std::cout << printable(finding.file)
              << (finding.line == 0 ? "" : ":" + std::to_string(finding.line)) << ": "
              << to_string(finding.severity) << ": " << printable(finding.message) << '\n';
  }
  for (const std::string& file : files)
    std::cout << "checked " << printable(file) << '\n';
  std::cout << errors << " errors, " << warnings << " warnings\n";
}

}  // namespace

std::vector<Finding> check_conf(const std::vector<ConfLine>& lines, const std::string& path,
                                const std::optional<config::Config>& config,
                                const std::string& config_path) {
  return Checker(lines, path, config, config_path).run();
}

std::string config_path_of(const std::vector<ConfLine>& lines) {
  bool in_ours = false;
  for (const ConfLine& line : lines) {
    if (is_plugin_line(line)) in_ours = is_ours(line);
    if (in_ours && is_plugin_option(line) &&
        line.name.substr(line.name.find("opt_") + 4) == "config") {
      return line.value;
    }
  }
  return {};
}

Exit check_config(const CommonOptions& common, const CheckConfigOptions& options) {
  std::vector<Finding> findings;
  std::vector<std::string> files;
  std::vector<ConfLine> lines;
  if (!options.mosquitto.empty()) {
    lines = read_conf(options.mosquitto, findings);
    files.push_back(options.mosquitto);
  }
  std::string path = options.file.empty() ? common.config : options.file;
  if (path.empty()) path = config_path_of(lines);
  if (path.empty() && options.mosquitto.empty()) path = kDefaultConfig;

  std::optional<config::Config> config;
  if (!path.empty()) {
    files.push_back(path);
    Result<config::Config> loaded = config::load(path);
    if (loaded) {
      config.emplace(std::move(loaded).value());
    } else if (loaded.error().kind == ErrorKind::kNotFound) {
      return fail(loaded.error(), common.json);
    } else {
      findings.push_back(finding_of(path, loaded.error().message));
    }
  }
  if (!options.mosquitto.empty()) {
    std::vector<Finding> more = check_conf(lines, options.mosquitto, config, path);
    std::move(more.begin(), more.end(), std::back_inserter(findings));
  }
  print(findings, files, common.json);
  const bool errors = std::any_of(findings.begin(), findings.end(), [](const Finding& finding) {
    return finding.severity == Severity::kError;
  });
  return errors ? Exit::kRefused : Exit::kOk;
}

}  // namespace leafgate::admin
