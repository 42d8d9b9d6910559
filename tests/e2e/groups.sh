#!/usr/bin/env bash
# Goal: physical volumes and groups through their life: labelled, resized, moved, copied, missing;
# each trouble is named, and other groups go on.
. "$(dirname "$0")/lib.sh"

truncate -s 256M pv0.img pv1.img pv2.img
says 'Physical volume ".*/pv0.img" successfully created' tvpvcreate pv0.img
[ -z "$(tvgs)" ] || fail "a group by tvpvcreate"
says 'successfully created' tvgcreate -s 1m vg0 pv0.img
fails 5 'is used by VG vg0 so please use tvgreduce' tvpvremove pv0.img
fails 5 'already in volume group' tvpvcreate pv0.img
fails 5 'No PV found' tvpvremove pv1.img
tvpvcreate pv1.img >/dev/null
says 'Labels on physical volume ".*/pv1.img" successfully wiped' tvpvremove pv1.img
cmp -n 1048576 pv1.img /dev/zero
mkfs.ext4 -q pv2.img
fails 5 'holds a ext4 signature' tvpvcreate pv2.img
e2fsck -fn pv2.img >/dev/null 2>&1 || fail "a refused tvpvcreate wrote"
says 'created' tvpvcreate -y pv2.img

tvgextend vg0 pv1.img >/dev/null
tvcreate -L 200m --poolmetadatasize 4m -T vg0/pool0 >/dev/null
tvcreate -V 64m -T vg0/pool0 -n a >/dev/null
fails 3 'tag "a b" is invalid' tvgcreate --addtag 'a b' vg1 pv2.img
tvgcreate --addtag slow --alloc contiguous --setautoactivation n vg1 pv2.img >/dev/null
tvgchange --alloc normal --setautoactivation y vg1 >/dev/null
tvcreate -L 64m --poolmetadatasize 4m -V 32m -T vg1/pool0 -n b >/dev/null
[ "$(tvgck)" = "" ]
says 'vg0" is sound' tvgck -v vg0

# The file grows, with the pool in use; so does the pool, onto what is new. Then all of it shrinks.
tvchange -ay vg0/a
tvpvchange -x n pv1.img >/dev/null
truncate -s 512M pv0.img
says 'changed: 511 extents, 255 before' tvpvresize pv0.img
fails 5 'insufficient free space' tvextend -L +400m vg0/pool0
tvextend -L +250m vg0/pool0 >/dev/null
head -c 60M /dev/urandom > written
nbdcopy --flush written "$(uri vg0/a)"
tvextend -L 440m vg0/a >/dev/null 2>&1
/usr/bin/python3 - "$(uri vg0/a)" <<'PY'
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
for at in range(64 << 20, 400 << 20, 1 << 20):
    h.pwrite(bytes([at >> 20 & 255]) * (1 << 20), at)
h.flush()
for at in range(64 << 20, 400 << 20, 1 << 20):
    assert h.pread(1 << 20, at) == bytes([at >> 20 & 255]) * (1 << 20), at
h.shutdown()
PY
fails 5 'extents up to [0-9]+ are in use' tvpvresize --setphysicalvolumesize 300m pv0.img
fails 5 'the file or device has' tvpvresize --setphysicalvolumesize 1g pv0.img
tvchange -an vg0
judge vg0/pool0
tvpvchange -x y pv1.img >/dev/null
says 'changed: 199 extents, 255 before' tvpvresize --setphysicalvolumesize 200m pv1.img
truncate -s 200M pv1.img
[ "$(tvgck)" = "" ]
truncate -s 100M pv1.img
fails 5 'physical volume .*pv1.img has shrunk' tvgck vg0
truncate -s 200M pv1.img

# Moved: found again. A copy: named, and not taken.
mkdir moved
mv pv1.img moved
fails 5 'pv1.img is missing' tvgck
says 'moved to ".*/moved/pv1.img"' tvgscan moved/pv1.img
[ "$(tvgck)" = "" ]
# All of a group at once, its log's among them.
mv pv0.img pv0.aside; mv moved/pv1.img pv1.aside
says 'pv1.img" moved to ".*/pv1.aside"' tvgscan pv0.aside pv1.aside
[ "$(tvgck vg0)" = "" ]
mv pv0.aside pv0.img; mv pv1.aside moved/pv1.img
tvgscan pv0.img moved/pv1.img >/dev/null
[ "$(tvgck)" = "" ]
cp --sparse=always moved/pv1.img copy.img
tvgscan copy.img >out 2>err && fail "a copy is nothing to tvgscan"
grep -q 'copy.img is a copy of physical volume .*moved/pv1.img' err || fail "$(cat err)"
fails 5 'copy of physical volume' tvgextend vg1 copy.img
mv moved/pv1.img aside.img; cp --sparse=always pv0.img moved/pv1.img
fails 5 'moved/pv1.img is a copy of .*/pv0.img' tvgck vg0
rm moved/pv1.img
(
  export THINVOL_STATE_DIR=$work/s2 THINVOL_RUN_DIR=$work/r2
  truncate -s 64M foreign.img
  tvgcreate other foreign.img >/dev/null
)
mv foreign.img moved/pv1.img
fails 5 'is a foreign one: .* of volume group "other"' tvgck vg0
# The other group goes on.
tvgck vg1
tvchange -ay vg1/b
tvchange -an vg1
mv aside.img moved/pv1.img
says 'wiped' tvpvremove -y copy.img
[ "$(tvgck)" = "" ]

