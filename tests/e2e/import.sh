#!/usr/bin/env bash
# Goal: images become volumes and volumes images, byte for byte and sparse both ways, in a pool that
#       is in use as in one that is not; and no half of an import ever looks like a whole one.
# Method: cmp, du and the pool's own count of blocks; interruptions and kills in the middle of a
#         pipe that is held open.
. "$(dirname "$0")/lib.sh"

truncate -s 1G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 400m -T vg0/pool0 >/dev/null 2>&1
tvcreate -V 64m -T vg0/pool0 -n other >/dev/null 2>&1
blocks_of() { # of one volume, in chunks of 64 KiB
  tvdump --dev-id "$(field thin_id "$1")" vg0/pool0 | grep -o 'mapped_blocks="[0-9]*"' | tr -dc 0-9
}
names() { tvs --noheadings -o lv_name vg0 | xargs; }

# A disk of 37 MiB and a bit: data, zeroes that are written, holes, and an end within a block.
disk() { # disk FILE SEED
  truncate -s 0 "$1"; truncate -s $((37 * 1048576 + 512 * 3)) "$1"
  local at
  for at in 0 3 17 36; do
    head -c 700000 <(openssl enc -aes-128-ctr -nosalt -pass "pass:$2$at" </dev/zero 2>/dev/null) |
      dd of="$1" bs=64k seek=$((at * 16 + 1)) conv=notrunc iflag=fullblock status=none
  done
  dd if=/dev/zero of="$1" bs=1M seek=20 count=4 conv=notrunc status=none
  printf 'the end' | dd of="$1" bs=1 seek=$((37 * 1048576 + 512 * 3 - 7)) conv=notrunc status=none
}
disk a.raw one; disk b.raw two

# holds VOLUME FILE: the volume is the file, and zeroes behind it.
holds() {
  tvexport "$1" back.raw --force >/dev/null
  same -n "$(stat -c %s "$2")" back.raw "$2"
  cmp -s <(tail -c +$(($(stat -c %s "$2") + 1)) back.raw) \
    <(head -c $(($(stat -c %s back.raw) - $(stat -c %s "$2"))) /dev/zero) ||
    fail "$1 has more than $2"
}

round_trips() { # round_trips SUFFIX
  says 'Rounding up size .* 40.00 MiB' tvimport a.raw "vg0/file$1" -T vg0/pool0
  grep -q 'vg0/file.* imported: 37.00 MiB read, 2.81 MiB written' out || fail "$(cat out)"
  holds "vg0/file$1" a.raw
  # 4 times 700000 bytes from the second block on, and the last one: nothing else.
  [ "$(blocks_of "vg0/file$1")" = 45 ] || fail "$(blocks_of "vg0/file$1") blocks are mapped"
  [ "$(du -k back.raw | cut -f1)" -le 2944 ] || fail "the export is not sparse: $(du -k back.raw)"
  [ "$(stat -c %s back.raw)" = $((40 * 1048576)) ]
  tvimport - "vg0/pipe$1" -T pool0 -V 48m < <(cat a.raw) >/dev/null 2>&1
  holds "vg0/pipe$1" a.raw
  [ "$(blocks_of "vg0/pipe$1")" = 45 ]
  cp a.raw long.raw; truncate -s 48M long.raw
  tvexport "vg0/pipe$1" - | same - long.raw
  # In the place of another, and what other snapshots of it have stays.
  tvsnapshot -n "was$1" "vg0/file$1" >/dev/null
  fails 5 'not changed' tvimport b.raw "vg0/file$1"
  says 'imported: 37' tvimport -y b.raw "vg0/file$1"
  holds "vg0/file$1" b.raw
  holds "vg0/was$1" a.raw
  tvremove -y "vg0/file$1" "vg0/pipe$1" "vg0/was$1" >/dev/null
}
round_trips 0
tvchange -ay vg0/other
round_trips 1
[ "$(field lv_active vg0/other)" = active ]

# An active volume: as of one instant, and nothing is left of the snapshot.
nbdcopy --destination-is-zero a.raw "$(uri vg0/other)"
says 'exported to act.raw' tvexport vg0/other act.raw
same -n "$(stat -c %s a.raw)" act.raw a.raw
[ "$(names)" = "other pool0" ] || fail "there is more: $(names)"
fails 5 'active: tvchange -an vg0/other, or write .* nbdcopy' tvimport -y b.raw vg0/other
# While a volume is imported nobody gets in its way; what is asked of the server goes on.
mkfifo pipe; exec 9<>pipe
tvimport - vg0/slow -T vg0/pool0 -V 64m <pipe >slow.out 2>&1 9>&- & slow=$!
head -c 9000000 b.raw >&9
until [[ "$(names)" == *slow_importing* ]]; do sleep 0.05; done
sleep 0.5
fails 5 'being imported' tvchange -ay -K vg0/slow_importing
fails 5 'being imported' tvremove -y vg0/slow_importing
tvsnapshot -n snap vg0/other >/dev/null
holds vg0/snap a.raw
# The last deactivation does not end the server under it.
tvremove -y vg0/snap >/dev/null; tvchange -an vg0/other
exec 9>&-
wait $slow || fail "$(cat slow.out)"
head -c 9000000 b.raw > part.raw; holds vg0/slow part.raw
tvremove -y vg0/slow >/dev/null

