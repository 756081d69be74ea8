// SPDX-License-Identifier: Apache-2.0
#include "tests/bench/figures.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>

namespace leafgate::bench {
namespace {

// Three digits that count, no exponent.
std::string number(double value) {
  const double size = std::fabs(value);
  const int decimals = size >= 100 ? 0 : size >= 10 ? 1 : size >= 1 ? 2 : 3;
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

std::string text(const Spread& spread) {
  if (spread.low == spread.high) return number(spread.median);
  return number(spread.median) + " [" + number(spread.low) + "–" + number(spread.high) + "]";
}

std::string text(const Row& row, const Wanted& wanted) {
  const char* sign = wanted.side == Wanted::Side::kAtLeast ? ">= " : "<= ";
  return sign + number(wanted.bound) + (row.met() ? " met" : " MISSED");
}

// A table's cell of this width on a terminal: what is not ASCII here has three bytes and one
// column.
std::string padded(std::string cell, std::size_t width) {
  std::size_t columns = 0;
  for (const char c : cell)
    columns += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  if (columns < width) cell.append(width - columns, ' ');
  return cell;
}

std::vector<std::string> cells(const Row& row) {
  const std::string ratio = row.ratio ? text(*row.ratio) + " × " + row.rival : "";
  return {row.measure, row.contender, text(row.value) + " " + row.unit, ratio,
          row.wanted ? text(row, *row.wanted) : ""};
}

nlohmann::json to_json(const Spread& spread) {
  return {{"median", spread.median}, {"low", spread.low}, {"high", spread.high}};
}

nlohmann::json to_json(const Row& row) {
  nlohmann::json out = {{"measure", row.measure},
                        {"unit", row.unit},
                        {"contender", row.contender},
                        {"rounds", row.rounds},
                        {"value", to_json(row.value)}};
  if (row.ratio) {
    out["rival"] = row.rival;
    out["ratio"] = to_json(*row.ratio);
  }
  if (row.wanted) {
    out["wanted"] = {{"of", row.wanted->of == Wanted::Of::kRatio ? "ratio" : "value"},
                     {"side", row.wanted->side == Wanted::Side::kAtLeast ? ">=" : "<="},
                     {"bound", row.wanted->bound},
                     {"met", row.met()}};
  }
  return out;
}

}  // namespace

Spread spread(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  const std::size_t middle = samples.size() / 2;
  const double median =
      samples.size() % 2 == 1 ? samples[middle] : (samples[middle - 1] + samples[middle]) / 2;
  return {median, samples.front(), samples.back()};
}

bool Row::met() const {
  if (!wanted) return true;
  if (wanted->of == Wanted::Of::kValue) return wanted->met(value.median);
  return ratio && wanted->met(ratio->median);
}

void Figures::add(const std::string& measure, const std::string& contender, std::size_t round,
                  double sample) {
  samples_[measure][contender][round] = sample;
}

void Figures::row(const std::string& measure, const std::string& unit, const std::string& contender,
                  const std::string& rival, std::optional<Wanted> wanted) {
  const Samples& own = samples_.at(measure).at(contender);
  std::vector<double> values;
  std::vector<double> ratios;
  for (const auto& [round, sample] : own) {
    values.push_back(sample);
    if (rival.empty() || rival == contender) continue;
    const Samples& others = samples_.at(measure).at(rival);
    const auto other = others.find(round);
    if (other != others.end()) ratios.push_back(sample / other->second);
  }
  Row row{measure, unit, contender, own.size(), spread(values), rival, std::nullopt, wanted};
  if (!ratios.empty()) row.ratio = spread(ratios);
  rows_.push_back(row);
  const std::vector<std::string> line = cells(row);
  std::printf("  %s%s%s%s%s\n", padded(line[0], 34).c_str(), padded(line[1], 46).c_str(),
              padded(line[2], 36).c_str(), padded(line[3], 50).c_str(), line[4].c_str());
  std::fflush(stdout);
}

void Figures::heading(const std::string& title) {
  headings_.emplace_back(rows_.size(), title);
  std::printf("\n%s\n", title.c_str());
  std::fflush(stdout);
}

std::size_t Figures::missed() const {
  return static_cast<std::size_t>(
      std::count_if(rows_.begin(), rows_.end(), [](const Row& row) { return !row.met(); }));
}

std::string Figures::json(const std::map<std::string, std::string>& machine) const {
  nlohmann::json out = {{"machine", machine}, {"rows", nlohmann::json::array()}};
  for (const Row& row : rows_)
    out["rows"].push_back(to_json(row));
  return out.dump(2) + "\n";
}

std::string Figures::markdown() const {
  std::string out;
  auto heading = headings_.begin();
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    for (; heading != headings_.end() && heading->first == i; ++heading) {
      out += "\n" + heading->second +
             "\n\n| measure | contender | median [lowest–highest] | ratio | wanted |\n"
             "|---|---|---|---|---|\n";
    }
    for (const std::string& cell : cells(rows_[i]))
      out += "| " + cell + " ";
    out += "|\n";
  }
  return out;
}

}  // namespace leafgate::bench