# A damaged log is named; the next change writes a checkpoint elsewhere.
cp --sparse=always pv0.img kept.img
dd if=/dev/urandom of=pv0.img bs=4096 seek=4 count=200 conv=notrunc status=none
fails 5 'the log on .*pv0.img' tvgck vg0
cp --sparse=always kept.img pv0.img; rm kept.img
[ "$(tvgck)" = "" ]

# Properties.
says 'successfully changed' tvgchange --addtag @fast --addtag big --alloc cling vg0
tvgchange --deltag big --setautoactivation n vg0 >/dev/null
fails 3 'give -a' tvgchange vg0
fails 3 'tag "a b" is invalid' tvgchange --addtag 'a b' vg0
tvgchange -ay >/dev/null
[ -n "$(uri vg0/a)" ] && [ -n "$(uri vg1/b)" ]
tvgchange -an >/dev/null
[ -z "$(uri vg0/a)$(uri vg1/b)" ]
tvgchange -aay >/dev/null
[ -z "$(uri vg0/a)" ] && [ -n "$(uri vg1/b)" ]
tvgchange -an >/dev/null
says 'VG Name +vg0' tvgdisplay vg0
says 'PV Name +.*/pv0.img' tvpvdisplay pv0.img
if tvpvdisplay pv0.img | grep -q pv2.img; then fail "tvpvdisplay of one shows another"; fi
fails 5 'not found' tvgdisplay nothing
fails 5 'Failed to find physical volume' tvpvdisplay nothing.img
# All of it is in the log: tags, policy, a volume that is not to be activated at boot.
rm -r "$THINVOL_STATE_DIR"
tvgscan --rebuild pv0.img pv2.img moved/pv1.img >/dev/null
tvgchange -aay >/dev/null
[ -z "$(uri vg0/a)" ] && [ -n "$(uri vg1/b)" ]
tvgchange -an >/dev/null
head_of_a() { tvchange -ay vg0/a; head_of "$(uri vg0/a)" 62914560; tvchange -an vg0; }
head_of_a | same - written

# Physical volumes that are gone: the empty ones leave; what lay on others goes by force only.
truncate -s 64M m0.img m1.img m2.img m3.img
tvgcreate -s 1m vg9 m0.img m1.img m2.img m3.img >/dev/null
says 'already consistent' tvgreduce --removemissing vg9
tvcreate -L 20m --poolmetadatasize 2m -V 16m -T vg9/whole -n w m2.img >/dev/null 2>&1
tvcreate -L 20m --poolmetadatasize 2m -V 16m -T vg9/partial -n p m0.img >/dev/null 2>&1
tvpvmove -n whole m0.img m2.img >/dev/null 2>&1 || true
rm m0.img m1.img
tvgreduce --test --removemissing --force vg9 >/dev/null 2>&1
[ "$(tvs --noheadings -o lv_name vg9 | xargs)" = "p partial w whole" ] || fail "--test: $(tvs vg9)"
fails 3 'is for --removemissing' tvgreduce --force vg9 m0.img
if tvgreduce --removemissing vg9 >out 2>err; then fail "partial pools were taken for nothing"; fi
grep -q 'Partial LV vg9/partial needs' err || fail "$(cat err)"
grep -q 'Removed missing ".*m1.img"' out || fail "$(cat out err)"
[ "$(tvpvs --noheadings -o pv_name -S vg_name=vg9 | wc -l)" = 3 ] || fail "$(tvpvs)"
says 'Removed missing ".*m0.img"' tvgreduce --removemissing --force vg9
[ "$(tvs --noheadings -o lv_name vg9 | xargs)" = "w whole" ] || fail "$(tvs vg9)"
[ "$(tvgck vg9)" = "" ] || fail "$(tvgck vg9)"
tvchange -ay vg9/w
tvchange -an vg9/w
