# SPDX-License-Identifier: Apache-2.0
# Writes a C++ source that holds a text file: cmake -D INPUT=… -D OUTPUT=… -P embed.cmake
file(READ "${INPUT}" text)
file(WRITE "${OUTPUT}" "#include \"registry/transition.h\"\n
namespace leafgate::registry {
const std::string_view kTransitionLua = R\"lua(${text})lua\";
}  // namespace leafgate::registry
")
