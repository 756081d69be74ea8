# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
# What activate, deactivate, revoke and status share: where Redis is, which certificate is meant, and
# the transition itself, which is registry/transition.lua and nothing else. POSIX sh; needs openssl (for
# certificate files) and redis-cli. Sourced by scripts that define `usage` and set `root`.

readonly exit_refused=1 exit_usage=2 exit_missing=3 exit_unreachable=4
readonly answer_seconds=10

# The end of every usage text.
common_help() {
  cat <<'END'

Environment: LEAFGATE_REDIS_URL (redis://[USER@]HOST[:PORT][/DB], rediss:// for the same in TLS,
unix:///PATH[?db=DB] or redis-sentinel://HOST[:PORT],HOST[:PORT]/SERVICE[?db=DB]; default
redis://127.0.0.1:6379/0), REDISCLI_AUTH (the password), LEAFGATE_PREFIX (default leafgate:),
LEAFGATE_TLS_CA, LEAFGATE_TLS_CERT, LEAFGATE_TLS_KEY (files for TLS, at sentinels as well). In TLS
redis-cli checks which CA issued the certificate of Redis, but not for which host; leafgate does both.
Sentinels that want a log-in are for leafgate only.

Exit status: 0 done or so already, 1 refused, 2 wrong call, 3 no such record, 4 Redis not reachable.
END
}

# die STATUS WORDS
die() {
  code=$1
  shift
  printf 'error: %s\n' "$*" >&2
  exit "$code"
}

is_number() {
  case $1 in
    '' | *[!0-9]*) return 1 ;;
  esac
}

# Takes LEAFGATE_REDIS_URL apart into user, host, port, socket and database. No message repeats it: a
# password may be anywhere in one that is not understood.
read_url() {
  url=${LEAFGATE_REDIS_URL:-redis://127.0.0.1:6379/0}
  user='' host='' port='' socket='' database='' tls='' sentinels=''
  case $url in
    redis://*) read_tcp_url "${url#redis://}" ;;
    rediss://*) tls=yes; read_tcp_url "${url#rediss://}" ;;
    redis-sentinel://*) read_sentinel_url "${url#redis-sentinel://}" ;;
    unix:///*\?db=*) socket=${url#unix://} database=${socket##*\?db=} socket=${socket%\?db=*} ;;
    unix:///*) socket=${url#unix://} ;;
    *)
      die "$exit_usage" \
        'LEAFGATE_REDIS_URL: write redis[s]://[USER@]HOST[:PORT][/DB], unix:///PATH[?db=DB] or redis-sentinel://HOST,HOST/SERVICE' ;;
  esac
  : "${port:=6379}" "${database:=0}"
  is_number "$port" && is_number "$database" ||
    die "$exit_usage" 'LEAFGATE_REDIS_URL: port and database are numbers'
}

read_tcp_url() {
  authority=${1%%/*}
  database=${1#"$authority"}
  database=${database#/}
  case $authority in
    *@*) user=${authority%@*} authority=${authority##*@} ;;
  esac
  case $user in
    *:*)
      die "$exit_usage" \
        'LEAFGATE_REDIS_URL: a password there would show in process lists: set REDISCLI_AUTH' ;;
  esac
  split_address "$authority" 6379
}

# split_address HOST[:PORT] DEFAULT-PORT: sets host and port.
split_address() {
  port=''
  case $1 in
    \[*\]*) host=${1#\[} host=${host%%\]*} port=${1##*\]} port=${port#:} ;;
    *:*) host=${1%%:*} port=${1#*:} ;;
    *) host=$1 ;;
  esac
  [ -n "$host" ] || die "$exit_usage" 'LEAFGATE_REDIS_URL: there is no host name'
  : "${port:=$2}"
}

# Leaves it to find_master to set host and port.
read_sentinel_url() {
  sentinels=${1%%/*} service=${1#*/}
  case $service in
    *\?db=*) database=${service##*\?db=} service=${service%\?db=*} ;;
  esac
  case $1 in
    *@* | /*) service='' ;;
    */*) ;;
    *) service='' ;;
  esac
  case $service in
    '' | *[!A-Za-z0-9._-]*)
      die "$exit_usage" \
        'LEAFGATE_REDIS_URL: write redis-sentinel://HOST[:PORT],HOST[:PORT]/SERVICE[?db=DB]' ;;
  esac
  [ -z "${LEAFGATE_TLS_CA-}${LEAFGATE_TLS_CERT-}" ] || tls=yes
}

