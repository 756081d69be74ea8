# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Debian releases of their own to build and test in, as chroots that mmdebstrap makes. Sourced by
# scripts in the repository's root, after say.sh and packages.sh.

# The archive this machine itself installs from.
mirror() {
  # shellcheck disable=SC2016  # apt expands these, not the shell
  apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1
}

# make_world SUITE WORLD [--also SUITE] PACKAGE…: a Debian below WORLD with these packages, and the other
# suite among its sources. One that was made before stays.
make_world() {
  local suite=$1 world=$2 sources packages
  shift 2
  [[ ! -e $world/.made ]] || return 0
  sources=("$(mirror)")
  if [[ ${1:-} == --also ]]; then
    sources+=("deb $(mirror) $2 main")
    shift 2
  fi
  packages=$(IFS=,; echo "$*")
  note "installing Debian $suite below $world"
  run_as_root rm -rf "$world"
  mkdir -p "$(dirname "$world")"
  # A suite under development may carry a release file past its date; nothing is shipped from here.
  quietly "$world-install.log" run_as_root mmdebstrap --variant=apt \
    --aptopt='Acquire::Check-Valid-Until "false"' --include="$packages" "$suite" "$world" "${sources[@]}"
  run_as_root touch "$world/.made"
}

# inside WORLD COMMAND…: in the chroot, with /proc and /dev, in mount and process namespaces that end
# with the command.
inside() {
  in_namespaces '' "$@"
}

# alone WORLD COMMAND…: as inside, and with no network but a loopback interface of its own.
alone() {
  in_namespaces --net "$@"
}

in_namespaces() {
  # shellcheck disable=SC2016  # the inner shell expands these
  run_as_root unshare --mount --pid --fork ${1:+"$1"} sh -c '
    mount --rbind /dev "$2/dev" && mount -t proc proc "$2/proc" || exit
    [ -z "$1" ] || ip link set lo up || exit
    world=$2; shift 2
    exec chroot "$world" "$@"' sh "$@"
}

# copy_tree WORLD: this working tree to /leafgate in the chroot.
copy_tree() {
  run_as_root mkdir -p "$1/leafgate"
  git ls-files -z --cached --others --exclude-standard | tar -c --null -T - |
    run_as_root tar -x -C "$1/leafgate" --no-same-owner
}
