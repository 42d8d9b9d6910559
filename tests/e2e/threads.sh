#!/usr/bin/env bash
# Goal: clients on several threads of one server read what they wrote, while volumes are
#       snapshotted, grown, reduced and moved under them; the server has the threads it may have;
#       kill -9 loses nothing that was flushed.
. "$(dirname "$0")/lib.sh"

truncate -s 2G pv0.img pv1.img
tvgcreate vg0 pv0.img >/dev/null
tvchange --setting nbd.threads=4 vg0 >/dev/null
tvcreate -L 300m -T vg0/pool0 >/dev/null
for v in a b c d; do
  tvcreate -V 64m -T vg0/pool0 -n $v >/dev/null
  tvchange -ay vg0/$v
done
server() { field server_pid vg0/pool0; }
threads() { cat "/proc/$(server)"/task/*/comm | grep -c clients || true; }

# --- a thread for each client more, up to the limit
fio --name=alone --ioengine=nbd --uri="$(uri vg0/a)" --rw=randwrite --bs=4k --size=16m \
  --output=fio.log
[ "$(threads)" = 0 ] || fail "one client alone has $(threads) threads besides the pool's"
job() { # VOLUME NAME OFFSET SECONDS
  echo "[$2]
uri=$(uri vg0/"$1")
offset=$3
size=15m
time_based=1
runtime=$4"
}
{
  printf '[global]\nioengine=nbd\nrw=randrw\nbsrange=512-64k\niodepth=16\nthread=1\n'
  printf 'verify=crc32c\nverify_backlog=64\nserialize_overlap=1\nfsync=200\n'
  for i in 0 1 2 3; do job a a$i $((i * 16))m 14; done  # several clients of one volume
  for v in b c d; do job $v $v 0 14; done
} > jobs.fio
fio --output=fio.log jobs.fio & load=$!
sleep 1
[ "$(threads)" = 3 ] || fail "seven clients have $(threads) threads besides the pool's, not 3"

# --- what lanes stand on changes under them
tvgextend vg0 pv1.img >/dev/null
for round in 1 2 3; do
  tvsnapshot -kn -n s$round vg0/a >/dev/null
  tvextend -L +40m vg0/pool0 >/dev/null
  tvextend -L +8m vg0/b >/dev/null
  tvs -o +read_ios,write_ios --reportformat json vg0 >counters.json
  tvpvmove pv$(((round + 1) % 2)).img pv$((round % 2)).img >/dev/null
done
tvchange --setting nbd.iops_maximum=2000 vg0/c >/dev/null
sleep 1
tvchange --setting nbd.iops_maximum=0 vg0/c >/dev/null
wait $load || { tail -n 20 fio.log >&2; fail "fio verify"; }
jq -e '[.report[].lv[] | select(.lv_name == "d") | .write_ios | tonumber] == [] or
  ([.report[].lv[] | select(.lv_name == "d") | .write_ios | tonumber] | .[0] > 0)' counters.json \
  >/dev/null

# --- what was flushed by clients on all threads is there after kill -9
/usr/bin/python3 - "$(uri vg0/a)" "$(uri vg0/b)" "$(uri vg0/c)" "$(uri vg0/d)" <<'PY'
import nbd, sys
clients = []
for i in range(8):
    h = nbd.NBD()
    h.connect_uri(sys.argv[1 + i % 4])
    clients.append(h)
for turn in range(200):
    for i, h in enumerate(clients):
        h.pwrite(bytes([1 + i]) * 4096, (turn * 8 + i) * 4096)
clients[0].flush(); clients[1].flush(); clients[2].flush(); clients[3].flush()
PY
kill -9 "$(server)"
tvchange -ay vg0/a vg0/b vg0/c vg0/d
/usr/bin/python3 - "$(uri vg0/a)" "$(uri vg0/b)" "$(uri vg0/c)" "$(uri vg0/d)" <<'PY'
import nbd, sys
for i in range(8):
    h = nbd.NBD()
    h.connect_uri(sys.argv[1 + i % 4])
    for turn in range(200):
        assert h.pread(4096, (turn * 8 + i) * 4096) == bytes([1 + i]) * 4096, (i, turn)
    h.shutdown()
PY
tvchange -an vg0/a vg0/b vg0/c vg0/d
[ -z "$(server)" ] || sleep 1
[ -z "$(server)" ] || fail "the server stayed"
