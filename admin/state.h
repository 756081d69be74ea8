// SPDX-License-Identifier: Apache-2.0
// The commands that change the registry. Each prints its result and returns the exit code. Nothing
// is decided here: registry/transition.lua is the only judge of what may become what.
#pragma once

#include "admin/options.h"
#include "registry/writer.h"

namespace leafgate::admin {

Exit cert_import(const CommonOptions& common, const ImportOptions& options);
// `op`: kActivate, kDeactivate, kRetire, kRevoke or kDelete.
Exit cert_change(const CommonOptions& common, const ChangeOptions& options, registry::Op op);
// `op`: kBlock or kUnblock.
Exit device_change(const CommonOptions& common, const BlockOptions& options, registry::Op op);
Exit issuer_change(const CommonOptions& common, const BlockOptions& options, registry::Op op);
Exit registry_init(const CommonOptions& common, const RegistryInitOptions& options);
// Asks the person at the terminal unless told not to; kUsage when there is none.
Exit registry_confirm(const CommonOptions& common, const RegistryConfirmOptions& options);
// kUsage, and nothing written, when the file is not a whole and faultless backup.
Exit registry_import(const CommonOptions& common, const RegistryImportOptions& options);

}  // namespace leafgate::admin
