#!/usr/bin/env bash
# Goal: volumes and pools grow, in every way sizes are given, any number of times, under load and
# after they were full: whoever waits for room goes on.
. "$(dirname "$0")/lib.sh"

truncate -s 4G pv.img
tvgcreate -s 1m vg0 pv.img >/dev/null
tvcreate -L 64m --poolmetadatasize 2m -T vg0/pool0 >/dev/null
tvcreate -V 64m -T vg0/pool0 -n v >/dev/null 2>&1

# Sizes of a volume.
says 'from 64.00 MiB .* to 96.00 MiB' tvresize -L +32m vg0/v
says 'from 96.00 MiB .* to 144.00 MiB' tvextend -l +50%LV vg0/v
says 'from 144.00 MiB .* to 72.00 MiB' tvresize -y -l 50%LV vg0/v
says 'from 72.00 MiB .* to 64.00 MiB' tvreduce -y -L -8m vg0/v
fails 5 'matches existing size' tvresize -L 64m vg0/v
fails 5 'not larger than existing' tvextend -L 32m vg0/v
fails 3 'may not be negative' tvextend -L -32m vg0/v
fails 5 'would be zero or less' tvresize -y -L -64m vg0/v
fails 3 'not a file system' tvextend -r -L +4m vg0/pool0
# A file system is resized on a block device, which this machine may not have: nothing has changed
# then. What is resized where there are some is judged in the virtual machine: file_systems.
if [ ! -e /dev/ublk-control ] && [ ! -e /sys/module/nbd ]; then
  fails 5 'needs a block device.*modprobe ublk_drv.*modprobe nbd.*resize2fs DEVICE,' \
    tvextend -r -L +4m vg0/v
  fails 5 'needs a block device.*resize2fs DEVICE SIZE' tvreduce -r -L -4m vg0/v
  [ -z "$(field lv_active vg0/v)" ] || fail "left active"
  ! thinvol config vg0/v | grep -q '^ *export *=' || fail "remembered: $(thinvol config vg0/v)"
  tvchange -ay vg0/v
  fails 5 'active and reached by NBD.*deactivate it first' tvextend -r -L +4m vg0/v
  tvchange -an vg0/v
fi
[ "$(field lv_size vg0/v)" = 64.00m ]

# Sizes of a pool: data, metadata, both at once; none of it shrinks.
says 'pool0_tdata changed from 64.00 MiB .* to 80.00 MiB' tvresize -l +25%LV vg0/pool0
says 'pool0_tmeta changed from 2.00 MiB .* to 3.00 MiB' tvresize --poolmetadatasize +1m vg0/pool0
tvextend -L +16m --poolmetadatasize 4m vg0/pool0 >"$work/out"
[ "$(grep -c ' changed from ' out)" = 2 ] || fail "not both grew: $(cat out)"
fails 5 'cannot be reduced in size yet' tvresize -L 64m vg0/pool0
fails 5 'cannot be reduced in size yet' tvreduce -L -8m vg0/pool0
fails 5 'metadata volumes cannot be reduced' tvresize --poolmetadatasize 2m vg0/pool0
fails 5 'insufficient free space' tvextend -L +100g vg0/pool0
judge vg0/pool0

# Under load, step by step.
tvextend -L 1g vg0/v >/dev/null 2>&1
tvchange -ay vg0/v
fio --name=v --ioengine=nbd --uri="$(uri vg0/v)" --size=400m --rw=randwrite --bs=64k --iodepth=16 \
  --verify=crc32c --verify_fatal=1 --output=fio.log &
writer=$!
for _ in $(seq 20); do
  tvextend -L +20m vg0/pool0 >/dev/null
  tvextend --poolmetadatasize +1m vg0/pool0 >/dev/null
done
wait $writer || fail "fio: $(cat fio.log)"
judge vg0/pool0
tvchange -an vg0
tvremove -y vg0/pool0 >/dev/null

# await_full WHAT: the server says that the pool is.
await_full() {
  for _ in $(seq 600); do
    [ "$(field lv_attr vg0/pool0 | cut -c9)" != "$1" ] || return 0
    kill -0 $writer 2>/dev/null || fail "the writer ended: $(cat writer.txt)"
    sleep 0.1
  done
  fail "the pool never was full: $(field lv_attr vg0/pool0)"
}

# Data run out; the writer goes on with each step, and all it wrote is there.
head -c 96M /dev/urandom > payload
tvcreate -L 32m -V 128m -T vg0/pool0 -n v >/dev/null 2>&1
tvchange -ay vg0/v
nbdcopy --flush payload "$(uri vg0/v)" >writer.txt 2>&1 &
writer=$!
await_full D
tvextend -L +16m vg0/pool0 >/dev/null
await_full D
tvresize -l +100%LV vg0/pool0 >/dev/null
wait $writer || fail "nbdcopy: $(cat writer.txt)"
head_of "$(uri vg0/v)" $((96 << 20)) | same - payload
judge vg0/pool0
tvchange -an vg0
tvremove -y vg0/pool0 >/dev/null

# Metadata run out: after a snapshot, a write in each part of the tree copies all of it.
tvcreate -L 2560m --poolmetadatasize 2m --zero n -V 2g -T vg0/pool0 -n v >/dev/null
tvchange -ay vg0/v
fio --name=v --ioengine=nbd --uri="$(uri vg0/v)" --size=2g --rw=write:60k --bs=4k --iodepth=16 \
  --output=fio.log || fail "fio: $(cat fio.log)"
cat > scatter.py <<'PY'
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
places = range(0, 2 << 30, 4 << 20)
for at in places:
    h.pwrite(b"\2" * 4096, at)
h.flush()
for at in places:
    assert h.pread(4096, at) == b"\2" * 4096
print("all")
PY
tvsnapshot -n s1 vg0/v >/dev/null
/usr/bin/python3 scatter.py "$(uri vg0/v)" >/dev/null
tvsnapshot -n s2 vg0/v >/dev/null
/usr/bin/python3 scatter.py "$(uri vg0/v)" >writer.txt 2>&1 &
writer=$!
await_full M
judge vg0/pool0
tvextend --poolmetadatasize +1m vg0/pool0 >/dev/null
tvresize --poolmetadatasize 16m vg0/pool0 >/dev/null
wait $writer || fail "the writer: $(cat writer.txt)"
grep -q all writer.txt
judge vg0/pool0
tvchange -an vg0
tvgremove -y vg0 >/dev/null
