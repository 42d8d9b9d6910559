#!/usr/bin/env bash
# Goal: a pool that is lent is left alone, and comes back with what was done to it: each volume that
# is new or gone is decided on. What a kernel would do is done by thin_restore here; tests/vm has a
# real one.
. "$(dirname "$0")/lib.sh"

truncate -s 1G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 256m --poolmetadatasize 4m -T vg0/pool0 >/dev/null
tvcreate -V 64m -T vg0/pool0 -n a >/dev/null
tvcreate -V 64m -T vg0/pool0 -n b >/dev/null
tvchange -ay vg0/a
head -c 9M /dev/urandom > written
nbdcopy written "$(uri vg0/a)"
fails 5 'vg0/pool0 is active: tvchange -an' tvchange --lend kernel vg0/pool0
fails 5 'pool vg0/pool0' tvdmtable --map pv.img=/dev/loop0 vg0/pool0
tvchange -an vg0
tvdump vg0/pool0 > before.xml
fails 5 'vg0/pool0 is not lent' tvchange --return vg0/pool0
fails 3 'goes with --return' tvchange --adopt 1=x vg0/pool0
says 'is lent to the kernel' tvchange --lend kernel vg0/pool0

# Nothing opens or changes it, each with the way back.
lent='pool vg0/pool0 is lent to the kernel: tvchange --return vg0/pool0'
for command in "tvchange -ay vg0/a" "tvchange -pr vg0/a" "tvchange --lend kernel vg0/pool0" \
    "tvcreate -V 1g -T vg0/pool0" "tvsnapshot vg0/a" "tvremove -y vg0/a" "tvremove -y vg0/pool0" \
    "tvextend -L +4m vg0/a" "tvextend -L +4m vg0/pool0" "tvreduce -y -L 4m vg0/a" \
    "tvchange --errorwhenfull y vg0/pool0" "tvrename vg0 a c" "tvgrename vg0 vg1" \
    "tvgremove -y vg0" "tvcheck vg0/pool0" \
    "tvdump vg0/pool0"; do
  # shellcheck disable=SC2086  # words of a command line
  fails 5 "$lent" $command
done
[ "$(field lv_attr vg0/pool0)" = twi-l-tz-- ] || fail "attributes: $(field lv_attr vg0/pool0)"
[ "$(field lv_attr vg0/a)" = Vwi-l-tz-- ] || fail "attributes: $(field lv_attr vg0/a)"
[ "$(field lent_to vg0/pool0)" = kernel ] || fail "lent_to: $(field lent_to vg0/pool0)"
says 'LV Lent to +kernel' tvdisplay vg0/pool0
# In the group's log too.
grep -aq '"lent_to":"kernel"' pv.img || fail "the log on the physical volume does not know"

# As lent, so it comes back.
says 'vg0/pool0 is back' tvchange --return vg0/pool0
tvdump vg0/pool0 | same - before.xml
[ "$(field lent_to vg0/pool0)" = "" ] || fail "still lent"

# What a kernel does meanwhile: metadata go into the pool's place on the physical volume.
put_metadata() {
  local at
  at=$(tvdmtable --map pv.img=/dev/loop0 vg0/pool0 | awk '/_tmeta: /{print $6}')
  truncate -s 0 md.img; truncate -s 4M md.img
  thin_restore -q -i "$1" -o md.img
  dd if=md.img of=pv.img bs=512 seek="$at" conv=notrunc status=none
}
# Volume 1 goes, 5 and 6 are snapshots of 0, 9 is empty, all under another transaction id.
/usr/bin/python3 - <<'PY'
import re
xml = open("before.xml").read()
one = re.search(r'  <device dev_id="0".*?</device>\n', xml, re.S).group(0)
def copy(n): return one.replace('dev_id="0"', f'dev_id="{n}"')
empty = '  <device dev_id="9" mapped_blocks="0" transaction="0" creation_time="0" ' \
        'snap_time="0">\n  </device>\n'
xml = re.sub(r'  <device dev_id="1".*?</device>\n', "", xml, flags=re.S)
xml = re.sub(r' transaction="\d+"', ' transaction="77"', xml, count=1)
open("after.xml", "w").write(xml.replace("</superblock>", copy(5) + copy(6) + empty +
                                         "</superblock>"))
PY
tvchange --lend kernel vg0/pool0 >/dev/null
put_metadata after.xml
decide=()
undecided() { fails 5 "$1" tvchange --return "${decide[@]}" vg0/pool0; }
undecided 'thin id 5 is new: 144 chunks mapped.*--adopt 5=NAME.*--delete-unknown 5'
undecided 'thin id 9 is new: 0 chunks'
undecided 'volume vg0/b .thin id 1. is gone: --forget b'
undecided "transaction id is 77, and was [0-9]+ when.*--accept-transaction-id 77"
fails 5 "$lent" tvcheck vg0/pool0
# shellcheck disable=SC2054,SC2191  # values of options
decide=(--adopt 5=copy,64m --delete-unknown 6 --adopt 9=empty --forget b)
undecided 'transaction id is 77'
decide+=(--accept-transaction-id 77)
fails 5 'no thin id 7 is new' tvchange --return "${decide[@]}" --adopt 7=x vg0/pool0
fails 5 'no thin id 0 is new' tvchange --return "${decide[@]}" --delete-unknown 0 vg0/pool0
fails 5 'no volume of that name is gone' tvchange --return "${decide[@]}" --forget a vg0/pool0
fails 5 'not both' tvchange --return "${decide[@]}" --delete-unknown 5 vg0/pool0
fails 5 'named twice' tvchange --return "${decide[@]}" --adopt 5=other vg0/pool0
fails 5 'already exists' \
  tvchange --return "${decide[@]:0:2}" --adopt 6=a "${decide[@]:4}" vg0/pool0
fails 5 '"x" is no number' tvchange --return "${decide[@]}" --adopt x=y vg0/pool0
fails 5 'smaller than what is mapped' \
  tvchange --return --adopt 5=copy,4m "${decide[@]:2}" vg0/pool0
[ "$(field lent_to vg0/pool0)" = kernel ] || fail "a refused return has happened"
tvchange --return "${decide[@]}" vg0/pool0 >/dev/null
[ "$(tvs --noheadings -o lv_name,thin_id --sort lv_name vg0 | xargs)" = \
  "a 0 copy 5 empty 9 pool0" ] || fail "volumes: $(tvs -o lv_name,thin_id vg0)"
[ "$(field lv_size vg0/copy)" = 64.00m ] || fail "size of the copy: $(field lv_size vg0/copy)"
judge vg0/pool0
if tvdump vg0/pool0 | grep -q 'dev_id="6"'; then fail "thin id 6 is still there"; fi
tvchange -ay vg0/copy
head_of "$(uri vg0/copy)" 9437184 | same - written
tvchange -an vg0
# A thin id is given once.
tvcreate -V 4m -T vg0/pool0 -n next >/dev/null
[ "$(field thin_id vg0/next)" = 10 ] || fail "thin id of the next: $(field thin_id vg0/next)"
