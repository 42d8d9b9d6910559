#!/usr/bin/env bash
# Goal: the tables that tvdmtable prints say where each extent is, as LVM names the devices. That a
# kernel takes them is judged by tests/vm.
. "$(dirname "$0")/lib.sh"

truncate -s 1G a.img b.img
tvgcreate -s 1m my-vg a.img b.img >/dev/null
tvcreate -L 900m --poolmetadatasize 2m -c 192k -T my-vg/p-0 >/dev/null
tvextend -L +200m my-vg/p-0 >/dev/null  # does not fit behind the first
tvcreate -V 64m -T my-vg/p-0 -n root >/dev/null
tvsnapshot -n a-snap -pr my-vg/root >/dev/null

fails 5 'a.img is no block device.*losetup --find --show .*a.img.*--map .*a.img=DEVICE' \
  tvdmtable my-vg/p-0
fails 5 'b.img is no block device' tvdmtable --map a.img=/dev/loop7 my-vg/p-0
fails 5 '"c.img" is not in volume group' tvdmtable --map c.img=/dev/loop7 my-vg/p-0
fails 3 'not of the form PV=DEVICE' tvdmtable --map a.img my-vg/p-0
fails 5 '"/dev/a b" cannot be named' tvdmtable --map "a.img=/dev/a b" my-vg/p-0
fails 5 'a thin pool is wanted' tvdmtable my-vg/root

# 1100 MiB are 5866 blocks of 192 KiB and a rest.
map=(--map a.img=/dev/loop7 -m b.img=/dev/sdx)
tvdmtable "${map[@]}" my-vg/p-0 > tables 2> warnings
cat > expected <<'TABLES'
my--vg-p--0_tmeta: 0 4096 linear /dev/loop7 2048
my--vg-p--0_tdata: 0 1843200 linear /dev/loop7 6144
my--vg-p--0_tdata: 1843200 409344 linear /dev/sdx 2048
my--vg-p--0-tpool: 0 2252544 thin-pool PATH_tmeta PATH_tdata 384 0 0
my--vg-a--snap: 0 131072 thin PATH-tpool 1
my--vg-root: 0 131072 thin PATH-tpool 0
TABLES
sed 's,/dev/mapper/my--vg-p--0,PATH,g' tables | diff expected -
grep -q 'my--vg-a--snap is read-only' warnings || fail "no word of the read-only volume"

# In one line: the same devices.
tvdmtable --concise "${map[@]}" my-vg/p-0 2>/dev/null | tr ';' '\n' |
  awk -F, '{for (i = 5; i <= NF; i++) print $1 ": " $i}' | diff tables -
says 'my--vg-a--snap,,,ro,0 131072 thin' tvdmtable --concise "${map[@]}" my-vg/p-0

# The pool's settings are the target's features.
tvcreate -L 64m -c 64k -Zn --discards nopassdown -T my-vg/slack >/dev/null
tvcreate -L 64m -c 64k --discards ignore -T my-vg/deaf >/dev/null
says 'tdata 128 0 2 skip_block_zeroing no_discard_passdown$' tvdmtable "${map[@]}" my-vg/slack
says 'tdata 128 0 1 ignore_discard$' tvdmtable "${map[@]}" my-vg/deaf
