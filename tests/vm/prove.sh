#!/usr/bin/env bash
# prove.sh [JOB...]: the jobs that need a real kernel, each in a virtual machine of its own.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
limit=400
failed=0
[ $# -gt 0 ] || set -- "$here"/jobs/*
for job; do
  job=$here/jobs/$(basename "$job")
  [ -x "$job" ] || {
    echo "$0: no job '$(basename "$job")'; there are:" "$(ls "$here/jobs")" >&2
    exit 3
  }
  began=$SECONDS status=0
  out=$(mktemp -d "${TMPDIR:-/var/tmp}/thinvol-vm.XXXXXX")
  output=$("$here/boot.sh" -t $limit -o "$out" "$job" 2>&1) || status=$?
  # The engine's part of a comparison needs no kernel.
  against=$here/compare/$(basename "$job")
  if [ $status = 0 ] && [ -x "$against" ]; then output=$("$against" "$out" 2>&1) || status=$?; fi
  rm -rf "$out"
  if [ $status = 0 ]; then
    verdict=PASS summary=$(sed -n '$p' <<< "$output")
  else
    verdict=FAIL summary="" failed=1
    printf '%s\n' "$output"
  fi
  printf '%-16s %s %4d s  %s\n' "$(basename "$job")" "$verdict" $((SECONDS - began)) "$summary"
done
exit $failed