# Sets host and port to the server that more than half of the sentinels call the master.
find_master() {
  number=0 answers='' rest=$sentinels,
  while [ -n "$rest" ]; do
    number=$((number + 1))
    split_address "${rest%%,*}" 26379
    rest=${rest#*,}
    answer=$(ask_sentinel) || answer=''
    case $answer in
      *' '*' '*) ;;
      *' '*[0-9])
        answers="$answers$answer
" ;;
    esac
  done
  winner=$(printf %s "$answers" | sort | uniq -c | sort -rn | head -n 1)
  read -r votes host port <<END || :
$winner
END
  [ $((2 * ${votes:-0})) -gt "$number" ] ||
    die "$exit_unreachable" "of $number sentinels no majority names one master of \`$service\`"
}

# One line: address and port. The password is for Redis and not for its sentinels.
ask_sentinel() (
  unset REDISCLI_AUTH
  user='' database=0
  redis --raw SENTINEL GET-MASTER-ADDR-BY-NAME "$service" | tr '\n' ' ' | sed 's/ $//'
)

read_prefix() {
  prefix=${LEAFGATE_PREFIX:-leafgate:}
  case $prefix in
    *[!A-Za-z0-9._:{}-]* | *[!:] | ?????????????????????????????????????????????????????????????????*)
      die "$exit_usage" 'LEAFGATE_PREFIX: at most 64 letters, digits and ._:{}- with a colon at the end' ;;
  esac
}

# redis ARGUMENT…: redis-cli there, with a deadline where the system has timeout(1). The password, if
# any, comes from REDISCLI_AUTH, which redis-cli reads itself.
redis() {
  [ -z "$user" ] || set -- --user "$user" "$@"
  if [ -n "$socket" ]; then set -- -s "$socket" "$@"; else set -- -h "$host" -p "$port" "$@"; fi
  if [ -n "$tls" ]; then
    set -- --tls ${LEAFGATE_TLS_CA:+--cacert "$LEAFGATE_TLS_CA"} \
      ${LEAFGATE_TLS_CERT:+--cert "$LEAFGATE_TLS_CERT"} ${LEAFGATE_TLS_KEY:+--key "$LEAFGATE_TLS_KEY"} "$@"
  fi
  set -- redis-cli -n "$database" "$@"
  if command -v timeout >/dev/null; then set -- timeout "$answer_seconds" "$@"; fi
  "$@" 2>&1
}

# Ends the script unless Redis is there and accepts the log-in. redis-cli goes on as another user after
# a log-in that failed, so this comes before everything else.
connect() {
  command -v redis-cli >/dev/null || die "$exit_usage" 'redis-cli is not installed (Debian: redis-tools)'
  read_url
  read_prefix
  [ -z "$sentinels" ] || find_master
  # Without a password redis-cli silently stays the default user.
  [ -z "$user" ] || [ -n "${REDISCLI_AUTH-}" ] ||
    die "$exit_usage" 'LEAFGATE_REDIS_URL names a user: set REDISCLI_AUTH to its password'
  pong=$(redis PING) || :
  case $pong in
    PONG | NOPERM*) ;;
    *AUTH* | *WRONGPASS* | *'SELECT '*) die "$exit_refused" "redis refuses the log-in: $pong" ;;
    *)
      : "${pong:=no answer in $answer_seconds s}"
      die "$exit_unreachable" "redis does not answer: $pong: check LEAFGATE_REDIS_URL" ;;
  esac
}

