# SPDX-License-Identifier: Apache-2.0
# Appends the tests of one build folder to a list that one ctest run can go through, so that several
# builds (plain, sanitizers, fuzz) end in one summary. Names get the build's name in front.
#
#   cmake -D BUILD=build/asan -D NAME=asan -D LABELS=unit|e2e -D TIMEOUT_FACTOR=5
#         -D ENVIRONMENT=A=b;C=d -D OUTPUT=build/all/CTestTestfile.cmake -P gather_tests.cmake
#
# LABELS: only tests with a label that matches this regular expression.
cmake_minimum_required(VERSION 3.22)

execute_process(
  COMMAND ${CMAKE_CTEST_COMMAND} --test-dir ${BUILD} -L ${LABELS} --show-only=json-v1
  OUTPUT_VARIABLE json COMMAND_ERROR_IS_FATAL ANY)

# The elements of a JSON array as a CMake list.
function(elements array out)
  set(result)
  string(JSON count LENGTH "${array}")
  if(count GREATER 0)
    math(EXPR last "${count} - 1")
    foreach(i RANGE ${last})
      string(JSON element GET "${array}" ${i})
      list(APPEND result "${element}")
    endforeach()
  endif()
  set(${out} "${result}" PARENT_SCOPE)
endfunction()

# One property of a test, as it has to be in the joint list.
function(joint_value key type value out)
  if(type STREQUAL "ARRAY")
    elements("${value}" value)
  endif()
  if(key STREQUAL "TIMEOUT")
    string(REGEX REPLACE "\\..*" "" value "${value}")
    math(EXPR value "${value} * ${TIMEOUT_FACTOR}")
  elseif(key STREQUAL "LABELS")
    list(APPEND value ${NAME})
  elseif(key MATCHES "^(FIXTURES_|DEPENDS)")
    list(TRANSFORM value PREPEND "${NAME}/")
  endif()
  set(${out} "${value}" PARENT_SCOPE)
endfunction()

string(JSON tests GET "${json}" tests)
string(JSON test_count LENGTH "${tests}")
if(test_count EQUAL 0)
  message(FATAL_ERROR "${BUILD} has no tests labelled `${LABELS}`")
endif()
math(EXPR last_test "${test_count} - 1")
foreach(t RANGE ${last_test})
  string(JSON test GET "${tests}" ${t})
  string(JSON name GET "${test}" name)
  set(name "[==[${NAME}/${name}]==]")

  string(JSON command ERROR_VARIABLE not_built GET "${test}" command)
  if(not_built)
    message(FATAL_ERROR "${BUILD}: a test's program is not built: ${name}")
  endif()
  elements("${command}" command)
  list(TRANSFORM command REPLACE "(.+)" " [==[\\1]==]")
  list(JOIN command "" command)
  file(APPEND ${OUTPUT} "add_test(${name}${command})\n")

  string(JSON properties GET "${test}" properties)
  string(JSON property_count LENGTH "${properties}")
  set(environment ${ENVIRONMENT})
  math(EXPR last_property "${property_count} - 1")
  foreach(p RANGE ${last_property})
    string(JSON key GET "${properties}" ${p} name)
    string(JSON type TYPE "${properties}" ${p} value)
    string(JSON value GET "${properties}" ${p} value)
    joint_value(${key} ${type} "${value}" value)
    if(key STREQUAL "ENVIRONMENT")
      list(APPEND environment ${value})
    else()
      file(APPEND ${OUTPUT} "set_tests_properties(${name} PROPERTIES ${key} [==[${value}]==])\n")
    endif()
  endforeach()
  if(environment)
    file(APPEND ${OUTPUT} "set_tests_properties(${name} PROPERTIES ENVIRONMENT [==[${environment}]==])\n")
  endif()
endforeach()
