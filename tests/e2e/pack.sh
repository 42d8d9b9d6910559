#!/usr/bin/env bash
# Goal: packed metadata come back block for block, damaged ones too, without anything else that lay
# on the device; a file that is no pack, or a broken one, is refused.
. "$(dirname "$0")/lib.sh"

truncate -s 1G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 256m --poolmetadatasize 4m -T vg0/pool0 >/dev/null
tvcreate -V 64m -T vg0/pool0 -n v >/dev/null
tvchange -ay vg0/v
head -c 9M /dev/urandom > written
nbdcopy written "$(uri vg0/v)"
tvsnapshot -n s vg0/v >/dev/null

says 'metadata blocks packed' tvmetadatapack -o live.pack vg0/pool0
says 'metadata blocks unpacked' tvmetadataunpack -i live.pack -o live.img
thin_check -q live.img
tvdump vg0/pool0 | same - <(tvdump --device live.img)
tvchange -an vg0

# Somebody's data in a free block do not travel; a damaged superblock does.
tvdump --format raw -o md.img vg0/pool0
echo 'a secret' | dd of=md.img bs=4096 seek=700 conv=notrunc status=none
printf 'x' | dd of=md.img bs=1 seek=100 conv=notrunc status=none
tvmetadatapack --device md.img -o damaged.pack >/dev/null
tvmetadataunpack -i damaged.pack -o damaged.img >/dev/null
cmp -n 4096 md.img damaged.img
[ "$(stat -c %s damaged.img)" = "$(stat -c %s md.img)" ]
grep -q 'a secret' md.img
if grep -q 'a secret' damaged.img; then fail "what was no metadata was packed"; fi
tvrepair -q -y -i damaged.img --data-block-size 128 -o md.img 2>/dev/null
thin_check -q md.img

fails 5 'is there already' tvmetadataunpack -i live.pack -o live.img
says unpacked tvmetadataunpack -y -i live.pack -o live.img
fails 5 'it is no metadata pack' tvmetadataunpack -i written -o new.img
fails 5 'No such file' tvmetadataunpack -i nowhere -o new.img
head -c $(($(stat -c %s live.pack) / 2)) live.pack > short.pack
fails 5 'short.pack' tvmetadataunpack -i short.pack -o new.img
[ ! -s new.img ] || [ "$(head -c 4096 new.img | tr -d '\0' | wc -c)" = 0 ]
fails 3 'both files' tvmetadataunpack -i live.pack
fails 3 'a file to write' tvmetadatapack vg0/pool0
python3 -c '
import gzip, struct
def pack(name, *numbers, body=b""):
    with gzip.open(name, "wb") as f:
        f.write(b"TVMDPACK" + struct.pack(f"<{len(numbers)}Q", *numbers) + body)
pack("huge.pack", 1, 1 << 40)
pack("later.pack", 2, 10)
pack("outside.pack", 1, 10, 10, body=bytes(4096))
with gzip.open("unordered.pack", "wb") as f:
    f.write(b"TVMDPACK" + struct.pack("<QQ", 1, 10))
    for block in (5, 4):
        f.write(struct.pack("<Q", block) + bytes(4096))
'
fails 5 'the format allows' tvmetadataunpack -y -i huge.pack -o new.img
fails 5 'its version is 2' tvmetadataunpack -y -i later.pack -o new.img
fails 5 'block 10 after 0 of 10' tvmetadataunpack -y -i outside.pack -o new.img
fails 5 'block 4 after 1 of 10' tvmetadataunpack -y -i unordered.pack -o new.img
