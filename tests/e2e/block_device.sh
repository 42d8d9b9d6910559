#!/usr/bin/env bash
# Goal: a group on block devices, and none on a device that is mounted, whatever -y says.
# Loop devices need root; without it, and where there are none, this says so and ends.
. "$(dirname "$0")/lib.sh"

truncate -s 512M disk.img
device=
if [ "$(id -u)" != 0 ] || ! device=$(losetup -f --show disk.img 2>err); then
  echo "block_device.sh: NOT TRIED: no loop device for us: $(cat err 2>/dev/null || id)"
  exit 0
fi
release() {
  tvchange -an vg0 2>/dev/null || true
  umount "$work/mnt" 2>/dev/null || true
  losetup -d "$device" 2>/dev/null || true
}

mkfs.ext4 -q "$device"
mkdir mnt
mount "$device" mnt
fails 5 'mounted, or in use' tvgcreate -y vg0 "$device"
umount mnt
e2fsck -fn "$device" >/dev/null 2>&1
fails 5 'ext4 signature' tvgcreate vg0 "$device"

says 'successfully created' tvgcreate -y vg0 "$device"
tvcreate -L 256m -V 128m -T vg0/pool0 -n v >/dev/null
tvchange -ay vg0/v
fio --name=v --ioengine=nbd --uri="$(uri vg0/v)" --size=64m --rw=randwrite --bs=4k --iodepth=16 \
  --verify=crc32c --verify_fatal=1 --output=fio.log || fail "fio: $(cat fio.log)"
tvsnapshot -n s vg0/v >/dev/null
judge vg0/pool0
tvchange -an vg0
tvgremove -y vg0 >/dev/null
