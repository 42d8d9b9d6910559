#!/usr/bin/env bash
# Goal: how a volume is exported is chosen, refused and remembered as it should be on a machine that
# has neither ublk nor the kernel's NBD client. What the devices do is judged in the virtual
# machine: tests/vm/jobs/ublk and kernel_nbd.
. "$(dirname "$0")/lib.sh"

if [ -e /dev/ublk-control ] || [ -e /sys/module/nbd ]; then
  echo "skipped: this machine has the drivers"
  exit 0
fi
export THINVOL_DEVICE_DIR=$work/dev
truncate -s 128M pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 64m -T vg0/pool0 >/dev/null
tvcreate -V 16m -T vg0/pool0 -n root >/dev/null

remembered() {
  thinvol config vg0/root | grep -E "(activation\.export|^ *export) *= *$1" >/dev/null ||
    fail "$1 is not remembered: $(thinvol config vg0/root | grep export)"
}

# The error names the driver and the way out, and what failed is not remembered.
for how in ublk nbd,ublk; do
  fails 5 "/dev/ublk-control: .*modprobe ublk_drv.*--export nbd" tvchange -ay --export $how vg0/root
done
for how in nbd-kernel nbd,nbd-kernel; do
  fails 5 "modprobe nbd; --export nbd" tvchange -ay --export $how vg0/root
done
[ -z "$(field lv_active vg0/root)" ] || fail "active after a failure"
remembered '"nbd"'
fails 3 "is not nbd, ublk" tvchange -ay --export usb vg0/root
fails 3 "is not nbd, ublk" tvchange -ay --export ublk,nbd-kernel vg0/root
fails 3 "goes with -ay" tvchange -an --export ublk vg0/root
fails 3 "goes with -ay" tvchange --export ublk vg0/root

# auto is NBD here, and stays what it was asked for.
tvchange -ay --export auto vg0/root
[ -n "$(uri vg0/root)" ] || fail "auto gave no URI"
[ -z "$(field device vg0/root)" ] || fail "a device from nowhere"
remembered '"auto"'

# An active volume keeps what it has where the other way fails.
fails 5 "modprobe ublk_drv" tvchange -ay --export ublk vg0/root
remembered '"auto"'
head_of "$(uri vg0/root)" 4096 | same - <(head -c 4096 /dev/zero)
tvchange -an vg0
[ ! -e "$THINVOL_DEVICE_DIR" ] || fail "links from nowhere"
