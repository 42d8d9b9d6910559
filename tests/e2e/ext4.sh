#!/usr/bin/env bash
# Goal: a real file system survives: in by nbdcopy, snapshotted while another client writes, out
# again byte for byte.
. "$(dirname "$0")/lib.sh"

truncate -s 3G pv.img
truncate -s 256M fs.img
mkfs.ext4 -q -F -d /usr/include/linux fs.img
e2fsck -fn fs.img >/dev/null 2>&1
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 2500m -T vg0/pool0 >/dev/null
tvcreate -V 512m -T vg0/pool0 -n fs >/dev/null
tvchange -ay vg0/fs
nbdcopy --flush fs.img "$(uri vg0/fs)"

# A second client overwrites the second half of the volume without a pause; the file system is in
# the first.
fio --name=other --ioengine=nbd --uri="$(uri vg0/fs)" --offset=256m --size=256m --rw=randwrite \
  --bs=16k --iodepth=16 --time_based --runtime=6 --output=fio.log &
writer=$!
for i in 1 2 3 4 5; do
  sleep 0.5
  tvsnapshot -n "snap$i" vg0/fs >/dev/null
done
kill -0 $writer || fail "the writer ended early: $(cat fio.log)"
wait $writer
for v in snap1 snap5 fs; do
  tvchange -ay -K "vg0/$v"
  head_of "$(uri "vg0/$v")" $((256 << 20)) > back.img
  same back.img fs.img
  e2fsck -fn back.img >/dev/null 2>&1 || fail "e2fsck complains of $v"
done
# A snapshot stays what it was: read twice, with writes in between.
nbdcopy "$(uri vg0/snap3)" - > /dev/null 2>&1 && fail "an inactive snapshot is exported"
tvchange -ay -K vg0/snap3
nbdcopy "$(uri vg0/snap3)" once.img
fio --name=other --ioengine=nbd --uri="$(uri vg0/fs)" --offset=256m --size=64m --rw=write --bs=64k \
  --output=fio.log
nbdcopy "$(uri vg0/snap3)" twice.img
same once.img twice.img
judge vg0/pool0
for i in 1 2 3 4 5; do
  tvchange -an "vg0/snap$i"
  tvremove "vg0/snap$i" >/dev/null
done
judge vg0/pool0
head_of "$(uri vg0/fs)" $((256 << 20)) | same - fs.img
# What nobody refers to any more is given back to the file system below.
tvchange -an vg0
tvremove -y vg0/fs >/dev/null
judge vg0/pool0
[ "$(du -m pv.img | cut -f1)" -lt 40 ] || fail "the physical volume still holds $(du -m pv.img)"
