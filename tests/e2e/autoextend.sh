#!/usr/bin/env bash
# Goal: a pool grows by itself when a threshold is reached, up to its maximum or the group's end,
# which is said once; writers of a full pool go on; and the server may be killed at any moment.
. "$(dirname "$0")/lib.sh"
rounds=${THINVOL_KILLS:-10}

truncate -s 1G pv.img more.img
tvgcreate -s 1m vg0 pv.img >/dev/null
data() { tvs --noheadings --units m -o lv_size vg0/pool0 | tr -dc '0-9.'; }
# fill FROM TO: writes that part of the volume, in MiB.
fill() { /usr/bin/python3 -c '
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
for at in range(int(sys.argv[2]) << 20, int(sys.argv[3]) << 20, 1 << 20):
    h.pwrite(b"\7" * (1 << 20), at)
h.flush()' "$(uri vg0/v)" "$1" "$2"; }
# await COMMAND...: it succeeds before long.
await() {
  for _ in $(seq 200); do "$@" 2>/dev/null && return 0; sleep 0.05; done
  fail "never: $*"
}
events() { thinvol events --json vg0/pool0 | jq -r '.kind + " " + .text'; }
is() { [ "$(eval "$1")" = "$2" ]; }

# By hand, and why not.
tvcreate -L 64m -V 2g -T vg0/pool0 -n v >/dev/null 2>&1
tvchange -ay vg0/v
fill 0 52
fails 5 'set autoextend.data_threshold' tvextend --use-policies vg0/pool0
by_hand=(--config autoextend.data_threshold=70 --config autoextend.data_percent=50)
says 'successfully resized' tvextend --use-policies vg0/pool0 "${by_hand[@]}"
is data 96.00
says 'nothing to do' tvextend --use-policies vg0/pool0 "${by_hand[@]}"
fails 5 'autoextend.data_maximum is 96.00 MiB' tvextend --use-policies vg0/pool0 \
  --config autoextend.data_threshold=50 --config autoextend.data_maximum=96m
fails 3 'exclude each other' tvextend --use-policies -L +4m vg0/pool0

# By the server, at once when the setting comes and at each threshold after.
says changed tvchange --setting autoextend.data_threshold=50 --setting autoextend.data_percent=25 \
  --setting autoextend.data_maximum=192m vg0/pool0
await is data 120.00
fill 52 100
await is data 192.00
events | grep -q 'autoextend data grew by'
# The maximum holds, and is said once; by hand there is more.
fill 100 180
await eval 'events | grep -q "autoextend_limit data cannot grow: autoextend.data_maximum is 192"'
sleep 2.5
is 'events | grep -c autoextend_limit' 1
is data 192.00

# A full pool with a writer that waits: the maximum goes, and with it the wait.
fill 180 300 & writer=$!
await eval '[ "$(field lv_attr vg0/pool0 | cut -c9)" = D ]'
says changed tvchange --unset autoextend.data_maximum vg0/pool0
wait $writer
judge vg0/pool0

# A full group, said once; a writer waits until it has room again.
tvcreate -l 100%FREE --poolmetadatasize 2m -T vg0/greedy >/dev/null 2>&1
size=$(data)
fill 300 $((${size%.*} + 20)) & writer=$!
await eval 'events | grep -q "autoextend_limit data cannot grow: volume group vg0 has 0"'
await eval '[ "$(field lv_attr vg0/pool0 | cut -c9)" = D ]'
sleep 2.5
is 'events | grep -c "autoextend_limit.*vg0 has"' 1
kill -0 $writer || fail "the writer did not wait"
tvgextend vg0 more.img >/dev/null
wait $writer
tvchange -an vg0
tvremove -y vg0/pool0 vg0/greedy >/dev/null

# Metadata apart from data.
tvcreate -L 1200m --poolmetadatasize 2m --zero n -V 1g -T vg0/pool0 -n v >/dev/null 2>&1
says changed tvchange --setting autoextend.metadata_threshold=50 vg0
tvchange -ay vg0/v
# scatter STRIDE: a write of 4 KiB at each multiple of it.
scatter() { /usr/bin/python3 -c '
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
for at in range(0, 1 << 30, int(sys.argv[2])):
    h.pwrite(b"\7" * 4096, at)
h.flush()' "$(uri vg0/v)" "$1"; }
scatter 65536
for i in 1 2 3 4 5; do
  tvsnapshot -n "s$i" vg0/v >/dev/null 2>&1
  scatter 16777216
done
await eval 'events | grep -q "autoextend metadata grew by"'
is data 1200.00
tvchange -an vg0
judge vg0/pool0
tvgremove -y vg0 >/dev/null

# Killed while it grows: the next owner ends what was begun, whichever it was.
truncate -s 4G pv.img
tvgcreate -s 1m vg0 pv.img >/dev/null
tvcreate -L 16m -V 3g -T vg0/pool0 -n v >/dev/null 2>&1
tvchange --setting autoextend.data_threshold=50 --setting autoextend.data_percent=10 vg0 >/dev/null
for round in $(seq "$rounds"); do
  tvchange -ay vg0/v
  server=$(field server_pid vg0/v)
  before=$(data)
  fill $((round * 40)) $((round * 40 + 40)) 2>/dev/null & writer=$!
  until [ "$(data)" != "$before" ]; do sleep 0.005; done
  sleep "0.0$((RANDOM % 10))"
  kill -9 "$server"
  wait $writer 2>/dev/null || true
  tvcreate -V 4m -T vg0/pool0 -n next >/dev/null 2>&1
  tvremove -y vg0/next >/dev/null
  judge vg0/pool0
done
tvgremove -y vg0 >/dev/null
