// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>

#include "admin/check_config.h"
#include "admin/mosquitto_conf.h"
#include "tests/catch.h"
#include "tests/support/process.h"

using namespace leafgate;
using namespace leafgate::admin;
using Severity = Finding::Severity;

namespace {

// A mosquitto.conf that leafgate wants, and a folder around it.
class Conf {
 public:
  Conf() {
    test::write_file(dir_ / "mosquitto_leafgate.so", "");
    test::write_file(dir_ / "leafgate.yaml", "");
  }

  std::string text() const {
    return "set_tcp_nodelay true\n"
           "plugin " +
           dir_ / "mosquitto_leafgate.so" +
           "\n"
           "plugin_opt_config " +
           dir_ / "leafgate.yaml" +
           "\n"
           "listener 8883\n"
           "certfile server.crt\n"
           "keyfile server.key\n"
           "cafile ca.crt\n"
           "require_certificate true\n";
  }

  std::string text_without(const std::string& line) const {
    std::string out = text();
    const std::size_t at = out.find(line);
    REQUIRE(at != std::string::npos);
    out.erase(at, out.find('\n', at) + 1 - at);
    return out;
  }

  std::vector<Finding> check(const std::string& text,
                             const std::string& yaml = "topics: any\n") const {
    test::write_file(path(), text);
    std::vector<Finding> findings;
    const auto lines = read_conf(path(), findings);
    std::optional<config::Config> config;
    if (!yaml.empty()) {
      auto parsed = config::parse(yaml, "leafgate.yaml");
      INFO((parsed ? "" : parsed.error().message));
      REQUIRE(parsed.ok());
      config.emplace(std::move(parsed).value());
    }
    auto more = check_conf(lines, path(), config, dir_ / "leafgate.yaml");
    findings.insert(findings.end(), more.begin(), more.end());
    return findings;
  }

  std::string path() const { return dir_ / "mosquitto.conf"; }
  const test::TempDir& dir() const { return dir_; }

 private:
  test::TempDir dir_;
};

bool has(const std::vector<Finding>& findings, Severity severity, std::size_t line,
         const std::string& words) {
  return std::any_of(findings.begin(), findings.end(), [&](const Finding& finding) {
    return finding.severity == severity && finding.line == line &&
           finding.message.find(words) != std::string::npos;
  });
}

std::string words(const std::vector<Finding>& findings) {
  std::string out;
  for (const Finding& finding : findings)
    out += std::to_string(finding.line) + ": " + finding.message + "\n";
  return out;
}

}  // namespace

TEST_CASE("a mosquitto.conf as leafgate wants it has no finding", "[admin][conf]") {
  const Conf conf;
  const auto findings = conf.check(conf.text());

  INFO(words(findings));
  CHECK(findings.empty());
}

TEST_CASE("each thing that lets devices past the gate is an error with its line", "[admin][conf]") {
  const Conf conf;
  struct Case {
    std::string what;
    std::string text;
    std::size_t line;
    std::string words;
  };
  const std::vector<Case> cases = {
      {"no plugin",
       "set_tcp_nodelay true\nlistener 8883\ncertfile a\ncafile b\nrequire_certificate true\n", 0,
       "leafgate is not loaded: add `plugin /usr/lib/leafgate/plugin/mosquitto_leafgate.so`"},
      {"another plugin first", "plugin /x/mosquitto_dynamic_security.so\n" + conf.text(), 3,
       "must be the first"},
      {"an old-style plugin first", "auth_plugin /x/other.so\n" + conf.text(), 3,
       "must be the first"},
      {"no require_certificate", conf.text_without("require_certificate"), 4,
       "require_certificate is not true"},
      {"require_certificate false", conf.text() + "require_certificate false\n", 4,
       "require_certificate is not true"},
      {"no CA", conf.text_without("cafile"), 4, "no cafile or capath"},
      {"username from the certificate", conf.text() + "use_identity_as_username true\n", 9,
       "does not ask leafgate"},
      {"username from the subject", conf.text() + "use_subject_as_username true\n", 9,
       "does not ask leafgate"},
      {"per_listener_settings", conf.text() + "per_listener_settings true\n", 9, "2.0.15"},
      {"no configuration", conf.text_without("plugin_opt_config"), 2, "plugin_opt_config"},
      {"unknown option", conf.text() + "plugin_opt_colour red\n", 9, "remove this line"},
      {"loaded twice", conf.text() + "plugin /y/mosquitto_leafgate.so\n", 2, "more than once"},
  };
  for (const Case& c : cases) {
    INFO(c.what);
    const auto findings = conf.check(c.text);
    INFO(words(findings));
    CHECK(has(findings, Severity::kError, c.line, c.words));
  }
}

