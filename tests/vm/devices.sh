# shellcheck shell=bash
# devices.sh: what the jobs share that judge volumes as block devices of the kernel.
# shellcheck source=kernel_pool.sh
. "$(dirname "${BASH_SOURCE[0]}")/kernel_pool.sh"

export THINVOL_DEVICE_DIR=$PWD/dev
tree=/usr/include/linux/netfilter  # to be copied in
device() { field device "$1"; }
release() {
  umount mnt 2>/dev/null || true
  umount mnt2 2>/dev/null || true
}

# make_pool SIZE: vg0/pool0 on a file.
make_pool() {
  truncate -s 1500M pv.img
  tvgcreate -s 1m vg0 pv.img >/dev/null
  tvcreate -L "$1" --poolmetadatasize 4m -T vg0/pool0 >/dev/null
  mkdir -p mnt mnt2
}

# nothing_left: no node, no link, no server.
nothing_left() {
  ls /dev/ublkb* /dev/ublkc* >/dev/null 2>&1 && fail "ublk devices are left: $(ls /dev/ublk*)"
  local n
  for n in /sys/block/nbd*; do [ ! -e "$n/pid" ] || fail "$n is still attached"; done
  [ ! -e "$THINVOL_DEVICE_DIR" ] || fail "links are left: $(find "$THINVOL_DEVICE_DIR")"
  # The lock goes a moment before the process.
  n=0
  while pgrep -x thinvold >/dev/null; do
    [ $((++n)) -lt 100 ] || fail "a server is left"
    sleep 0.1
  done
}

# What is there is no reason to ask.
wipe() { blkdiscard -f "$@" 2>/dev/null; }

# verify_io DEVICE: what fio writes it reads again.
verify_io() {
  fio --eta=never --name=verify --filename="$1" --direct=1 --ioengine=libaio --rw=randwrite \
    --bsrange=512-64k --size=16m --iodepth=32 --verify=crc32c --fsync=64 --randseed=7 \
    --output=fio.out ||
    fail "fio: $(cat fio.out)"
}

# file_system mkfs.TYPE DEVICE: made, filled with a tree, checked, trimmed.
file_system() {
  local make=$1 disk=$2
  "$make" -q "$disk" 2>/dev/null || "$make" -q -f "$disk"
  mount "$disk" mnt
  cp -r "$tree" mnt/tree
  sync -f mnt
  umount mnt
  mount "$disk" mnt
  diff -r "$tree" mnt/tree
}

# snapshot_of_mounted VG/LV: what was written to mnt and not flushed is in it, whole: its file
# system needs no recovery.
snapshot_of_mounted() {
  local snap; head -c 2M /dev/urandom > mnt/late
  tvsnapshot -n snap "$1" >/dev/null
  echo more > mnt/thawed
  tvchange -ay -K --export ublk vg0/snap
  snap=$(device vg0/snap)
  if [ "$(blkid -o value -s TYPE "$snap")" = xfs ]; then
    mount -o ro,norecovery,nouuid "$snap" mnt2
  else
    ! dumpe2fs -h "$snap" 2>/dev/null | grep -q needs_recovery || fail "it was not frozen"
    mount -o ro "$snap" mnt2
  fi
  cmp mnt2/late mnt/late
  diff -r mnt2/tree mnt/tree
  umount mnt2
  tvchange -an vg0/snap
  tvremove -y vg0/snap >/dev/null
}

# trim_gives_back VG/LV: what is deleted in mnt and trimmed, the pool has again.
trim_gives_back() {
  local before; before=$(field data_percent "$1")
  head -c 40M /dev/urandom > mnt/large
  sync -f mnt
  rm mnt/large
  sync -f mnt
  fstrim mnt
  sync -f mnt
  awk -v a="$(field data_percent "$1")" -v b="$before" 'BEGIN {exit !(a <= b + 2)}' ||
    fail "$1 has $(field data_percent "$1") % after fstrim, $before % before"
}
