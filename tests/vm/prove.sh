#!/usr/bin/env bash
# prove.sh [JOB...]: the jobs that need a real kernel, each in a virtual machine of its own, as many
# at a time as there are processors.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

# Prints a line with the verdict, and all that was said if it is FAIL.
prove() {
  local job=$1 limit=900 began=$SECONDS status=0 out output verdict=PASS summary
  out=$(mktemp -d "${TMPDIR:-/var/tmp}/thinvol-vm.XXXXXX")
  output=$("$here/boot.sh" -t $limit -o "$out" "$here/jobs/$job" 2>&1) || status=$?
  # The engine's part of a comparison needs no kernel.
  if [ $status = 0 ] && [ -x "$here/compare/$job" ]; then
    output=$("$here/compare/$job" "$out" 2>&1) || status=$?
  fi
  rm -rf "$out"
  summary=$(sed -n '$p' <<< "$output")
  if [ $status != 0 ]; then verdict=FAIL summary=$output; fi
  printf '%-12s %s %4d s  %s\n' "$job" "$verdict" $((SECONDS - began)) "$summary"
  [ $status = 0 ]
}

if [ "${1:-}" = --one ]; then prove "$2"; exit; fi
[ $# -gt 0 ] || set -- round_trips lvm2_pool ublk kernel_nbd lock_step messages  # the longest first
for job; do
  [ -x "$here/jobs/$job" ] || {
    echo "$0: no job '$job'; there are:" "$(ls "$here/jobs")" >&2
    exit 3
  }
done
"$here/fetch_kernel.sh" >/dev/null
printf '%s\0' "$@" | xargs -0 -n 1 -P "$(nproc)" "$0" --one
