#!/usr/bin/env bash
# sanitizer_row.sh PRESET TESTS SCRIPT...: unit tests of the engine, those of libvm, and end-to-end
# scripts, as a row, with a sanitizer watching all processes. Executed are tests and scripts, the
# value is how many processes it reported something of.
set -euo pipefail
preset=$1 tests=$2
shift 2
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=$root/build/$preset/bin
cmake -S "$root" --preset "$preset" -DTHINVOL_TESTS=ON -DTHINVOL_BENCH=OFF >/dev/null
cmake --build "$root/build/$preset" --target thinvol thinvold engine_tests libvm_tests >/dev/null
reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
for options in ASAN_OPTIONS TSAN_OPTIONS UBSAN_OPTIONS; do
  export $options="log_path=$reports/report:${!options:-}"
done
executed=0 failed=0
run() {
  if ! "$@" >"$reports/output" 2>&1; then
    failed=1
    echo "failed: $*" >&2
    tail -20 "$reports/output" >&2
  fi
}
for program in engine_tests libvm_tests; do
  filter=$tests
  [ $program = engine_tests ] || filter='*'
  run "$bin/$program" -\# "$filter"
  executed=$((executed + $(sed -nE 's/.* in ([0-9]+) test cases?\).*/\1/p' "$reports/output")))
done
for script; do
  THINVOL_BIN=$bin run "$root/tests/e2e/$script.sh"
  executed=$((executed + 1))
done
found=$(find "$reports" -name 'report*' | wc -l)
find "$reports" -name 'report*' -exec tail -n 40 {} + >&2
echo "$executed $executed $found"
[ "$found" = 0 ] && [ $failed = 0 ]
