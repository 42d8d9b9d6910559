#!/usr/bin/env bash
# Goal: what tvrestore writes, the distribution's tools read, and the other way round; and it never
#       overwrites anything unasked.
. "$(dirname "$0")/lib.sh"

truncate -s 2G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 1g -T vg0/pool0 >/dev/null
for v in a b; do tvcreate -V 256m -T vg0/pool0 -n $v >/dev/null; done
for round in 1 2 3; do
  tvchange -ay vg0/a vg0/b
  for v in a b; do
    fio --name=$v --ioengine=nbd --uri="$(uri vg0/$v)" --size=200m --io_size=6m --rw=randwrite \
      --bs=4k --iodepth=8 --randseed=$RANDOM --output=fio.log
    tvsnapshot -n "$v$round" "vg0/$v" >/dev/null
  done
  tvchange -an vg0
done
tvdump -o flat.xml vg0/pool0
tvdump --format xml-shared -o shared.xml vg0/pool0
grep -q '<ref name=' shared.xml
[ "$(stat -c %s shared.xml)" -lt "$(stat -c %s flat.xml)" ]

for form in flat shared; do
  truncate -s 8M $form.img
  says '8 volumes with [0-9]+ mappings' tvrestore -i $form.xml -o $form.img
  thin_check -q $form.img
  says 'no damage found' tvcheck --device $form.img
  flat_dump $form.img | same - flat.xml
  tvdump --device $form.img | same - flat.xml
done
# Theirs of ours, ours of theirs.
truncate -s 8M theirs.img
thin_restore -q -i flat.xml -o theirs.img
tvdump --device theirs.img | same - flat.xml
thin_dump flat.img > theirs.xml
tvrestore -y -q -i theirs.xml -o flat.img
tvdump --device flat.img | same - flat.xml
tvrestore -y -q -i - -o flat.img < shared.xml
tvdump --device flat.img | same - flat.xml

# Overrides.
tvrestore -y -q -i flat.xml -o flat.img --transaction-id 99 --nr-data-blocks 50000
says 'transaction="99".* nr_data_blocks="50000"' tvdump --device flat.img

cp flat.img before.img
fails 5 'flat.img holds the metadata of a thin pool, transaction id 99' \
  tvrestore -i flat.xml -o flat.img
same flat.img before.img
mke2fs -q -F fs.img 4M
cp fs.img fs.before
fails 5 'fs.img holds' tvrestore -i flat.xml -o fs.img
same fs.img fs.before
fails 5 'pv.img is a .*name another device' tvrestore -y -i flat.xml -o pv.img
truncate -s 64K small.img
fails 5 'at least [0-9]+ metadata blocks, [0-9]+ KiB, are needed, and 16 are there' \
  tvrestore -i flat.xml -o small.img
fails 5 'No such file' tvrestore -i nothing.xml -o flat.img
fails 5 'No such file' tvrestore -y -i flat.xml -o nothing.img
fails 3 'Please give the XML' tvrestore -o flat.img
fails 3 'Please give the device' tvrestore -i flat.xml
fails 3 'is no number' tvrestore -i flat.xml -o flat.img --transaction-id x
head -c 5000 flat.xml > cut.xml
fails 5 'cut.xml to flat.img: line [0-9]+: the file ends' tvrestore -y -i cut.xml -o flat.img