# read_certificate TEXT: sets fingerprint from a fingerprint as people paste it or from a certificate file.
read_certificate() {
  fingerprint=$(printf %s "$1" | tr -d : | tr A-F a-f)
  case $fingerprint in
    *[!0-9a-f]*) ;;
    *) if [ ${#fingerprint} -eq 64 ]; then return; fi ;;
  esac
  [ -f "$1" ] || die "$exit_usage" 'neither a fingerprint (64 hex digits, colons allowed) nor a file'
  command -v openssl >/dev/null || die "$exit_usage" 'openssl is not installed: give a fingerprint'
  fingerprint=$(openssl x509 -in "$1" -noout -fingerprint -sha256 2>/dev/null) ||
    die "$exit_usage" 'the file is not a certificate in PEM or DER'
  fingerprint=$(printf %s "${fingerprint#*=}" | tr -d : | tr A-F a-f)
}

# change OP [OPTION…] CERTIFICATE: the whole of activate, deactivate and revoke.
change() {
  op=$1 dry='' by='' note='' reason='' certificate=''
  shift
  while [ $# -gt 0 ]; do
    case $1 in
      --help | -h)
        usage
        exit 0 ;;
      --dry-run) dry='?' ;;
      --by | --note | --reason)
        [ $# -ge 2 ] || die "$exit_usage" "$1 needs a value"
        take_option "$1" "$2"
        shift ;;
      -*) die "$exit_usage" 'unknown option: see --help' ;;
      *)
        [ -z "$certificate" ] || die "$exit_usage" 'give one certificate: see --help'
        certificate=$1 ;;
    esac
    shift
  done
  if [ -z "$certificate" ]; then
    usage >&2
    exit "$exit_usage"
  fi
  : "${by:=$(id -un)@$(uname -n)}"
  read_certificate "$certificate"
  connect
  transition "$op$dry" ${reason:+reason "$reason"}
}

take_option() {
  case $1 in
    --by) by=$2 ;;
    --note) note=$2 ;;
    --reason)
      [ "$op" = revoke ] || die "$exit_usage" "$op takes no --reason: see --help"
      reason=$2 ;;
  esac
}

# transition OP [FIELD VALUE]…: runs the script, says what came of it and ends with its exit status.
transition() {
  lua=$root/registry/transition.lua
  [ -r "$lua" ] || die "$exit_usage" "there is no $lua: keep scripts and registry side by side"
  asked=$1 status='' seq='' from='' to='' message=''
  shift
  reply=$(redis --raw --eval "$lua" "${prefix}cert:$fingerprint" "${prefix}meta" "${prefix}log" , \
    "$asked" '' "$by" "$note" "$@") || :
  # Empty lines at the end are lost; reading them again leaves the variables empty.
  {
    IFS= read -r status
    IFS= read -r seq
    IFS= read -r from
    IFS= read -r to
    IFS= read -r message
  } <<END || :
$reply
END
  case $status in
    OK) say_done ;;
    SAME) printf 'unchanged: %s\n' "$message" ;;
    MISSING) die "$exit_missing" "$fingerprint: $message" ;;
    REFUSED | CONFLICT) die "$exit_refused" "$fingerprint: $message" ;;
    NOPERM* | NOAUTH* | WRONGPASS*) die "$exit_refused" "redis refuses: $status" ;;
    *) die "$exit_unreachable" "redis did not do it: ${status:-no answer in $answer_seconds s}" ;;
  esac
}

say_done() {
  case $asked in
    *\?) printf 'would change' ;;
    *) printf 'done (log %s)' "$seq" ;;
  esac
  printf ': %s -> %s%s\n' "$from" "$to" "${message:+; $message}"
}
