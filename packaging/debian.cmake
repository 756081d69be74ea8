# SPDX-License-Identifier: Apache-2.0
# Debian's packages: `cpack` in a build of the preset `package`; scripts/package does it in a clean one.
# EXCLUDE_FROM_ALL: only packages have these files; `cmake --install` must never write over anybody's
# configuration.
cmake_host_system_information(RESULT release QUERY DISTRIB_VERSION_ID)
# Each release has a build of its own, and an upgrade of the release has to bring its build.
set(CPACK_DEBIAN_PACKAGE_RELEASE 1~deb${release})
set(debian_version ${PROJECT_VERSION}-${CPACK_DEBIAN_PACKAGE_RELEASE})

install(FILES leafgate.yaml DESTINATION /etc/leafgate COMPONENT plugin EXCLUDE_FROM_ALL)

# The documents that Debian wants in each package.
configure_file(debian-changelog.in ${CMAKE_CURRENT_BINARY_DIR}/changelog.Debian @ONLY)
configure_file(${PROJECT_SOURCE_DIR}/CHANGELOG.md ${CMAKE_CURRENT_BINARY_DIR}/changelog COPYONLY)
foreach(text changelog.Debian changelog)
  add_custom_command(
    OUTPUT ${text}.gz COMMAND gzip -9nkf ${text}
    DEPENDS ${CMAKE_CURRENT_BINARY_DIR}/${text} VERBATIM)
endforeach()
add_custom_target(debian_changelogs ALL DEPENDS changelog.Debian.gz changelog.gz)
foreach(package_and_component mosquitto-leafgate:plugin leafgate:cli)
  string(REPLACE ":" ";" pair ${package_and_component})
  list(GET pair 0 package)
  list(GET pair 1 component)
  install(FILES copyright ${CMAKE_CURRENT_BINARY_DIR}/changelog.Debian.gz
          ${CMAKE_CURRENT_BINARY_DIR}/changelog.gz
          DESTINATION /usr/share/doc/${package} COMPONENT ${component} EXCLUDE_FROM_ALL)
  install(FILES ${package}.lintian-overrides DESTINATION /usr/share/lintian/overrides RENAME ${package}
          COMPONENT ${component} EXCLUDE_FROM_ALL)
endforeach()

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "leafgate maintainers <maintainers@leafgate.invalid>")
# Each package has its own; CPack would put this one before it.
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "")
set(CPACK_COMPONENTS_ALL plugin cli)
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_STRIP_FILES ON)
# Files outside the prefix, below /etc, need DESTDIR.
set(CPACK_SET_DESTDIR ON)
set(CPACK_INSTALL_PREFIX ${CMAKE_INSTALL_PREFIX})

set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SOURCE leafgate)
set(CPACK_DEBIAN_PACKAGE_SECTION net)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)

set(CPACK_DEBIAN_PLUGIN_PACKAGE_NAME mosquitto-leafgate)
set(CPACK_DEBIAN_PLUGIN_PACKAGE_DEPENDS "mosquitto (>= 2.0.11)")
set(CPACK_DEBIAN_PLUGIN_PACKAGE_RECOMMENDS leafgate)
# It may well be on another machine.
set(CPACK_DEBIAN_PLUGIN_PACKAGE_SUGGESTS "redis-server | valkey-server")
set(CPACK_DEBIAN_PLUGIN_PACKAGE_CONTROL_EXTRA ${CMAKE_CURRENT_SOURCE_DIR}/conffiles)
set(CPACK_DEBIAN_PLUGIN_DESCRIPTION "certificate gate for the Mosquitto MQTT broker
A plugin that lets a device into the broker only while its certificate is
active in a Redis or Valkey registry, and ends its session within
milliseconds when it no longer is. The broker answers from a copy in memory
and never waits for Redis.
.
Installing it changes nothing: the broker uses it when mosquitto.conf says so.")

set(CPACK_DEBIAN_CLI_PACKAGE_NAME leafgate)
# For the shell scripts, which work where the program does not.
set(CPACK_DEBIAN_CLI_PACKAGE_SUGGESTS "mosquitto-leafgate, openssl, redis-tools | valkey-tools")
set(CPACK_DEBIAN_CLI_DESCRIPTION "command line of the leafgate certificate registry
Registers, activates, deactivates, retires and revokes the device
certificates that Mosquitto brokers with the leafgate plugin admit; blocks
devices and issuers; explains why a device was refused; checks
configurations; and runs a small private certificate authority.
.
Shell scripts with the same effect and users for Redis are in
/usr/share/leafgate.")

include(CPack)
