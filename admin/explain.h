// SPDX-License-Identifier: Apache-2.0
// `leafgate explain`: the decision for one certificate and one wish, with everything it rests on.
#pragma once

#include "admin/options.h"

namespace leafgate::admin {

// kOk when it is admitted, kRefused when it is not.
Exit explain(const CommonOptions& common, const ExplainOptions& options);

}  // namespace leafgate::admin
