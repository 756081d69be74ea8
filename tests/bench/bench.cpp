// SPDX-License-Identifier: Apache-2.0
// leafgate beside its rivals: the same Mosquitto, the same devices, in turns within one run. Prints
// a table; writes it as JSON and Markdown, and the rows as JSON for the chart.
//
//   leafgate_bench [--only SECTION[,SECTION…]] [--out FOLDER]
//
// Exit status: 0 when every wanted bound was met, 1 when one was missed, 2 when nothing could be
// measured.
#include <sys/utsname.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <exception>
#include <fstream>
#include <sstream>
#include <thread>

#include "tests/bench/gauge.h"
#include "tests/bench/sections.h"

namespace leafgate::bench {
namespace {

struct Section {
  const char* name;
  void (*measure)(Grounds&, Figures&);
};
constexpr Section kSections[] = {
    {"connects", measure_connects}, {"bystanders", measure_bystanders},
    {"messages", measure_messages}, {"ends", measure_ends},
    {"growth", measure_growth},     {"decisions", measure_decisions},
};

struct Options {
  std::vector<std::string> only;
  std::string out = ".";

  bool wants(const std::string& section) const {
    return only.empty() || std::find(only.begin(), only.end(), section) != only.end();
  }
};

[[noreturn]] void usage() {
  std::fprintf(stderr,
               "usage: leafgate_bench [--only SECTION[,SECTION...]] [--out FOLDER]\nsections:");
  for (const Section& section : kSections)
    std::fprintf(stderr, " %s", section.name);
  std::fprintf(stderr, "\n");
  std::exit(2);
}

bool is_section(const std::string& name) {
  return std::any_of(std::begin(kSections), std::end(kSections),
                     [&](const Section& section) { return name == section.name; });
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc) usage();
    std::istringstream value(argv[i + 1]);
    if (std::strcmp(argv[i], "--out") == 0) {
      options.out = value.str();
    } else if (std::strcmp(argv[i], "--only") == 0) {
      for (std::string name; std::getline(value, name, ',');) {
        if (!is_section(name)) usage();
        options.only.push_back(name);
      }
    } else {
      usage();
    }
  }
  return options;
}

std::string first_line_with(const std::string& text, const std::string& word) {
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (line.find(word) != std::string::npos) return line;
  }
  return "unknown";
}

std::map<std::string, std::string> machine() {
  utsname system{};
  uname(&system);
  const std::time_t now = std::time(nullptr);
  char day[16];
  std::strftime(day, sizeof day, "%Y-%m-%d", std::gmtime(&now));
  const std::string processor = first_line_with(test::read_file("/proc/cpuinfo"), "model name");
  return {{"date", day},
          {"processors", std::to_string(std::thread::hardware_concurrency())},
          {"processor", processor.substr(processor.find(':') + 2)},
          {"kernel", std::string(system.sysname) + " " + system.release},
          {"mosquitto", first_line_with(test::run({"/usr/sbin/mosquitto", "-h"}).out, "version")},
          {"openssl", first_line_with(test::run({"openssl", "version"}).out, "OpenSSL")},
          {"redis", first_line_with(test::run({"redis-server", "--version"}).out, "Redis")}};
}

void write(const std::string& folder, const std::string& name, const std::string& text) {
  std::ofstream file(folder + "/" + name);
  if (!(file << text)) throw std::runtime_error("cannot write " + folder + "/" + name);
}

int run(const Options& options) {
  std::signal(SIGPIPE, SIG_IGN);
  raise_open_files();
  leave_first_processor();
  const auto about = machine();
  for (const auto& [what, value] : about)
    std::printf("%-12s %s\n", what.c_str(), value.c_str());
  std::printf("\nmedian [lowest-highest] of rounds that went in turns\n");
  std::fflush(stdout);

  Grounds grounds;
  Figures figures;
  for (const Section& section : kSections) {
    if (options.wants(section.name)) section.measure(grounds, figures);
  }
  write(options.out, "bench.json", figures.json(about));
  write(options.out, "bench.md", figures.markdown());
  std::printf("\n%zu wanted bounds missed\n", figures.missed());
  return figures.missed() == 0 ? 0 : 1;
}

}  // namespace
}  // namespace leafgate::bench

int main(int argc, char** argv) {
  const leafgate::bench::Options options = leafgate::bench::parse(argc, argv);
  try {
    return leafgate::bench::run(options);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 2;
  }
}