# Interrupted: nothing is left. Killed: what is left is marked, and goes with the next one.
for served in no yes; do
  [ $served = no ] || tvchange -ay vg0/other
  for signal in INT TERM KILL; do
    exec 9<>pipe
    tvimport - vg0/v -T vg0/pool0 -V 64m <pipe >v.out 2>&1 9>&- & v=$!
    head -c 9000000 a.raw >&9
    if [ $served = yes ]; then until [[ "$(names)" == *v_importing* ]]; do sleep 0.05; done; fi
    sleep 0.5
    kill -$signal $v; status=0; wait $v || status=$?
    exec 9>&-
    if [ $signal = KILL ]; then
      [ "$(names)" = "other pool0 v_importing" ] || fail "killed: $(names)"
      [ "$(field lv_tags vg0/v_importing)" = tvimport ]
    else
      [ $status = 5 ] || fail "$signal: $status"
      grep -q 'vg0/v: interrupted' v.out || fail "$signal: $(cat v.out)"
      [ "$(names)" = "other pool0" ] || fail "$signal leaves $(names)"
    fi
  done
  tvimport a.raw vg0/v -T vg0/pool0 >/dev/null
  [ "$(names)" = "other pool0 v" ]
  # One that replaces leaves the volume as it was.
  exec 9<>pipe
  tvimport -y - vg0/v <pipe >v.out 2>&1 9>&- & v=$!
  head -c 9000000 b.raw >&9; sleep 0.5
  kill -KILL $v; wait $v || true; exec 9>&-
  holds vg0/v a.raw
  tvimport -y b.raw vg0/v >/dev/null; holds vg0/v b.raw
  tvremove -y vg0/v >/dev/null
  [ "$(names)" = "other pool0" ]
  tvcheck vg0/pool0 >/dev/null
done
# An export of an active volume that is killed: its snapshot is marked, and goes with the next one.
exec 9<>pipe
tvexport vg0/other pipe 2>/dev/null 9>&- & v=$!
until [[ "$(names)" == *other_exporting* ]]; do sleep 0.05; done
kill -KILL $v; wait $v || true; exec 9>&-
[ "$(field lv_tags vg0/other_exporting)" = tvexport ]
holds vg0/other a.raw
[ "$(names)" = "other pool0" ] || fail "an export leaves $(names)"
tvchange -an vg0/other

# What cannot be.
mkdir dir; : > empty
fails 5 'nothing.raw: No such file' tvimport nothing.raw vg0/x -T vg0/pool0
fails 5 'dir is a directory' tvimport dir vg0/x -T vg0/pool0
fails 5 'dir is a directory' tvexport vg0/other dir
fails 5 'empty is empty' tvimport empty vg0/x -T vg0/pool0
fails 5 'not known before its end: give -V' tvimport - vg0/x -T vg0/pool0
fails 5 'nothing came' tvimport - vg0/x -T vg0/pool0 -V 8m
fails 5 'already exists' tvimport a.raw vg0/other -T vg0/pool0
fails 5 '-T VG/Pool makes it' tvimport a.raw vg0/x
fails 5 'image has 37.00 MiB, and the volume 8.00 MiB' tvimport a.raw vg0/x -T vg0/pool0 -V 8m
fails 3 'give its pool' tvimport a.raw vg0/x -V 8m
fails 3 'raw' tvimport --format qcow2 - vg0/x -T vg0/pool0
if tvimport - vg0/x -T vg0/pool0 -V 8m 2>err < <(cat a.raw); then fail "37 MiB fit into 8"; fi
grep -q 'more comes than the 8.00 MiB' err
fails 5 'act.raw not replaced' tvexport vg0/other act.raw
fails 5 'No such file' tvexport vg0/other nowhere/x.raw
tvexport vg0/other /dev/full 2>err && fail "a full device took it"; grep -q 'No space' err
tvexport vg0/other - 2>err | head -c 100000 >/dev/null && fail "nobody read, and nobody minded"
grep -q 'Broken pipe' err
tvchange -p r vg0/other >/dev/null
fails 5 'read-only: tvchange -p rw' tvimport -y a.raw vg0/other
[ "$(names)" = "other pool0" ] || fail "failures left $(names)"
[ -z "$(find . -name '*.new')" ] || fail "failures left $(find . -name '*.new')"

