#!/usr/bin/env bash
# Goal: dumps are those of the distribution's tools, while the pool is in use too.
. "$(dirname "$0")/lib.sh"

truncate -s 2G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 1g -T vg0/pool0 >/dev/null
for v in a b c; do tvcreate -V 256m -T vg0/pool0 -n $v >/dev/null; done
tvchange -ay vg0/a vg0/b vg0/c
for v in a b c; do
  fio --name=$v --ioengine=nbd --uri="$(uri vg0/$v)" --size=200m --io_size=8m --rw=randwrite \
    --bs=4k --iodepth=8 --randseed=$RANDOM --output=fio.log
  tvsnapshot -n "$v$v" "vg0/$v" >/dev/null
done
fio --name=load --ioengine=nbd --uri="$(uri vg0/a)" --size=200m --rw=randwrite --bs=4k \
  --iodepth=8 --time_based --runtime=600 --output=fio.log &
load=$!
for _ in $(seq 6); do
  tvdump --format raw -o md.img vg0/pool0
  thin_check -q md.img
  tvdump vg0/pool0 > some.xml
  tvcheck vg0/pool0 >/dev/null
  truncate -s 4M restored.img
  thin_restore -q -i some.xml -o restored.img
  flat_dump restored.img | same - some.xml
done
kill -0 $load || fail "the load ended early: $(cat fio.log)"
kill -INT $load  # fio ends what is in flight, and then itself
wait $load || true
tvchange -an vg0
tvdump --format raw -o md.img vg0/pool0
flat_dump md.img > theirs.xml
tvdump vg0/pool0 | same - theirs.xml
tvdump -o ours.xml vg0/pool0
same ours.xml theirs.xml
tvdump --dev-id 2 vg0/pool0 | grep mapping | same - <(thin_dump --dev-id 2 md.img | grep mapping)
tvdump --skip-mappings vg0/pool0 | grep '<device' |
  same - <(thin_dump --skip-mappings md.img | grep '<device')
fails 3 '--dev-id is for XML' tvdump --dev-id 2 --format raw -o md.img vg0/pool0
fails 3 'raw needs a file' tvdump --format raw vg0/pool0
fails 5 'No such file or directory' tvdump -o nowhere/x vg0/pool0
