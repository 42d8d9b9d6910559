#!/usr/bin/env bash
# Goal: what "cmake --install" puts into a system works from there, and is where the distribution
# looks for it.
. "$(dirname "$0")/lib.sh"

DESTDIR=$work/root cmake --install "$THINVOL_BIN/.." >/dev/null
prefix=$(dirname "$(dirname "$(find "$work/root" -path '*/bin/thinvold')")")
[ -x "$prefix/bin/thinvol" ] || fail "no thinvol in $prefix/bin"

# Every command is a link to the one program, has a page, and is completed in each shell.
for c in "$THINVOL_BIN"/tv*; do
  name=$(basename "$c")
  [ "$(readlink "$prefix/bin/$name")" = thinvol ] || fail "$name is no link to thinvol"
  for file in man/man8/$name.8 bash-completion/completions/$name \
    fish/vendor_completions.d/$name.fish; do
    [ -s "$prefix/share/$file" ] || fail "share/$file is missing"
  done
  grep -qw "$name" "$(find "$prefix/share/zsh" -name _thinvol)" || fail "zsh knows no $name"
done
for page in $("$prefix/bin/thinvol" man); do
  file=$prefix/share/man/man${page##*.}/$page
  [ -s "$file" ] || fail "$page is not installed"
  mandoc -T lint -W warning "$file" || fail "$page: see above"
  "$prefix/bin/thinvol" man "$page" | cmp - "$file"
done
mandoc -T utf8 "$prefix/share/man/man8/tvs.8" | col -b >tvs.txt
grep -q -- '-S, --select Criteria' tvs.txt
grep -q 'lv_exclusive (size)' tvs.txt
grep -q 'tvs --tree -o lv_name' tvs.txt

# It runs from there, its server too.
export PATH=$prefix/bin:/usr/sbin:/usr/bin:/sbin:/bin
truncate -s 128M pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 32m -V 32m -T vg0/pool0 -n root >/dev/null 2>&1
tvchange -ay vg0/root
[ "$(readlink "/proc/$(field server_pid vg0/root)/exe")" = "$prefix/bin/thinvold" ] ||
  fail "another server runs"
nbdinfo --size "$(uri vg0/root)" | grep -qx $((32 << 20))
tvchange -an vg0
says 'Description:' tvs --longhelp
