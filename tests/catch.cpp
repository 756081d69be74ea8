// SPDX-License-Identifier: Apache-2.0
// Nothing but a place in which catch.h is compiled once for all tests (CMake makes a precompiled
// header only for a target that has a source which uses it).
#include "tests/catch.h"
