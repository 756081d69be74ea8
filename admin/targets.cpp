// SPDX-License-Identifier: Apache-2.0
#include "admin/targets.h"

#include <utility>

#include "admin/record.h"

namespace leafgate::admin {
namespace {

Result<std::vector<Target>> targets_of_device(Access& access, const std::string& device) {
  const Result<std::vector<policy::Fingerprint>> found = certificates_of(access, device);
  if (!found) return found.error();
  if (found.value().empty()) {
    return Error{ErrorKind::kNotFound, "device `" + device + "` has no registered certificate"};
  }
  std::vector<Target> targets;
  for (const policy::Fingerprint& fingerprint : found.value()) {
    Target target;
    target.where = device;
    target.fingerprint = fingerprint;
    targets.push_back(std::move(target));
  }
  return targets;
}

}  // namespace

Result<Targets> Targets::certificates(Access& access, const SelectorOptions& which) {
  if (which.selectors.empty() && which.devices.empty() && which.from.empty()) {
    return Error{ErrorKind::kInvalid,
                 "no certificate is named: give a fingerprint, a file, --device or --from"};
  }
  // A slip in the last of ten selectors must not be found after nine were changed.
  for (const std::string& text : which.selectors) {
    if (const Result<Selector> selector = parse_selector(text); !selector) return selector.error();
  }

  Targets targets;
  for (const std::string& device : which.devices) {
    Result<std::vector<Target>> found = targets_of_device(access, device);
    if (!found) return found.error();
    for (Target& target : found.value())
      targets.ready_.push_back(std::move(target));
  }
  if (!which.selectors.empty()) {
    targets.sources_.push_back(std::make_unique<SelectorSource>(which.selectors));
  }
  if (!which.from.empty()) {
    Result<std::unique_ptr<Source>> source =
        open_source(which.from, TextSource::Holds::kCertificates);
    if (!source) return with_context("--from", source.error());
    targets.sources_.push_back(std::move(source).value());
  }
  return targets;
}

Result<Targets> Targets::device_ids(const SelectorOptions& which) {
  if (which.selectors.empty() && which.from.empty()) {
    return Error{ErrorKind::kInvalid, "no device is named: give device ids or --from"};
  }
  Targets targets;
  for (const std::string& id : which.selectors) {
    Target target;
    target.where = id;
    target.device = id;
    targets.ready_.push_back(std::move(target));
  }
  if (!which.from.empty()) {
    Result<std::unique_ptr<Source>> source = open_source(which.from, TextSource::Holds::kDevices);
    if (!source) return with_context("--from", source.error());
    targets.sources_.push_back(std::move(source).value());
  }
  return targets;
}

std::optional<Result<Target>> Targets::next() {
  if (!ready_.empty()) {
    Target target = std::move(ready_.front());
    ready_.pop_front();
    return target;
  }
  while (!sources_.empty()) {
    if (std::optional<Result<Target>> target = sources_.front()->next()) return target;
    sources_.pop_front();
  }
  return std::nullopt;
}

}  // namespace leafgate::admin