# More than the pool holds: nothing is left, by either policy; room that comes is used.
head -c 452M </dev/urandom > big.raw
fails 5 'no free data block.*tvextend -L .SIZE vg0/pool0' tvimport big.raw vg0/big -T vg0/pool0
tvchange -ay vg0/other
tvchange --errorwhenfull y vg0/pool0 >/dev/null
fails 5 'no free data block.*tvextend -L .SIZE vg0/pool0' tvimport big.raw vg0/big -T vg0/pool0
[ "$(names)" = "other pool0" ]
tvchange --errorwhenfull n vg0/pool0 >/dev/null
tvimport big.raw vg0/big -T vg0/pool0 >big.out 2>&1 & big=$!
until [ "$(field data_percent vg0/pool0)" = 100.00 ]; do sleep 0.2; done
tvextend -L +100m vg0/pool0 >/dev/null
wait $big || fail "$(cat big.out)"
holds vg0/big big.raw
tvchange -an vg0
tvremove -y vg0/big >/dev/null; rm -f big.raw

# Blocks that the pool does not zero: what is not written must read as zeroes all the same.
tvcreate -L 128m -c 4m -Zn -T vg0/rough >/dev/null 2>&1
head -c 100M </dev/zero | tr '\0' x > x.raw
tvimport x.raw vg0/x -T vg0/rough >/dev/null 2>&1; tvremove -y vg0/x >/dev/null
tvimport a.raw vg0/x -T vg0/rough >/dev/null 2>&1
holds vg0/x a.raw
tvremove -y vg0/rough >/dev/null

if ! command -v qemu-img >/dev/null || ! command -v qemu-nbd >/dev/null; then
  echo "qemu-utils are not installed: other formats than raw were not tried"
  exit 0
fi
for format in qcow2 vdi vhdx vpc; do
  rm -f "a.$format"
  qemu-img convert -f raw -O $format a.raw a.$format
  tvimport --format $format a.$format vg0/q -T vg0/pool0 >/dev/null
  holds vg0/q a.raw
  [ "$(blocks_of vg0/q)" = 45 ] || fail "$format: $(blocks_of vg0/q) blocks"
  rm -f "q.$format"
  tvexport --format $format vg0/q q.$format >/dev/null
  qemu-img convert -f $format -O raw q.$format q.raw
  same -n "$(stat -c %s a.raw)" q.raw a.raw
  case $format in
    qcow2)
      qemu-img check -q q.qcow2
      [ "$(du -k q.qcow2 | cut -f1)" -le 4096 ] ;;
  esac
  tvremove -y vg0/q >/dev/null
done
fails 5 'looks like a qcow2 image: give --format' tvimport a.qcow2 vg0/q -T vg0/pool0
fails 5 'is no qcow2 image' tvimport --format qcow2 a.raw vg0/q -T vg0/pool0
fails 5 'no qcow2 image, but of format vdi' tvimport --format qcow2 a.vdi vg0/q -T vg0/pool0
tvimport --format raw a.qcow2 vg0/q -T vg0/pool0 >/dev/null; holds vg0/q a.qcow2
tvremove -y vg0/q >/dev/null
# What lacks its end is not taken for zeroes.
head -c $(($(stat -c %s a.qcow2) - 65536 * 4)) a.qcow2 > cut.qcow2
fails 5 'damaged or cut off.*qemu-img check' \
  tvimport --format qcow2 cut.qcow2 vg0/q -T vg0/pool0
# An image names no file of this machine, unless its user says so.
qemu-img create -q -f qcow2 -F raw -b "$work/b.raw" overlay.qcow2
qemu-img create -q -f qcow2 -o data_file="$work/data.raw" outside.qcow2 8M
qemu-img convert -f raw -O vmdk a.raw a.vmdk
fails 5 'has a backing file.*--allow-backing' \
  tvimport --format qcow2 overlay.qcow2 vg0/q -T vg0/pool0
fails 5 'its data in another file' tvimport --format qcow2 outside.qcow2 vg0/q -T vg0/pool0
fails 5 'can name other files' tvimport --format vmdk a.vmdk vg0/q -T vg0/pool0
tvimport --allow-backing --format qcow2 overlay.qcow2 vg0/q -T vg0/pool0 >/dev/null
holds vg0/q b.raw
tvimport -y --allow-backing --format vmdk a.vmdk vg0/q >/dev/null
holds vg0/q a.raw
# Without the tools: said plainly.
mkdir none; for tool in "$THINVOL_BIN"/*; do ln -s "$tool" none/; done
fails 5 'qemu-nbd is not installed.*qemu-utils' env PATH="$work/none" \
  tvimport --format qcow2 a.qcow2 vg0/z -T vg0/pool0
fails 5 'not installed' env PATH="$work/none" tvexport --format qcow2 vg0/q z.qcow2
[ "$(names)" = "other pool0 q" ]
