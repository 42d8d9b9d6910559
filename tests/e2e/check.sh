#!/usr/bin/env bash
# Goal: tvcheck's options do what thin_check's do: partial checks, leaks that do not count, counts
#       put right, needs_check cleared, the metadata snapshot; never on a pool in use.
. "$(dirname "$0")/lib.sh"

truncate -s 2G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 512m -T vg0/pool0 >/dev/null
tvcreate -V 256m -T vg0/pool0 -n a >/dev/null
tvchange -ay vg0/a
fio --name=fill --ioengine=nbd --uri="$(uri vg0/a)" --size=128m --io_size=32m --rw=randwrite \
  --bs=64k --end_fsync=1 --output=fio.log
tvsnapshot -n s vg0/a >/dev/null
says 'no damage found' tvcheck vg0/pool0
fails 5 'vg0/pool0 is active' tvcheck --auto-repair vg0/pool0
fails 5 'vg0/pool0 is active' tvcheck --clear-needs-check-flag vg0/pool0
tvchange -an vg0
says 'no damage found' tvcheck --auto-repair --clear-needs-check-flag vg0/pool0
tvcheck --json vg0/pool0 | jq -e '.clean and .volumes == 2 and .mappings > 0' >/dev/null
[ -z "$(tvcheck -q vg0/pool0 2>&1)" ] || fail "-q says something"
says 'no damage found' tvcheck --super-block-only vg0/pool0
says 'no damage found' tvcheck --skip-mappings vg0/pool0
fails 5 'there is no metadata snapshot' tvcheck -m vg0/pool0
fails 3 'exclude each other' tvcheck --skip-mappings --auto-repair vg0/pool0
tvdump --format raw -o good.img vg0/pool0
tvdump -o good.xml vg0/pool0

# change IMAGE leak|low|needs_check: makes it so, with right checksums.
change() {
  /usr/bin/python3 - "$@" <<'PY'
import struct, sys
image, what = sys.argv[1:]
md = bytearray(open(image, "rb").read())
u64 = lambda at: struct.unpack_from("<Q", md, at)[0]
def seal(block, salt):
    crc = 0xffffffff
    for byte in md[block * 4096 + 4:block * 4096 + 4096]:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    struct.pack_into("<I", md, block * 4096, crc ^ salt)
def set_count(bitmap, block, count):
    at = bitmap * 4096 + 16 + block // 4
    shift = block % 4 * 2
    md[at] = md[at] & ~(3 << shift) | ((count & 1) << 1 | count >> 1) << shift
    seal(bitmap, 240779)
metadata_bitmap = u64(u64(192 + 16) * 4096 + 16)
leaf = u64(64 + 16) * 4096
data_bitmap = u64(leaf + 32 + 8 * 168)
if what == "leak":
    set_count(metadata_bitmap, 1000, 1)
    index = u64(192 + 16)
    free = struct.unpack_from("<I", md, index * 4096 + 24)[0]
    struct.pack_into("<I", md, index * 4096 + 24, free - 1)
    seal(index, 160478)
    struct.pack_into("<Q", md, 192 + 8, u64(192 + 8) + 1)
    seal(0, 160774)
elif what == "low":
    set_count(data_bitmap, 0, 0)
elif what == "needs_check":
    md[4] |= 1
    seal(0, 160774)
open(image, "wb").write(md)
PY
}

# A leak.
cp good.img md.img; change md.img leak
status=0; tvcheck --device md.img >out 2>err || status=$?
[ $status = 1 ] || fail "a leak gave $status"
grep -q 'metadata space map: block 1000 has count 1, found 0 references' err
tvcheck --ignore-non-fatal-errors --device md.img >/dev/null 2>&1
status=0; tvcheck --json --device md.img >out || status=$?
jq -e '.leaks == 1 and .damages == 0 and (.clean | not)' out >/dev/null || fail "$(cat out)"
tvcheck --auto-repair --device md.img >out 2>err
grep -q 'no damage found' out
thin_check -q md.img
tvdump --device md.img | same - good.xml

# A count too low, which thin_check 0.9 does not see; it is no leak.
cp good.img md.img; change md.img low
status=0; tvcheck --ignore-non-fatal-errors --device md.img >/dev/null 2>&1 || status=$?
[ $status = 1 ] || fail "a count too low gave $status"
tvcheck --auto-repair --device md.img >/dev/null 2>&1
tvcheck --device md.img >/dev/null
thin_check -q md.img
tvdump --device md.img | same - good.xml

# needs_check goes only when all is well.
cp good.img md.img; change md.img needs_check
says 'needs_check is set' tvcheck --device md.img
cp md.img leaky.img; change leaky.img leak
status=0; tvcheck --clear-needs-check-flag --device leaky.img >/dev/null 2>&1 || status=$?
[ $status = 1 ] || fail "a leak gave $status"
{ tvcheck --json --device leaky.img || true; } | jq -e .needs_check >/dev/null
tvcheck --clear-needs-check-flag --device md.img >/dev/null
tvcheck --json --device md.img | jq -e '.needs_check | not' >/dev/null
same md.img good.img

# Damage besides: nothing is changed.
cp good.img md.img; change md.img leak
root=$(/usr/bin/python3 -c '
import struct; print(struct.unpack_from("<Q", open("md.img", "rb").read(), 320)[0])')
printf '\xee' | dd of=md.img bs=1 seek=$((root * 4096 + 3000)) conv=notrunc status=none
cp md.img before.img
fails 5 'there is damage besides' tvcheck --auto-repair -q --device md.img
same md.img before.img
