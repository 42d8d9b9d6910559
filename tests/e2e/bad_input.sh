#!/usr/bin/env bash
# Goal: bad input gets a clear error and the right exit status, and changes nothing.
. "$(dirname "$0")/lib.sh"

truncate -s 1G pv.img other.img
truncate -s 1M tiny.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 256m -T vg0/pool0 >/dev/null
tvcreate -V 128m -T vg0/pool0 -n v >/dev/null
state() { tvs -a -o +lv_uuid,thin_id,transaction_id; tvgs -o +vg_free_count; tvpvs; }
state > before

# Words that are no commands, options that are none.
fails 2 'No such command' thinvol tvfoo
fails 3 'unrecognised option' tvs --frobnicate
fails 3 'ambiguous; possibilities' tvs --no
fails 3 'may not be repeated' tvcreate -V 1g -V 2g -T vg0/pool0
fails 3 'exclude each other' tvcreate -L 1g -l 5 -T vg0/p
fails 3 'Please give' tvgcreate vg1
fails 3 'Invalid argument for --units' tvs --units q
fails 3 'Invalid argument for --reportformat' tvs --reportformat xyz
fails 5 'did you mean "lv_size"' tvs -o lv_sice

# Names and sizes.
fails 5 'valid characters are' tvcreate -V 1g -T vg0/pool0 -n 'a:b'
fails 5 'begins with a hyphen' tvgcreate -- -x other.img
fails 5 'reserved' tvcreate -V 1g -T vg0/pool0 -n x_tmeta
fails 5 'reserved' tvsnapshot -n snapshot1 vg0/v
fails 5 'already exists' tvcreate -V 1g -T vg0/pool0 -n v
fails 5 'already exists' tvsnapshot -n pool0 vg0/v
fails 5 'already exists' tvgcreate vg0 other.img
fails 3 "can't parse size" tvcreate -V 1q -T vg0/pool0
fails 3 'not a multiple of 512' tvcreate -V 1000b -T vg0/pool0
fails 3 '16 EiB' tvcreate -V 16e -T vg0/pool0
fails 5 'chunk size of 32.00 KiB' tvcreate -L 64m -c 32k -T vg0/p
fails 5 'chunk size of 2.00 GiB' tvcreate -L 64m -c 2g -T vg0/p
fails 5 'chunk size of 100.00 KiB' tvcreate -L 64m -c 100k -T vg0/p
fails 3 'has no size of its own' tvsnapshot -L 1g -n s vg0/v
fails 3 'plain linear volumes are not' tvcreate -L 1g vg0
fails 5 'of type raid1' tvcreate --type raid1 -L 1g vg0
fails 3 'Please specify name of existing pool' tvcreate -V 1g vg0

# What is not there, or is of another kind.
fails 5 'Volume group "nope" not found' tvs nope
fails 5 'Failed to find logical volume "vg0/nope"' tvs vg0/nope
fails 5 'Failed to find logical volume "vg0/nope"' tvremove -y vg0/nope
fails 5 'Pool nope not found in Volume group vg0' tvcreate -V 1g -T vg0/nope
fails 5 'it is a thin pool' tvsnapshot vg0/pool0
fails 5 'it is a thin volume' tvcheck vg0/v
fails 5 'not of the form VG/LV' tvsnapshot vg0
fails 5 'No such file' tvgcreate vg1 nowhere.img
fails 5 'nowhere.img' tvcreate -V 1g -T vg0/pool0 nowhere.img
fails 5 'neither a regular file' tvgcreate vg1 /dev/null
fails 5 'too small' tvgcreate vg1 tiny.img
fails 5 'is named twice' tvgcreate vg1 other.img ./other.img
fails 5 'already in volume group' tvgcreate vg1 pv.img
fails 5 'already in volume group' tvgextend vg0 pv.img
fails 5 'insufficient free space' tvcreate -L 10g -T vg0/p
fails 5 'insufficient free space' tvextend -L +10g vg0/pool0
fails 5 'matches existing size' tvextend -L 128m vg0/v
fails 5 'not larger than existing' tvextend -L 64m vg0/v
fails 5 'cannot be reduced' tvreduce -y -L 64m vg0/pool0
fails 3 'may not be negative' tvextend -L -1m vg0/v
fails 5 'NOT reduced' tvreduce -L 64m vg0/v
fails 5 'final physical volume' tvgreduce vg0 pv.img
fails 5 'not removed' tvgremove vg0
state | same - before

