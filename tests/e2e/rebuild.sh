#!/usr/bin/env bash
# Goal: a lost, damaged or outdated catalog comes back from the physical volumes' logs alone, with
# everything in it; pool data stay usable; nothing is changed while catalog and log disagree.
. "$(dirname "$0")/lib.sh"

truncate -s 1G pv0.img pv1.img pv2.img
tvgcreate -s 1m vg0 pv0.img pv1.img >/dev/null
tvcreate -L 256m --poolmetadatasize 4m -T vg0/pool0 >/dev/null
tvcreate -V 64m -T vg0/pool0 -n a >/dev/null
tvchange -ay vg0/a
head -c 9M /dev/urandom > written
nbdcopy --flush written "$(uri vg0/a)"
tvsnapshot -n s vg0/a >/dev/null
tvchange -an vg0
tvextend -L +64m vg0/pool0 >/dev/null
tvchange --errorwhenfull y vg0/pool0 >/dev/null
tvgcreate vg1 pv2.img >/dev/null
tvcreate -L 128m -V 64m -T vg1/pool0 -n b >/dev/null 2>&1

# What the catalog says, in full.
volumes() {
  tvs -a --noheadings -o lv_full_name,lv_uuid,lv_size,thin_id,origin,pool_lv,lv_attr,lv_time
}
all() {
  volumes
  tvgs --noheadings -o vg_name,vg_uuid,vg_extent_size,vg_free_count,pv_count
  tvpvs --noheadings -o pv_name,pv_uuid,pv_size,vg_name
}
all > before
catalog=$THINVOL_STATE_DIR/catalog.db
sound() {
  all | same - before
  judge_all
  tvchange -ay -K vg0
  head_of "$(uri vg0/a)" 9437184 | same - written
  head_of "$(uri vg0/s)" 9437184 | same - written
  tvchange -an vg0
}

# Lost with all of the state directory.
rm -r "$THINVOL_STATE_DIR"
[ -z "$(tvs)" ] || fail "volumes without a catalog"
says 'pv0.img: physical volume .* of volume group "vg0", of another environment' tvgscan pv0.img
fails 3 'give the physical volumes' tvgscan --rebuild
fails 5 'written: it is not a physical volume' tvgscan --rebuild written
says 'Volume group "vg0" successfully rebuilt' tvgscan --rebuild pv0.img pv2.img pv1.img
sound
says 'Found volume group "vg1"' tvgscan
fails 5 'vg0 is in the catalog: tvgck' tvgscan --rebuild pv0.img
# Changes go on, and are logged: the same again from the other log.
tvcreate -V 64m -T vg0/pool0 -n c >/dev/null
[ "$(field thin_id vg0/c)" = 2 ] || fail "thin id $(field thin_id vg0/c)"
tvremove -y vg0/c >/dev/null
all > before
# Without the second one, found where the log says it was.
rm -r "$THINVOL_STATE_DIR"
tvgscan --rebuild pv1.img pv2.img >/dev/null
sound
# A thin id is given once, over any number of catalogs.
tvcreate -V 64m -T vg0/pool0 -n d >/dev/null
[ "$(field thin_id vg0/d)" = 3 ] || fail "thin id $(field thin_id vg0/d)"
all > before

# Damaged in its place: refused with the way out, then kept beside the new one.
rm -f "$catalog-wal" "$catalog-shm"
head -c 8192 /dev/urandom | dd of="$catalog" conv=notrunc status=none
fails 5 'tvgscan --rebuild' tvcreate -V 64m -T vg0/pool0
fails 5 'tvgscan --rebuild' tvs
says "damaged catalog is kept as $catalog.damaged-" tvgscan --rebuild pv0.img pv1.img pv2.img
sound
# In the middle, where opening does not see it.
/usr/bin/python3 - "$catalog" <<'PY'
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
page = db.execute("SELECT rootpage FROM sqlite_master WHERE name = 'lv'").fetchone()[0]
db.close()
with open(sys.argv[1], "r+b") as f:
    f.seek((page - 1) * 4096)
    f.write(b"\xff" * 4096)
