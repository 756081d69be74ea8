// SPDX-License-Identifier: Apache-2.0
// `leafgate ca`: a small private certificate authority in a folder, for labs and first fleets. Keys
// are unencrypted files of mode 0600; nothing is ever overwritten.
#pragma once

#include "admin/options.h"

namespace leafgate::admin {

// Makes root.crt root.key issuing.crt issuing.key ca-chain.crt (both certificates: a broker's
// cafile).
Exit ca_init(const CommonOptions& common, const CaInitOptions& options);

// Makes <id>.crt (the certificate and the issuing CA's) and <id>.key for each device, or one such
// pair for a server; with `register_them` puts the devices' certificates into the registry. A
// device whose files are there already counts as unchanged, so that an interrupted run can go on.
Exit ca_issue(const CommonOptions& common, const CaIssueOptions& options);

}  // namespace leafgate::admin
