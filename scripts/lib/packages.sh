# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Which Debian packages we need (12 and 13 use the same names), and how to install what is missing.
# Sourced by scripts, after say.sh. docs/why.md says why each dependency is there.

# To build the plugin, the command line program and the tests.
readonly packages_to_build=(g++ cmake ninja-build pkg-config libssl-dev libhiredis-dev
  libyaml-cpp-dev libcli11-dev nlohmann-json3-dev mosquitto-dev libmosquitto-dev
  catch2)
# To run them: the broker, the registry, and clients that are not ours.
readonly packages_to_run=(mosquitto mosquitto-clients redis-server redis-tools openssl)
# To test and check them.
readonly packages_to_test=(python3 python3-paho-mqtt clang-format shellcheck)
# For the second compiler, fuzzing and lint.
readonly packages_for_clang=(clang libclang-rt-dev clang-tidy)
# To measure, and to draw what was measured.
readonly packages_to_bench=(valgrind gnuplot-nox jq)
# To make Debian packages, manual pages included, and to look at them.
readonly packages_to_package=(dpkg-dev file lowdown lintian man-db)
# For Debians of their own to do that and more in.
readonly packages_for_worlds=(mmdebstrap iproute2)

# To test with as well, where the machine's package index has it: Debian 12 only in backports.
readonly packages_where_known=(valkey-server)

# Debian puts the broker where an ordinary user's PATH does not reach.
find_mosquitto() {
  PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" command -v mosquitto ||
    die "no \`mosquitto\` on this machine: apt-get install mosquitto"
}

is_installed() {
  [[ $(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null) == installed ]]
}

# run_as_root COMMAND…
run_as_root() {
  if [[ $(id -u) -eq 0 ]]; then
    "$@"
  else
    sudo "$@"
  fi
}

# A package's own service must not come up on this machine because somebody ran a test: invoke-rc.d and
# systemd's helpers ask policy-rc.d, and 101 means no. An administrator's own file is left alone.
install_without_services() (
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap 'run_as_root rm -f "$policy"' EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    printf '#!/bin/sh\nexit 101\n' | run_as_root tee "$policy" >/dev/null
    run_as_root chmod 0755 "$policy"
  fi
  run_as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q -y -o DPkg::Lock::Timeout=120 -o Dpkg::Use-Pty=0 \
    install --no-install-recommends "$@"
)

# install_known PACKAGE…: as install_missing, but leaves out what this machine's package index does not have.
install_known() {
  local package known=()
  for package in "$@"; do
    if is_installed "$package" || apt-cache policy "$package" 2>/dev/null | grep -q 'Candidate: [^(]'; then
      known+=("$package")
    else
      note "not in this machine's package index, and left out: $package"
    fi
  done
  [[ ${#known[@]} -eq 0 ]] || install_missing "${known[@]}"
}

# install_missing PACKAGE…: installs those that are not there; asks the package index only then.
install_missing() {
  local package missing=()
  for package in "$@"; do
    is_installed "$package" || missing+=("$package")
  done
  if [[ ${#missing[@]} -eq 0 ]]; then
    note "nothing to install"
    return
  fi
  command -v apt-get >/dev/null ||
    die "this is not a Debian system; install the equivalents of: ${missing[*]}"
  [[ $(id -u) -eq 0 ]] || command -v sudo >/dev/null ||
    die "neither root nor sudo; as root: apt-get install --no-install-recommends ${missing[*]}"
  note "installing: ${missing[*]}"
  local log
  log=$(mktemp)
  quietly "$log" run_as_root apt-get -q -o DPkg::Lock::Timeout=120 update
  quietly "$log" install_without_services "${missing[@]}"
  rm -f "$log"
}
