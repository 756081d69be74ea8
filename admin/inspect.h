// SPDX-License-Identifier: Apache-2.0
// The commands that only look: certificates, devices, the state of the fleet, what happens now.
#pragma once

#include "admin/options.h"

namespace leafgate::admin {

Exit cert_list(const CommonOptions& common, const ListOptions& options);
// kNotFound when one of the certificates has no record.
Exit cert_show(const CommonOptions& common, const ShowOptions& options);
// kNotFound when the registry knows neither a certificate nor a block of the device.
Exit device_show(const CommonOptions& common, const ShowOptions& options);
Exit registry_regressions(const CommonOptions& common);
Exit registry_export(const CommonOptions& common, const RegistryExportOptions& options);
Exit status(const CommonOptions& common, const StatusOptions& options);
// Runs until SIGINT or SIGTERM: kOk.
Exit watch(const CommonOptions& common, const WatchOptions& options);

}  // namespace leafgate::admin