PY
rm -f "$catalog-wal" "$catalog-shm"
says 'damaged catalog is kept' tvgscan --rebuild pv0.img pv1.img pv2.img
[ "$(find "$THINVOL_STATE_DIR" -name 'catalog.db.damaged-*[0-9]' | wc -l)" = 2 ] ||
  fail "damaged catalogs: $(ls "$THINVOL_STATE_DIR")"
sound

# A pool in use: its physical volumes are not taken from under it.
tvchange -ay vg0/a
pid=$(field server_pid vg0/a)
rm -f "$catalog"*
fails 5 'pv0.img: it is locked by another process' tvgscan --rebuild pv0.img pv2.img
kill "$pid"; while kill -0 "$pid" 2>/dev/null; do sleep 0.05; done
tvgscan --rebuild pv0.img pv2.img >/dev/null
sound

# Physical volumes that moved; a copy of one.
rm -r "$THINVOL_STATE_DIR"
mkdir moved; mv pv0.img pv1.img moved
cp --sparse=always moved/pv1.img copy.img
fails 5 'are the same physical volume' tvgscan --rebuild moved/pv0.img moved/pv1.img copy.img
rm copy.img
says 'successfully rebuilt' tvgscan --rebuild moved/pv0.img moved/pv1.img pv2.img
[ "$(tvpvs --noheadings -o pv_name | xargs)" = \
  "$work/moved/pv0.img $work/moved/pv1.img $work/pv2.img" ] || fail "paths: $(tvpvs)"
volumes | same - <(grep / before | grep -v img)
judge_all
# One that is missing is named; the other group goes on.
rm -r "$THINVOL_STATE_DIR"
mv moved/pv1.img elsewhere.img
tvgscan --rebuild moved/pv0.img pv2.img >out 2>err
grep -q 'moved/pv1.img of volume group vg0 is missing' err || fail "$(cat err)"
tvchange -ay vg1/b
tvchange -an vg1

# An environment whose group was rebuilt elsewhere does not get at it any more.
mv elsewhere.img moved/pv1.img
cp -r "$THINVOL_STATE_DIR" other
rm -r "$THINVOL_STATE_DIR"
tvgscan --rebuild moved/pv0.img moved/pv1.img pv2.img >/dev/null
(
  export THINVOL_STATE_DIR=$work/other THINVOL_RUN_DIR=$work/r2
  fails 5 'belongs to another environment' tvchange -ay vg0/a
)
all > before

# A log without a first record: its command was killed after the catalog's commit, or it is damaged.
truncate -s 64M half.img more.img
tvgcreate vg2 half.img >/dev/null
lose_log() { dd if=/dev/zero of="$1" bs=4096 seek=4 count=252 conv=notrunc status=none; }
lose_log half.img
tvgck --test vg2 >/dev/null
says 'vg2: the log on .*half.img was empty, and is written anew' tvgck vg2
[ "$(tvgck vg2)" = "" ]
tvgextend vg2 more.img >/dev/null
lose_log more.img
says 'log on .*more.img was empty' tvgck vg2
[ "$(tvgck vg2)" = "" ]
tvgremove -y vg2 >/dev/null

# A command killed at any moment: the group is there, or it is rebuilt.
for i in $(seq 10); do
  rm -rf "$THINVOL_STATE_DIR"
  tvgscan --rebuild moved/pv0.img pv2.img >/dev/null 2>&1 & pid=$!
  sleep "0.0$((i * 3 % 10))"
  kill -9 $pid 2>/dev/null || true
  wait $pid 2>/dev/null || true
  [ -n "$(tvgs --noheadings 2>/dev/null)" ] || tvgscan --rebuild moved/pv0.img pv2.img >/dev/null
  all | same - before
done
