#!/usr/bin/env bash
# Goal: extents move under pools in use: I/O, snapshots and growing go on, readers of the metadata
# too; killed or aborted at any moment, command or server, nothing that was flushed is lost, no
# place stays taken, and the same command goes on.
. "$(dirname "$0")/lib.sh"
rounds=${THINVOL_KILLS:-8}

truncate -s 768M pv0.img pv1.img
truncate -s 256M pv2.img
tvgcreate -s 1m vg0 pv0.img >/dev/null
tvcreate -L 300m --poolmetadatasize 4m -T vg0/pool0 >/dev/null
tvcreate -V 32m -T vg0/pool0 -n v >/dev/null 2>&1
tvcreate -V 64m -T vg0/pool0 -n f >/dev/null 2>&1
tvcreate -V 128m -T vg0/pool0 -n still >/dev/null 2>&1
tvcreate -L 40m --poolmetadatasize 2m -V 32m -T vg0/pool1 -n b >/dev/null
tvchange -ay vg0
head -c 100M /dev/urandom > written
nbdcopy --flush written "$(uri vg0/still)"
head -c 20M /dev/urandom > other
nbdcopy --flush other "$(uri vg0/b)"
tvgextend vg0 pv1.img pv2.img >/dev/null
used() { tvpvs --noheadings --units m --nosuffix -o pv_used "$1" | xargs; }
free() { tvgs --noheadings -o vg_free_count vg0 | xargs; }
before=$(free)

# fio verifies what it wrote, while all of it moves there and back; readers of metadata go on.
fio --name=f --ioengine=nbd --uri="$(uri vg0/f)" --size=64m --io_size=512m --rw=randrw --bs=4k \
  --iodepth=16 --verify=crc32c --verify_fatal=1 --output=fio.log &
fio=$!
says 'Moved: 100.00%' tvpvmove pv0.img pv1.img
[ "$(used pv0.img)" = 0.00 ] || fail "$(used pv0.img) left on pv0"
tvsnapshot -n s1 vg0/v >/dev/null
tvcheck vg0/pool0 >/dev/null & check=$!
tvpvmove -i 0 pv1.img pv0.img &
move=$!
tvextend -L +8m vg0/pool0 >/dev/null
tvremove -y vg0/s1 >/dev/null
wait $move || fail "tvpvmove failed"
wait $check || fail "tvcheck failed while extents moved"
[ "$(tvgck)" = "" ]
wait $fio || fail "fio: $(cat fio.log)"
head_of "$(uri vg0/still)" $((100 << 20)) | same - written
head_of "$(uri vg0/b)" $((20 << 20)) | same - other
judge_all

# The command killed, the server killed, aborted; a writer that knows what was flushed.
from=pv0.img to=pv1.img
for round in $(seq "$rounds"); do
  tvchange -ay vg0
  server=$(field server_pid vg0/v)
  old=$(stat -c %s journal 2>/dev/null || echo 0)
  "$here/flush_journal.py" write "$(uri vg0/v)" journal "$round" &
  writer=$!
  until [ "$(stat -c %s journal 2>/dev/null || echo 0)" -gt "$old" ]; do sleep 0.01; done
  tvpvmove -i 0 $from $to >move.log 2>&1 & move=$!
  sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
  case $((round % 3)) in
    0) kill -9 $move 2>/dev/null || true
       wait $move || true
       tvpvmove -i 0 $from $to >/dev/null || fail "the same command did not go on"
       kill -9 "$server" ;;
    1) kill -9 "$server"  # the command goes on by itself
       wait $move || fail "tvpvmove did not survive the server: $(cat move.log)" ;;
    2) tvpvmove --abort
       wait $move || true
       kill -9 "$server" ;;
  esac
  wait $writer
  judge_all
  tvchange -ay vg0
  "$here/flush_journal.py" check "$(uri vg0/v)" journal ||
    fail "round $round: something flushed is lost"
  tvpvmove $from $to >/dev/null
  [ "$(used $from)" = 0.00 ] || fail "$(used $from) left on $from"
  [ "$(tvgck)" = "" ]
  t=$from from=$to to=$t
done
head_of "$(uri vg0/still)" $((100 << 20)) | same - written
head_of "$(uri vg0/b)" $((20 << 20)) | same - other
[ "$(free)" = "$((before - 8))" ] || fail "$(free) extents are free, $((before - 8)) should be"

# What has no room says so, and what was moved stays; the pool goes on.
fails 5 'insufficient free space|has no other|free' tvpvmove $from pv2.img
tvpvmove --abort
nbdcopy --flush other "$(uri vg0/v)"
head_of "$(uri vg0/v)" $((20 << 20)) | same - other
tvchange -an vg0
[ "$(tvgck)" = "" ]
