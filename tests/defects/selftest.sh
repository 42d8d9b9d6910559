#!/usr/bin/env bash
# Builds each seeded defect in a copy of the tree and expects the row that its patch names to fail.
#   selftest.sh [NAME...]   only those whose file name begins so
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
copy=$root/build/selftest
log=$root/build/selftest.log
rm -rf "$copy/src"
mkdir -p "$copy/src"
# Times are new, so that no object of an earlier defect passes for the tree's.
(cd "$root" && git ls-files -z | tar -c --null -T -) | tar -xm -C "$copy/src"
cmake -S "$copy/src" -B "$copy/build" -G Ninja -DCMAKE_BUILD_TYPE=Release >/dev/null
build() {
  cmake --build "$copy/build" --target thinvol-prove -- -k 1 >"$log" 2>&1 ||
    { cat "$log" >&2; return 1; }
}
build
failed=0
for patch in "$root"/tests/defects/*.patch; do
  name=$(basename "$patch" .patch)
  if [ $# -gt 0 ]; then
    wanted=no
    for prefix in "$@"; do case $name in "$prefix"*) wanted=yes ;; esac; done
    [ $wanted = yes ] || continue
  fi
  row=$(sed -n 's/^Row: //p' "$patch")
  patch -s -p1 -d "$copy/src" < "$patch"
  verdict=MISSED
  if ! build; then verdict="DID NOT BUILD"
  elif ! "$copy/build/bin/thinvol-prove" --quick --row "$row" >"$log" 2>&1; then verdict=caught; fi
  patch -s -p1 -R -d "$copy/src" < "$patch"
  printf '%-36s by %-4s %s\n' "$name" "$row" "$verdict"
  [ "$verdict" = caught ] || failed=1
done
exit $failed
