# shellcheck shell=bash
# lib.sh: what the end-to-end tests share. Each test is a script that sources this, uses the real
# commands and judges of other people, and exits 0 only if all was as it should be.
#   THINVOL_BIN  where the commands are; TMPDIR  where it may write (a disk that takes O_DIRECT)
set -euo pipefail

: "${THINVOL_BIN:?the directory with the commands}"
export PATH=$THINVOL_BIN:$PATH:/usr/sbin:/sbin LC_ALL=C
# shellcheck disable=SC2034  # tests use it
here=$(cd "$(dirname "$0")" && pwd)
# Short, because socket paths are limited.
work=$(mktemp -d "${TMPDIR:-/var/tmp}/tv.XXXXXX")
export THINVOL_STATE_DIR=$work/s THINVOL_RUN_DIR=$work/r THINVOL_CONFIG_DIR=$work/c
cd "$work"

finish() {
  local status=$?
  trap - EXIT
  # Whatever the test was about: it leaves sound pools.
  [ $status != 0 ] || judge_all || status=1
  local pid log
  if [ $status != 0 ]; then
    for log in "$THINVOL_RUN_DIR"/*.log; do [ ! -s "$log" ] || tail -n 5 "$log" >&2; done
    echo "FAILED: $0 (see above)" >&2
  fi
  for pid in $(tvs --noheadings -o server_pid 2>/dev/null | sort -u); do
    kill -9 "$pid" 2>/dev/null || true
  done
  jobs -p | xargs -r kill -9 2>/dev/null || true
  # What a test holds besides files, it gives back here.
  if declare -F release >/dev/null; then release; fi
  cd /; rm -rf "$work"
  exit $status
}
trap finish EXIT
trap 'echo "$0: line $LINENO: $BASH_COMMAND" >&2' ERR

fail() { echo "$0: $*" >&2; exit 1; }

# fails CODE PATTERN COMMAND...: the command ends with that status, and says so on stderr, with
# nothing on stdout.
fails() {
  local code=$1 pattern=$2 status=0; shift 2
  "$@" >"$work/out" 2>"$work/err" </dev/null || status=$?
  [ "$status" = "$code" ] || fail "'$*' ended with $status, not $code: $(cat "$work/err")"
  grep -qE -- "$pattern" "$work/err" || fail "'$*' said \"$(cat "$work/err")\", not \"$pattern\""
  [ ! -s "$work/out" ] || fail "'$*' failed and yet wrote to stdout: $(cat "$work/out")"
}

# says PATTERN COMMAND...: it succeeds, and stdout matches.
says() {
  local pattern=$1; shift
  "$@" >"$work/out" 2>"$work/err" || fail "'$*' failed: $(cat "$work/err")"
  grep -qE -- "$pattern" "$work/out" || fail "'$*' wrote \"$(cat "$work/out")\", not \"$pattern\""
}

field() {
  local value; value=$(tvs --noheadings -o "$1" "$2")
  # shellcheck disable=SC2086  # without the spaces around it
  echo $value
}
uri() { field uri "$1"; }
# head_of URI BYTES: the first bytes of an export.
head_of() { /usr/bin/python3 -c '
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
left, at = int(sys.argv[2]), 0
while left > 0:
    n = min(left, 1 << 20)
    sys.stdout.buffer.write(h.pread(n, at))
    left -= n; at += n
h.shutdown()' "$1" "$2"; }
same() { cmp "$@" || fail "contents differ: $*"; }

# thin_dump's XML in the flat form.
support=$(cd "$(dirname "${BASH_SOURCE[0]}")/../support" && pwd)
flat_dump() { "$support/flat_dump.py" "$1"; }

# Every pool there is.
judge_all() {
  local pool
  for pool in $(tvs --noheadings -o lv_full_name,lv_attr | awk '$2 ~ /^t/ {print $1}'); do
    judge "$pool" || return 1
  done
}

# A pool's metadata as they are durable satisfy the distribution's judge and our own recount.
judge() {
  tvcheck "$1" >/dev/null && rm -f "$work/judged.img" &&
    tvdump --format raw -o "$work/judged.img" "$1" && thin_check -q "$work/judged.img"
}
