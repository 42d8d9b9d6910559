#!/usr/bin/env bash
# Unit tests with a tag, as a row: executed are checks, distinct are tests.
set -euo pipefail
out=$("$THINVOL_BIN/engine_tests" "$1") || { echo "$out" >&2; exit 1; }
if [[ $out =~ \(([0-9]+)\ assertions?\ in\ ([0-9]+)\ test ]]; then
  echo "${BASH_REMATCH[1]} ${BASH_REMATCH[2]} 0"
else
  echo "no test has the tag $1: $out" >&2
  exit 1
fi