# Signatures are not written over without leave.
mkfs.ext4 -q -F other.img
fails 5 'ext4 signature' tvgextend vg0 other.img
says 'successfully extended' tvgextend -y vg0 other.img
tvgreduce vg0 other.img >/dev/null
says 'successfully extended' tvgextend vg0 other.img
tvgreduce vg0 other.img >/dev/null
state | same - before

# A volume that a client has open stays; without clients it goes after the question.
tvchange -ay vg0/v
/usr/bin/python3 - "$(uri vg0/v)" <<'PY' &
import nbd, sys, time
h = nbd.NBD()
h.connect_uri(sys.argv[1])
print("connected", flush=True)
time.sleep(60)
PY
client=$!
for _ in $(seq 100); do [ "$(field clients vg0/v)" = 1 ] && break; sleep 0.05; done
fails 5 'in use' tvremove -y vg0/v
fails 5 'in use' tvchange -an vg0/v
[ "$(field lv_attr vg0/v)" = Vwi-aotz-- ]
kill $client; wait $client 2>/dev/null || true
for _ in $(seq 100); do [ "$(field clients vg0/v)" = 0 ] && break; sleep 0.05; done
fails 5 'not removed' tvremove vg0/v
echo y | tvremove vg0/v >/dev/null 2>&1
fails 5 'Failed to find' tvs vg0/v
tvcreate -V 128m -T vg0/pool0 -n v >/dev/null

# A physical volume that vanished, that shrank, that is another's.
mv pv.img away.img
fails 5 'pv.img: No such file' tvcreate -V 1g -T vg0/pool0 -n w
fails 5 'pv.img: No such file' tvchange -ay vg0/v
cp --sparse=always away.img pv.img && truncate -s 100M pv.img
fails 5 'it was truncated' tvcreate -V 1g -T vg0/pool0 -n w
rm pv.img; truncate -s 1G pv.img
fails 5 'it is not a physical volume' tvcreate -V 1g -T vg0/pool0 -n w
rm pv.img; mv away.img pv.img
truncate -s 64M foreign.img
THINVOL_STATE_DIR=$work/s2 THINVOL_RUN_DIR=$work/r2 tvgcreate theirs foreign.img >/dev/null
fails 5 'of another environment' tvgextend vg0 foreign.img
judge vg0/pool0

# A damaged metadata block is named, with both checksums.
tvcreate -L 64m -V 64m -T vg0/pool1 -n d >/dev/null
tvchange -an vg0
dd if=/dev/urandom of=pv.img bs=1 seek=$(((1 << 20) + 8192)) count=64 conv=notrunc status=none
status=0; tvcheck vg0/pool0 >out 2>err || status=$?
[ $status != 0 ] || fail "tvcheck did not notice the damage"
grep -qE 'metadata block [0-9]+: checksum 0x[0-9a-f]{8}, expected 0x[0-9a-f]{8}' err ||
  fail "tvcheck says: $(cat err)"
judge vg0/pool1

# A pool that nobody can read any more can still be removed.
says 'successfully removed' tvremove -y vg0/pool0

# A damaged catalog.
cp "$THINVOL_STATE_DIR/catalog.db" good.db
dd if=/dev/urandom of="$THINVOL_STATE_DIR/catalog.db" bs=4096 count=1 conv=notrunc status=none
rm -f "$THINVOL_STATE_DIR"/catalog.db-*
fails 5 'catalog: ' tvs
mv good.db "$THINVOL_STATE_DIR/catalog.db"
