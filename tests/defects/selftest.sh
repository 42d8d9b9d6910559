#!/usr/bin/env bash
# Builds each seeded defect in a copy of the tree and expects the row that its patch names to fail,
# in the quick lane or, where that has not enough of it, in the longer one.
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
build() {                           # what the row runs
  local program=$copy/src/tests/prove/rows.d/$1 targets=(thinvol-prove)
  if [ ! -e "$program" ]; then :
  elif grep -q catch_row "$program"; then targets+=(engine_tests)
  else targets+=(thinvol thinvold); fi
  cmake --build "$copy/build" --target "${targets[@]}" -- -k 1 >"$log" 2>&1 ||
    { cat "$log" >&2; return 1; }
}
# Of a row that is not in the quick lane that one says nothing.
fails() {
  ! "$copy/build/bin/thinvol-prove" "$1" --row "$2" >"$log" 2>&1 && grep -q ' FAIL$' "$log"
}
declare -A sound                    # rows that pass without a defect
is_sound() {
  [ -z "${sound[$1]:-}" ] || return 0
  build "$1" && ! fails --quick "$1" && sound[$1]=yes
}
failed=0
tried=0
for patch in "$root"/tests/defects/*.patch; do
  name=$(basename "$patch" .patch)
  if [ $# -gt 0 ]; then
    wanted=no
    for prefix in "$@"; do case $name in "$prefix"*) wanted=yes ;; esac; done
    [ $wanted = yes ] || continue
  fi
  tried=$((tried + 1))
  row=$(sed -n 's/^Row: //p' "$patch")
  is_sound "$row" || { echo "$row fails without a defect: $(cat "$log")"; failed=1; continue; }
  patch -s -p1 -d "$copy/src" < "$patch"
  verdict=MISSED
  if ! build "$row"; then verdict="DID NOT BUILD"
  elif fails --quick "$row" || fails --ci "$row"; then verdict=caught; fi
  patch -s -p1 -R -d "$copy/src" < "$patch"
  printf '%-40s by %-4s %s\n' "$name" "$row" "$verdict"
  [ "$verdict" = caught ] || failed=1
done
[ $tried -gt 0 ] || { echo "no defect is called so" >&2; failed=1; }
exit $failed
