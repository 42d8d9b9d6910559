#!/usr/bin/env bash
# Goal: an older catalog over newer physical volumes is noticed by whatever would change something,
# shown and settled; so is a pool that went another way than the catalog.
. "$(dirname "$0")/lib.sh"

truncate -s 1G pv0.img pv1.img
tvgcreate vg0 pv0.img >/dev/null
tvcreate -L 256m --poolmetadatasize 4m -T vg0/pool0 >/dev/null
tvcreate -V 64m -T vg0/pool0 -n a >/dev/null
tvcreate -V 64m -T vg0/pool0 -n old >/dev/null
catalog=$THINVOL_STATE_DIR/catalog.db
keep() { rm -rf "$1"; mkdir "$1"; cp "$catalog"* "$1"; }
bring_back() { rm -f "$catalog"*; cp "$1"/* "$THINVOL_STATE_DIR"; }
names() { tvs --noheadings -o lv_name,lv_size vg0 | xargs; }

keep older
tvcreate -V 64m -T vg0/pool0 -n new >/dev/null
tvremove -y vg0/old >/dev/null
tvextend -L +64m vg0/a >/dev/null
tvextend -L +64m vg0/pool0 >/dev/null
keep newer
tvs -a -o +lv_uuid,thin_id > before
bring_back older

# Noticed by every command that would change something, before it does.
truncate -s 256M pv2.img
md5sum pv0.img > sum
for command in "tvcreate -V 1g -T vg0/pool0" "tvcreate -L 64m -T vg0/pool1" "tvsnapshot vg0/a" \
    "tvremove -y vg0/a" "tvremove -y vg0/pool0" "tvextend -L +4m vg0/a" \
    "tvextend -L +4m vg0/pool0" "tvreduce -y -L 4m vg0/a" "tvchange -ay vg0/a" \
    "tvchange -pr vg0/a" "tvrename vg0 a c" "tvchange --errorwhenfull y vg0/pool0" \
    "tvgrename vg0 vg1" "tvgextend vg0 pv2.img" "tvchange --lend kernel vg0/pool0" \
    "tvrepair vg0/pool0"; do
  # shellcheck disable=SC2086  # words of a command line
  fails 5 'older than the log of volume group vg0' $command
  grep -q 'new: volume new (thin id 2, 64.00 MiB)' "$work/err" ||
    fail "$command: $(cat "$work/err")"
  grep -q 'tvgreconcile vg0' "$work/err"
done
md5sum -c --quiet sum
cmp "$catalog" older/catalog.db

# Shown without a change, then settled.
status=0; tvgreconcile --test vg0 > out || status=$?
[ $status = 5 ] || fail "tvgreconcile --test ended with $status"
grep -q 'gone: volume old' out
grep -q 'changed: volume a: size_bytes 67108864 -> 134217728' out
grep -q 'new: .* extents of pool0' out
cmp "$catalog" older/catalog.db
md5sum -c --quiet sum
says 'is as the log on .*pv0.img knows it' tvgreconcile vg0
tvs -a -o +lv_uuid,thin_id | same - before
judge vg0/pool0
[ "$(tvgreconcile vg0)" = "" ]
tvcreate -V 64m -T vg0/pool0 -n next >/dev/null
[ "$(field thin_id vg0/next)" = 3 ] || fail "thin id of the next: $(field thin_id vg0/next)"

# Older physical volumes below a newer catalog: the pool went back. What the catalog has and the
# pool lost is forgotten only when that is said; what the pool still has gets a name.
cp --sparse=always pv0.img older.img
tvcreate -V 64m -T vg0/pool0 -n lost >/dev/null
tvremove -y vg0/next >/dev/null
cp --sparse=always older.img pv0.img
fails 5 "transaction id is [0-9]+, the catalog expects .*tvgreconcile" tvchange -ay vg0/a
status=0; tvgreconcile -t vg0 > out || status=$?
[ $status = 5 ] || fail "tvgreconcile -t ended with $status"
grep -q 'vg0/pool0: thin id 3 is new: 0 chunks mapped.*--adopt 3=NAME' out
grep -q 'vg0/pool0: volume vg0/lost (thin id 4) is gone: --forget lost' out
grep -q "vg0/pool0: the pool's transaction id is" out
fails 5 'volume vg0/lost .thin id 4. is gone: --forget lost' tvgreconcile vg0
fails 3 'give VG/Pool' tvgreconcile --forget lost vg0
fails 5 'no thin id 9 is new' tvgreconcile --adopt 9=x vg0/pool0
says 'Pool vg0/pool0 and the catalog agree' \
  tvgreconcile --forget lost --adopt 3=found,64m vg0/pool0
[ "$(names)" = "a 128.00m found 64.00m new 64.00m pool0 320.00m" ] || fail "volumes: $(names)"
judge vg0/pool0
# Neither id is given again.
tvcreate -V 4m -T vg0/pool0 -n next >/dev/null
[ "$(field thin_id vg0/next)" = 5 ] || fail "thin id of the next: $(field thin_id vg0/next)"

# Unknown ones can go as well, and are adopted by themselves where nothing is said.
cp --sparse=always pv0.img older.img
tvremove -y vg0/next >/dev/null
tvremove -y vg0/new >/dev/null
cp --sparse=always older.img pv0.img
says 'agree' tvgreconcile --delete-unknown 5 vg0/pool0
[ "$(names)" = "a 128.00m found 64.00m lvol1 4.00m pool0 320.00m" ] || fail "volumes: $(names)"
[ "$(field thin_id vg0/lvol1)" = 2 ] || fail "thin id: $(field thin_id vg0/lvol1)"
if tvdump vg0/pool0 | grep -q 'dev_id="5"'; then fail "thin id 5 is still there"; fi
judge vg0/pool0

# A volume in use is left alone.
tvchange -ay vg0/a
says 'is in use' tvgreconcile vg0
tvchange -an vg0
