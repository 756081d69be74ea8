// SPDX-License-Identifier: Apache-2.0
// What was measured: samples of rounds that went side by side, compared round by round, as a table
// for people and as JSON for programs.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

namespace leafgate::bench {

struct Spread {
  double median = 0;
  double low = 0;
  double high = 0;
};
Spread spread(std::vector<double> samples);  // REQUIRES: not empty

// What design says must be reached.
struct Wanted {
  enum class Of { kValue, kRatio } of = Of::kRatio;
  enum class Side { kAtLeast, kAtMost } side = Side::kAtLeast;
  double bound = 0;

  bool met(double found) const { return side == Side::kAtLeast ? found >= bound : found <= bound; }
};

struct Row {
  std::string measure;
  std::string unit;
  std::string contender;
  std::size_t rounds = 0;
  Spread value;
  std::string rival;            // empty: compared with nobody
  std::optional<Spread> ratio;  // value / rival's of the same round
  std::optional<Wanted> wanted;

  bool met() const;  // also when nothing is wanted
};

class Figures {
 public:
  // What a contender reached in a round. Rounds of the same number went side by side.
  void add(const std::string& measure, const std::string& contender, std::size_t round,
           double sample);
  // Makes a row of a contender's samples and prints it, with the ratio to a rival's in those rounds
  // that both have.
  void row(const std::string& measure, const std::string& unit, const std::string& contender,
           const std::string& rival = "", std::optional<Wanted> wanted = std::nullopt);
  // Starts a part of the table.
  void heading(const std::string& title);

  const std::vector<Row>& rows() const { return rows_; }
  std::size_t missed() const;
  // All rows, with what is known of the machine.
  std::string json(const std::map<std::string, std::string>& machine) const;
  // The same table as Markdown.
  std::string markdown() const;

 private:
  using Samples = std::map<std::size_t, double>;  // by round
  std::map<std::string, std::map<std::string, Samples>> samples_;
  std::vector<Row> rows_;
  std::vector<std::pair<std::size_t, std::string>> headings_;  // before that row
};

}  // namespace leafgate::bench
