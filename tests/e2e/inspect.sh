#!/usr/bin/env bash
# Goal: tvls, tvdelta, tvrmap, tvmetadatasize and tvtrim say what the distribution's tools say, of a
#       pool of ours, active or not, and of a bare device.
. "$(dirname "$0")/lib.sh"

truncate -s 2G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 512m -T vg0/pool0 >/dev/null
tvcreate -V 256m -T vg0/pool0 -n a >/dev/null
tvchange -ay vg0/a
fill() {
  fio --name=fill --ioengine=nbd --uri="$(uri vg0/a)" --size=128m --io_size="$1" --rw=randwrite \
    --bs=64k --randseed="$2" --end_fsync=1 --output=fio.log
}
for n in 1 2 3; do
  fill 16m $n
  tvsnapshot -n "s$n" vg0/a >/dev/null
done
fill 4m 9

# Sizes that both generations print alike; a volume's exclusive blocks are those of thin_ls.
fields=DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_BLOCKS,MAPPED_SECTORS,SHARED_BYTES,TRANSACTION
fields=$fields,CREATE_TIME,SNAP_TIME
tvls -o $fields vg0/pool0 > ours
tvdump --format raw -o md.img vg0/pool0
thin_ls -o $fields md.img 2>/dev/null | same - ours
tvls -o $fields --device md.img | same - ours
thin_ls --no-headers -o DEV,EXCLUSIVE_SECTORS md.img 2>/dev/null > theirs
tvls --no-headers -o dev,exclusive_sectors vg0/pool0 | same - theirs
says '"exclusive_blocks": [0-9]+' tvls --json -o DEV,EXCLUSIVE_BLOCKS vg0/pool0
fails 3 'Unknown field "NONSENSE"' tvls -o DEV,NONSENSE vg0/pool0

for pair in '0 1' '1 2' '3 0' '2 2'; do
  # shellcheck disable=SC2086
  set -- $pair
  thin_delta --thin1 "$1" --thin2 "$2" md.img > theirs
  tvdelta --snap1 "$1" --snap2 "$2" --device md.img | diff -u theirs - || fail "delta $pair"
  thin_delta --verbose --thin1 "$1" --thin2 "$2" md.img > theirs
  tvdelta --verbose --thin1 "$1" --thin2 "$2" vg0/pool0 | diff -u theirs - || fail "delta -v $pair"
done
thin_delta --thin1 1 --thin2 0 md.img > theirs
tvdelta --thin1 s1 --thin2 a vg0/pool0 | same - theirs
fails 3 'Please give both volumes' tvdelta --thin1 1 vg0/pool0
fails 5 'thin id 77 does not exist' tvdelta --thin1 1 --thin2 77 vg0/pool0

# The order of equal beginnings differs between the generations.
thin_rmap --region 10..50 --region 100..300 md.img | sort > theirs
tvrmap --region 10..50 --region 100..300 --device md.img | sort | same - theirs
fails 3 'is no region' tvrmap --region 5..5 vg0/pool0

says '^976824' tvmetadatasize -n -b 64k -s 1000000000000b -m 1000
fails 3 'not a multiple' tvmetadatasize -b 65k -s 1g -m 1

# What is free goes, what is mapped stays.
fails 5 'vg0/pool0 is active' tvtrim vg0/pool0
head_of "$(uri vg0/a)" $((128 << 20)) > before
tvremove -y vg0/s1 vg0/s2 >/dev/null
tvchange -an vg0
used=$(du -k pv.img | cut -f1)
says 'free data blocks discarded' tvtrim vg0/pool0
[ "$(du -k pv.img | cut -f1)" -le "$used" ] || fail "trimming took space"
tvchange -ay vg0/a
head_of "$(uri vg0/a)" $((128 << 20)) | same - before
tvchange -an vg0

# A bare pair of devices: every free block becomes a hole, every mapped one keeps its bytes.
tvdump --format raw -o md.img vg0/pool0
head -c $((512 << 20)) /dev/zero | tr '\0' x > data.img
says 'free data blocks discarded' tvtrim --metadata-dev md.img --data-dev data.img
free=$(/usr/bin/python3 - <<'PY'
data = open("data.img", "rb")
print(sum(1 for _ in range(8192) if data.read(65536) == bytes(65536)))
PY
)
mapped=$(tvrmap --json --region 0..8192 --device md.img |
  jq '[.[] | range(.data_begin; .data_begin + .length)] | unique | length')
[ $((free + mapped)) = 8192 ] || fail "$free blocks are holes, $mapped are mapped"
truncate -s 100M data.img
fails 5 'too few for' tvtrim --metadata-dev md.img --data-dev data.img
