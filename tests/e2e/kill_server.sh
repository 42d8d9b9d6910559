#!/usr/bin/env bash
# Goal: whatever the server is doing when it is killed, all that was flushed is there again, and the
# next command recovers by itself. With snapshots under way, and fio's verify on the server that
# comes after.
. "$(dirname "$0")/lib.sh"
rounds=${THINVOL_KILLS:-12}

truncate -s 2G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 1500m -T vg0/pool0 >/dev/null
tvcreate -V 256m -T vg0/pool0 -n v >/dev/null
tvcreate -V 64m -T vg0/pool0 -n f >/dev/null
for round in $(seq "$rounds"); do
  tvchange -ay vg0/v vg0/f
  server=$(field server_pid vg0/v)
  fio --name=f --ioengine=nbd --uri="$(uri vg0/f)" --size=16m --rw=randwrite --bs=4k --iodepth=16 \
    --verify=crc32c --verify_fatal=1 --randseed="$round" --output=fio.log ||
    fail "fio: $(cat fio.log)"
  before=$(stat -c %s journal 2>/dev/null || echo 0)
  "$here/flush_journal.py" write "$(uri vg0/v)" journal "$round" &
  writer=$!
  until [ "$(stat -c %s journal 2>/dev/null || echo 0)" -gt "$before" ]; do sleep 0.01; done
  sleep "0.$((RANDOM % 6 + 2))"
  # A command commits for all: in the round after a snapshot, which copies most, there is none.
  case $((round % 4)) in
    0) tvsnapshot -n "s$round" vg0/v >/dev/null & ;;
    1) : & ;;
    2) tvextend -L +4m vg0/pool0 >/dev/null & ;;
    *) tvcreate -V 16m -T vg0/pool0 -n "n$round" >/dev/null & ;;
  esac
  command=$!
  sleep "0.00$((RANDOM % 10))"
  kill -9 "$server"
  wait $writer
  # A command whose server dies under it is carried out all the same, by itself.
  wait $command || fail "the command did not survive the server"
  [ -z "$(field lv_active vg0/v)" ]
  judge vg0/pool0
  tvchange -ay vg0/v
  "$here/flush_journal.py" check "$(uri vg0/v)" journal ||
    fail "round $round: something flushed is lost"
  old=$(tvs --noheadings -o lv_name vg0 | xargs -n 1 | grep -E "^[sn]$((round - 4))\$" || true)
  [ -z "$old" ] || tvremove -y "vg0/$old" >/dev/null
done
judge vg0/pool0
