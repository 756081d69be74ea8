// SPDX-License-Identifier: Apache-2.0
#include "registry/data_set.h"

#include <charconv>
#include <utility>

#include "registry/info.h"

namespace leafgate::registry {
namespace {

constexpr std::size_t kRegressionsLogged = 10;

enum MetaField : std::size_t {
  kId,
  kSeq,
  kConfirmed,
  kReplaces,
  kRestored,
  kFormatField,
  kRule,
  kFieldCount
};

std::string text_at(const Reply& reply, MetaField at) {
  return std::string(reply.text_at(at).value_or(""));
}

Meta parse_meta(const Reply& reply) {
  Meta meta;
  meta.id = text_at(reply, kId);
  meta.confirmed = text_at(reply, kConfirmed);
  meta.replaces = text_at(reply, kReplaces);
  meta.restored = text_at(reply, kRestored);
  const std::string seq = text_at(reply, kSeq);
  std::from_chars(seq.data(), seq.data() + seq.size(), meta.seq);
  return meta;
}

}  // namespace

Result<void> ask_meta(const Schema& schema, std::uint64_t pulse, Pipeline& pipeline) {
  Request request;
  request.kind = Request::Kind::kMeta;
  request.named = pulse;
  return pipeline.send(std::move(request), {"HMGET", schema.meta(), "id", "seq", "confirmed",
                                            "replaces", "restored", "format", "device_id"});
}

DataSet::DataSet(Remembered remembered, bool hold_on_data_loss, std::string device_id_rule,
                 Outbox& outbox, log::Queue& log)
    : device_id_rule_(std::move(device_id_rule)),
      fence_(std::move(remembered), hold_on_data_loss),
      outbox_(outbox),
      log_(log) {}

Result<bool> DataSet::take_meta(const Reply& reply) {
  const bool unusable = reply.is_error() && classify(reply) == Refusal::kWrongType;
  if (!unusable && reply.size() != kFieldCount) return unexpected("cannot read meta", reply);
  const bool held_before = fence_.holding();
  const std::string id_before = fence_.found_id();
  const bool again = fence_.take(parse_meta(reply));
  report_hold(held_before, id_before);
  if (!fence_.holding()) warn_of_rule(text_at(reply, kRule), text_at(reply, kFormatField));
  return again;
}

bool DataSet::returned(std::uint64_t number) {
  if (!fence_.returned(number)) return false;
  report_hold(true, "");
  return true;
}

Result<bool> DataSet::take_replication(const Reply& reply) {
  const std::optional<std::string_view> info = reply.text();
  if (!info || reply.is_error()) return unexpected("cannot ask redis for INFO replication", reply);
  return fence_.take(parse_replication(*info));
}

void DataSet::report_hold(bool held_before, const std::string& id_before) {
  if (held_before && !fence_.holding()) {
    log_.push(log::Line(log::Level::kNotice, "registry_held_over").add("id", fence_.id()));
  }
  if (!fence_.holding() || (held_before && id_before == fence_.found_id())) return;
  log_.push(log::Line(log::Level::kError, "registry_held")
                .add("remembered", fence_.id())
                .add("found", fence_.found_id().empty() ? "none" : fence_.found_id())
                .add("do",
                     "restore the data set or check registry.url; if what is there now is "
                     "right: leafgate registry confirm"));
}

void DataSet::report_regressions() {
  for (const Fence::Regression& regression : fence_.take_new()) {
    untold_.push_back(regression);
    if (regressions_logged_++ >= kRegressionsLogged) continue;
    log_.push(log::Line(log::Level::kError, "registry_regressed")
                  .add("key", regression.key)
                  .add("held", regression.held)
                  .add("registry", regression.registry)
                  .add("do", "write the state that is right, or: leafgate registry confirm"));
  }
  tell_regressions();
}

// The list that somebody decides by must be whole: what has no room now is told later.
void DataSet::tell_regressions() {
  for (; !untold_.empty() && outbox_.room() != 0; untold_.pop_front()) {
    const Fence::Regression& told = untold_.front();
    outbox_.event(
        {"regressed", {{"key", told.key}, {"held", told.held}, {"registry", told.registry}}});
  }
}

void DataSet::reconciled() {
  report_regressions();
  if (regressions_logged_ > kRegressionsLogged) {
    log_.push(log::Line(log::Level::kError, "registry_regressed")
                  .add("found", static_cast<std::int64_t>(regressions_logged_))
                  .add("total", static_cast<std::int64_t>(fence_.regressions())));
  }
  regressions_logged_ = 0;
  fence_.reconciled();
}

void DataSet::warn_of_rule(std::string_view rule, std::string_view format) {
  const bool rule_differs = !rule.empty() && rule != device_id_rule_;
  const bool format_differs = !format.empty() && format != kFormat;
  const std::string now = std::string(rule) + "\n" + std::string(format);
  if (now == logged_rule_) return;
  logged_rule_ = now;
  if (rule_differs) {
    log_.push(log::Line(log::Level::kWarning, "device_id_rule_differs")
                  .add("registry", rule)
                  .add("ours", device_id_rule_)
                  .add("do", "make admission.device_id the same everywhere"));
  }
  if (format_differs) {
    log_.push(log::Line(log::Level::kWarning, "registry_format_differs")
                  .add("registry", format)
                  .add("ours", kFormat));
  }
}

}  // namespace leafgate::registry