TEST_CASE("what is slow or needless is a warning", "[admin][conf]") {
  const Conf conf;

  CHECK(has(conf.check(conf.text_without("set_tcp_nodelay")), Severity::kWarning, 0, "40 ms"));
  CHECK(has(conf.check(conf.text() + "allow_anonymous true\n"), Severity::kWarning, 9,
            "set it to false"));
  CHECK(has(conf.check(conf.text() + "listener 1883 127.0.0.1\n"), Severity::kWarning, 9,
            "nobody gets in here"));
  CHECK(has(conf.check(conf.text() + "acl_file /x\n"), Severity::kWarning, 9,
            "acl_file is not asked"));
}

TEST_CASE("every TLS listener is checked by its own lines", "[admin][conf]") {
  const Conf conf;
  const auto findings =
      conf.check(conf.text() + "listener 8884\ncertfile a\nkeyfile b\ncapath /c\n");

  INFO(words(findings));
  CHECK(findings.size() == 1);
  CHECK(has(findings, Severity::kError, 9, "require_certificate is not true"));
}

TEST_CASE("what leafgate defers to must exist", "[admin][conf]") {
  const Conf conf;
  const std::string defer = "admission: {then: defer}\ntopics: any\n";
  const std::string exporter =
      "topics: any\nwithout_certificate: [{username: exporter, address: 127.0.0.1}]\n";

  CHECK(has(conf.check(conf.text(), defer), Severity::kError, 2, "`then: defer`"));
  CHECK_FALSE(has(conf.check(conf.text() + "password_file /p\n", defer), Severity::kError, 2,
                  "`then: defer`"));
  CHECK(has(conf.check(conf.text(), "topics: defer\n"), Severity::kError, 2, "`topics: defer`"));
  CHECK_FALSE(has(conf.check(conf.text() + "acl_file /a\n", "topics: defer\n"), Severity::kError, 2,
                  "`topics"));
  CHECK(has(conf.check(conf.text(), exporter), Severity::kError, 2, "`without_certificate`"));
}

TEST_CASE("the file the broker reads must be the file that was checked", "[admin][conf]") {
  const Conf conf;
  test::write_file(conf.dir() / "other.yaml", "");
  std::string text = conf.text_without("plugin_opt_config");
  const std::size_t at = text.find("listener");
  text.insert(at, "plugin_opt_config " + conf.dir() / "other.yaml" + "\n");

  CHECK(has(conf.check(text), Severity::kError, 3, "names another file"));
}

TEST_CASE("an include_dir is followed, its files in order and by their own names",
          "[admin][conf]") {
  const Conf conf;
  const std::string folder = conf.dir() / "conf.d";
  std::filesystem::create_directory(folder);
  test::write_file(folder + "/a.conf", "# first\nplugin /x/other.so\n");
  test::write_file(folder + "/b.conf", conf.text());
  test::write_file(folder + "/c.txt", "per_listener_settings true\n");
  const auto findings = conf.check("include_dir " + folder + "\n");

  INFO(words(findings));
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].file == folder + "/b.conf");
  CHECK(findings[0].line == 2);
  CHECK_THAT(findings[0].message, ContainsSubstring("other.so"));
}

TEST_CASE("a mosquitto.conf that cannot be read is an error, not silence", "[admin][conf]") {
  std::vector<Finding> findings;
  CHECK(read_conf("/nowhere/mosquitto.conf", findings).empty());
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].severity == Severity::kError);
}

TEST_CASE("the path of leafgate.yaml is the one below our plugin, not another's", "[admin][conf]") {
  const std::vector<ConfLine> lines = {{"f", 1, "plugin", "/x/other.so"},
                                       {"f", 2, "plugin_opt_config", "/x/other.yaml"},
                                       {"f", 3, "plugin", "/x/mosquitto_leafgate.so"},
                                       {"f", 4, "plugin_opt_config", "/x/ours.yaml"}};
  CHECK(config_path_of(lines) == "/x/ours.yaml");
}
