// SPDX-License-Identifier: Apache-2.0
#include "certs/issue.h"
