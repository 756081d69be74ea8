// SPDX-License-Identifier: Apache-2.0
// Whole files, read with a limit and written without ever replacing one. Not for other folders.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace leafgate::certs {

// kNotFound, kUnreachable, or kInvalid for more than `limit` bytes; the message names the file.
Result<std::string> read_file(const std::string& path, std::size_t limit);

// Creates `path` with exactly `mode` and flushes it to disk. kRefused when it exists, kUnreachable
// when the file system fails; in neither case does a new file stay behind.
Result<void> write_new_file(const std::string& path, std::string_view content, mode_t mode);

}  // namespace leafgate::certs
