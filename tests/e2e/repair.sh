#!/usr/bin/env bash
# Goal: a damaged pool is repaired in place of its metadata, its contents are as they were, and what
#       does not agree with the catalog is refused with everything left as it was.
. "$(dirname "$0")/lib.sh"

truncate -s 2G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 1g -T vg0/pool0 >/dev/null
tvcreate -V 256m -T vg0/pool0 -n v >/dev/null
tvchange -ay vg0/v
head -c 40M /dev/urandom > contents
nbdcopy --flush contents "$(uri vg0/v)"
tvsnapshot -n snap vg0/v >/dev/null
fails 5 'vg0/pool0 is in use; deactivate it: tvchange -an vg0/pool0' tvrepair -y vg0/pool0
tvchange -an vg0
tvdump -o before.xml vg0/pool0
tvdump --format raw -o before.img vg0/pool0

# An undamaged pool, and a device.
truncate -s 8M out.img
says 'transaction id [0-9]+, 2 volumes with 1280 mappings' tvrepair -i before.img -o out.img
thin_check -q out.img
tvdump --device out.img | same - before.xml
says '2 volumes with 1280 mappings' tvrepair -y --whole -i before.img -o out.img
tvdump --device out.img | same - before.xml
says '2 volumes with 1280 mappings' tvrepair -y vg0/pool0
tvdump vg0/pool0 | same - before.xml

# The superblock of the pool's own metadata is lost: size and id are the catalog's.
lose_superblock() {
  local at magic='\xba\x52\x9c\x01\x00\x00\x00\x00\x02\x00\x00\x00'
  # shellcheck disable=SC2013  # offsets, one a line
  for at in $(grep -obUaP "$magic" pv.img | cut -d: -f1); do
    dd if=/dev/zero of=pv.img bs=1 seek=$((at - 32)) count=4096 conv=notrunc status=none
  done
}
lose_superblock
fails 1 'this is no thin-pool metadata' tvcheck vg0/pool0
fails 5 'left as it was' tvrepair vg0/pool0
fails 1 'this is no thin-pool metadata' tvcheck vg0/pool0
says '2 volumes with 1280 mappings' tvrepair -y vg0/pool0
says 'no damage found' tvcheck vg0/pool0
tvdump vg0/pool0 > after.xml
diff <(grep mapping before.xml) <(grep mapping after.xml)
tvchange -ay -K vg0/v vg0/snap
for v in v snap; do head_of "$(uri vg0/$v)" $((40 << 20)) | same - contents; done
tvcreate -V 64m -T vg0/pool0 -n more >/dev/null
nbdcopy --flush contents "$(uri vg0/v)"
tvchange -an vg0

# It is lost again, a snapshot was removed just before: of the trees that are left, those with the
# catalog's volumes are taken.
tvsnapshot -n gone vg0/v >/dev/null
tvremove -y vg0/gone >/dev/null
tvdump vg0/pool0 > again.xml
lose_superblock
says '3 volumes' tvrepair -y vg0/pool0
tvdump vg0/pool0 > after.xml
diff <(grep mapping again.xml) <(grep mapping after.xml)

# XML into the pool: only what agrees with the catalog.
tvdump -o now.xml vg0/pool0
fails 5 'has metadata; replace them with --yes' tvrestore -i now.xml vg0/pool0
fails 5 'transaction id [0-9]+, the catalog has [0-9]+.*left as it was' \
  tvrestore -y -i before.xml vg0/pool0
id=$(sed -n 's/.* transaction="\([0-9]*\)" flags.*/\1/p' now.xml)
fails 5 'lack thin id 2, volume more; the pool is left' \
  tvrestore -y -i before.xml --transaction-id "$id" vg0/pool0
tvdump vg0/pool0 | same - now.xml
says '3 volumes' tvrestore -y -i now.xml vg0/pool0
tvdump vg0/pool0 | same - now.xml

# As lvconvert does it, and back; what is on the spare is taken only if it agrees too.
tvremove -y vg0/pool0_meta0 vg0/pool0_meta1 vg0/pool0_meta2 >/dev/null
says '3 volumes.*the old metadata are vg0/pool0_meta0' tvconvert -y --repair vg0/pool0
tvs -a --noheadings -o lv_name vg0 | grep -q '\[pool0_meta0\]' || fail "$(tvs -a vg0)"
tvs -a --noheadings -o lv_name vg0 | grep -q '_pmspare\]' || fail "no spare: $(tvs -a vg0)"
[ "$(tvgck)" = "" ]
says 'metadata that were on vg0/pool0_meta0' tvconvert -y --swapmetadata vg0/pool0
tvdump vg0/pool0 | same - now.xml
says 'are vg0/pool0_meta1' tvconvert -y --repair vg0/pool0
says '"pool0_meta0" successfully removed' tvremove -y vg0/pool0_meta0
says '"pool0_meta1" successfully removed' tvremove -y vg0/pool0_meta1
fails 5 'Failed to find' tvremove -y vg0/pool0_meta1
says '3 volumes' tvrestore -y -i now.xml vg0/pool0
says 'has the metadata that were on .*_pmspare' tvconvert -y --swapmetadata vg0/pool0
tvsnapshot -n later vg0/v >/dev/null
fails 5 'the catalog has [0-9]+.*left as it was' tvconvert -y --swapmetadata vg0/pool0

# Bare devices without a superblock.
dd if=/dev/zero of=before.img bs=4096 count=1 conv=notrunc status=none
fails 5 'give --data-block-size' tvrepair -y -i before.img -o out.img
tvrepair -y -i before.img -o out.img --data-block-size 128 --nr-data-blocks 16384 >/dev/null 2>&1
thin_check -q out.img
diff <(grep mapping before.xml) <(tvdump --device out.img | grep mapping)
head -c 1M /dev/urandom > noise
fails 5 'no tree of volumes is left' tvrepair -y -i noise -o out.img
fails 3 'Please give' tvrepair -o out.img
