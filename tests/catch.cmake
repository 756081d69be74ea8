# SPDX-License-Identifier: Apache-2.0
# Catch2 v2 (Debian 12) and v3 (Debian 13) behind one target `catch_main` and one header tests/catch.h.
find_package(Catch2 REQUIRED)

add_library(catch_header STATIC ${CMAKE_CURRENT_LIST_DIR}/catch.cpp)
target_link_libraries(catch_header PUBLIC settings Catch2::Catch2)
if(Catch2_VERSION VERSION_GREATER_EQUAL 3)
  target_compile_definitions(catch_header PUBLIC LEAFGATE_CATCH2_V3)
endif()
# Two of three seconds of a test's compilation were Catch2's header. Tests are executables: the header is
# compiled as they are, or they could not use it.
set_target_properties(catch_header PROPERTIES POSITION_INDEPENDENT_CODE OFF)
target_compile_options(catch_header PRIVATE -fPIE)
target_precompile_headers(catch_header PRIVATE ${CMAKE_CURRENT_LIST_DIR}/catch.h)

add_library(catch_main STATIC ${CMAKE_CURRENT_LIST_DIR}/catch_main.cpp)
target_link_libraries(catch_main PUBLIC catch_header)
if(Catch2_VERSION VERSION_GREATER_EQUAL 3)
  target_link_libraries(catch_main PUBLIC Catch2::Catch2WithMain)
endif()

# is_built_with(LABEL TARGET): `tests_<label>` builds all that has this label, and nothing else.
function(is_built_with label target)
  if(NOT TARGET tests_${label})
    add_custom_target(tests_${label})
  endif()
  add_dependencies(tests_${label} ${target})
endfunction()

# unit_test(NAME sources… LINK targets…): one Catch2 binary and its one ctest entry.
function(unit_test name)
  cmake_parse_arguments(arg "" "TIMEOUT" "SOURCES;LINK;LABELS" ${ARGN})
  add_executable(${name} ${arg_SOURCES})
  target_link_libraries(${name} PRIVATE catch_main ${arg_LINK})
  target_precompile_headers(${name} REUSE_FROM catch_header)
  add_test(NAME ${name} COMMAND ${name} WORKING_DIRECTORY ${PROJECT_SOURCE_DIR})
  if(NOT arg_TIMEOUT)
    set(arg_TIMEOUT 60)
  endif()
  if(NOT arg_LABELS)
    set(arg_LABELS unit)
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${arg_TIMEOUT} LABELS "${arg_LABELS}")
  is_built_with("${arg_LABELS}" ${name})
endfunction()
