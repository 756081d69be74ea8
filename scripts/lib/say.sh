# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# How our scripts speak: numbered steps with the time since the start, colours only on a terminal.
# Sourced by scripts; defines functions and `started_us`, does nothing else.

if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
  bold=$'\e[1m' dim=$'\e[2m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
  bold='' dim='' red='' green='' plain=''
fi
readonly bold dim red green plain

# Microseconds since the epoch, without starting a process.
now_us() { echo "${EPOCHREALTIME//[.,]/}"; }

started_us=$(now_us)
readonly started_us
step_count=0

# `12.3` for a span in microseconds given in $1: seconds with one decimal.
as_seconds() { printf '%d.%d' $(($1 / 1000000)) $(($1 / 100000 % 10)); }

# `0.84` for a span in microseconds given in $1: milliseconds with two decimals.
as_ms() { printf '%d.%02d' $(($1 / 1000)) $(($1 / 10 % 100)); }

# step WORDS: the next numbered step.
step() {
  step_count=$((step_count + 1))
  printf '\n%s[%s s] %d. %s%s\n' "$bold" "$(as_seconds $(($(now_us) - started_us)))" \
    "$step_count" "$*" "$plain"
}

note() { printf '    %s%s%s\n' "$dim" "$*" "$plain"; }

# die WORDS: says what went wrong and ends the script.
die() {
  printf '%serror:%s %s\n' "$red" "$plain" "$*" >&2
  exit 1
}

# quietly LOG COMMAND…: runs the command with its output in LOG; shows the log's end when it fails.
quietly() {
  local log=$1
  shift
  if ! "$@" >"$log" 2>&1; then
    tail -n 60 "$log" >&2
    die "\`$*\` failed; everything it said is in $log"
  fi
}
