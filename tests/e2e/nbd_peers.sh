#!/usr/bin/env bash
# Goal: other people's NBD clients find what they look for: nbdinfo, nbdcopy, nbdsh's library,
#       qemu-img, qemu-io, qemu-storage-daemon and fio, with holes, block status and errors.
. "$(dirname "$0")/lib.sh"

truncate -s 1G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 512m -T vg0/pool0 >/dev/null
tvcreate -V 64m -T vg0/pool0 -n a >/dev/null
tvcreate -V 64m -T vg0/pool0 -n b >/dev/null
tvcreate -V 64m -T vg0/pool0 -n fixed -pr >/dev/null
tvchange -ay vg0/a vg0/b vg0/fixed
a=$(uri vg0/a) b=$(uri vg0/b)

# nbdinfo: all that can be asked.
for can in df "structured reply" fast-zero fua multi-conn trim zero cache flush; do
  nbdinfo --can "$can" "$a" || fail "nbdinfo --can '$can'"
done
nbdinfo --is read-only "$(uri vg0/fixed)"
[ "$(nbdinfo --is read-only "$a" || echo writable)" = writable ]
nbdinfo --json "$a" | jq -e '.exports[0] | .contexts == ["base:allocation", "x-thinvol:sharing"]
  and .block_size_preferred == 65536 and .block_size_maximum == 33554432
  and (.description | test("thin volume a"))' >/dev/null
[ "$(nbdinfo --list --json "$a" | jq -r '[.exports[]."export-name"] | sort | join(" ")')" = \
  'a b fixed' ]

# Allocation as nbdinfo and qemu see it, before and after a snapshot, and what is shared.
head -c 1M /dev/urandom > data
qemu-io -f raw -d unmap -c 'write -s data 1M 1M' -c 'write -z -u 3M 1M' -c flush "$a" >/dev/null
[ "$(nbdinfo --map "$a" | awk '{print $1, $2, $3}' | xargs)" = \
  '0 1048576 3 1048576 1048576 0 2097152 65011712 3' ]
qemu-img map --output=json -f raw "$a" |
  jq -e 'map([.start, .length, .data]) == [[0, 1048576, false], [1048576, 1048576, true],
    [2097152, 65011712, false]]' >/dev/null
tvsnapshot -kn -n snap vg0/a >/dev/null
qemu-io -f raw -c 'write -P 7 1M 64k' "$a" >/dev/null
[ "$(nbdinfo --map=x-thinvol:sharing "$a" | awk '{print $1, $2, $3}' | xargs)" = \
  '0 1048576 1 1048576 65536 0 1114112 983040 2 2097152 65011712 1' ]

# Copies leave holes: only what has data is allocated, and contents are the same.
nbdcopy --flush "$a" "$b"
qemu-img compare -f raw -F raw "$a" "$b"
nbdcopy "$b" copy.img
[ "$(stat -c %b copy.img)" -lt 3000 ]
qemu-img compare -f raw -F raw copy.img "$a"
[ "$(nbdinfo --map --totals "$b" | awk '$3 == 0 {print $1}')" = 1048576 ]
qemu-img convert -f raw -O qcow2 "$a" copy.qcow2
qemu-img compare -F raw copy.qcow2 "$a"
qemu-img convert -n -f qcow2 -O raw copy.qcow2 "$b"
qemu-img compare -f raw -F raw "$a" "$b"

# Every command and error, by libnbd, which checks what it is told.
/usr/bin/python3 "$here/nbd_commands.py" "$a" "$(uri vg0/fixed)"

# qemu as a client that passes all on: qcow2 over it, and the block status through it.
qemu-storage-daemon --daemonize --pidfile qsd.pid \
  --blockdev "nbd,node-name=disk,server.type=unix,server.path=$(field uri vg0/b |
    sed 's/.*socket=//'),export=b,discard=unmap" \
  --nbd-server addr.type=unix,addr.path="$work/q" \
  --export type=nbd,id=e,node-name=disk,name=again,writable=on
again="nbd+unix:///again?socket=$work/q"
qemu-img convert -n -f raw -O raw "$a" "$again"
qemu-img compare -f raw -F raw "$a" "$again"
qemu-io -f raw -d unmap -c 'discard 1M 2M' -c 'write -z -u 0 1M' -c 'write -P 9 60M 1M' \
  -c flush -c 'read -P 9 60M 1M' -c 'read -P 0 0 1M' "$again" >/dev/null
[ "$(nbdinfo --map "$again" | awk '{print $1, $2, $3}' | xargs)" = \
  '0 62914560 3 62914560 1048576 0 63963136 3145728 3' ]
kill "$(cat qsd.pid)"

fio --name=verify --ioengine=nbd --uri="$b" --rw=randwrite --bs=4k --size=32m --verify=crc32c \
  --verify_fatal=1 --iodepth=16 --randseed=1 --output=fio.log || fail "$(cat fio.log)"

# As a file, by FUSE.
unmount() { if [ "$(id -u)" = 0 ]; then umount mnt; else fusermount3 -u mnt; fi; }
if command -v nbdfuse >/dev/null && [ -w /dev/fuse ]; then
  mkdir mnt
  release() { unmount 2>/dev/null || true; }
  nbdfuse -P fuse.pid mnt/disk "$b" & fuse=$!
  until [ -s fuse.pid ]; do kill -0 $fuse; sleep 0.05; done
  mkfs.ext4 -q -F mnt/disk
  dd if=data of=mnt/disk bs=64k seek=999 conv=notrunc,fsync status=none
  cmp -n 1M -i 0:$((999 * 65536)) data mnt/disk
  unmount
  wait $fuse
  cmp -n 1M -i 0:$((999 * 65536)) data <(head_of "$b" $((64 << 20)))
else
  echo "nbdfuse is not installed, or /dev/fuse cannot be written: not tried"
fi
