# SPDX-License-Identifier: Apache-2.0
# Settings shared by every target of ours, and by nothing we import.
find_package(Threads REQUIRED)
find_package(OpenSSL 3.0 REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(hiredis REQUIRED IMPORTED_TARGET hiredis)
find_package(yaml-cpp REQUIRED)
find_package(CLI11 REQUIRED)
find_package(nlohmann_json REQUIRED)

# yaml-cpp's target was renamed in 0.8 (Debian 13); Debian 12 has 0.7.
if(TARGET yaml-cpp::yaml-cpp)
  set(YAML_CPP_TARGET yaml-cpp::yaml-cpp)
else()
  set(YAML_CPP_TARGET yaml-cpp)
endif()

set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_CXX_EXTENSIONS OFF)

add_library(settings INTERFACE)
target_compile_features(settings INTERFACE cxx_std_20)
target_compile_options(settings INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wnon-virtual-dtor)
target_include_directories(settings INTERFACE ${PROJECT_SOURCE_DIR})
if(LEAFGATE_WERROR)
  target_compile_options(settings INTERFACE -Werror)
endif()
if(LEAFGATE_SANITIZE)
  target_compile_options(settings INTERFACE -fsanitize=${LEAFGATE_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(settings INTERFACE -fsanitize=${LEAFGATE_SANITIZE})
  # An address that is undefined behaviour must end the test, not scroll by.
  if(LEAFGATE_SANITIZE MATCHES "undefined")
    target_compile_options(settings INTERFACE -fno-sanitize-recover=undefined)
  endif()
endif()
