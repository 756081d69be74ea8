// SPDX-License-Identifier: Apache-2.0
// Catch2 v2 compiles its runner here, once; v3 brings it as a library.
#ifndef LEAFGATE_CATCH2_V3
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
#endif
