#!/usr/bin/env bash
# Goal: a full group, a full pool and a full file system are errors that name what is full, and end
# when there is room.
. "$(dirname "$0")/lib.sh"

truncate -s 256M pv.img more.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -l 100%FREE --errorwhenfull y -T vg0/pool0 >/dev/null
[ "$(field lv_when_full vg0/pool0)" = error ]
[ "$(tvgs --noheadings -o vg_free_count vg0 | xargs)" = 0 ]
fails 5 'insufficient free space' tvcreate -L 4m -T vg0/pool1
fails 5 'insufficient free space' tvextend -L +4m vg0/pool0
tvcreate -V 1g -T vg0/pool0 -n v >/dev/null 2>&1
tvchange -ay vg0/v

fill() { /usr/bin/python3 -c '
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
n = 0
try:
    for at in range(0, 1 << 30, 1 << 20):
        h.pwrite(bytes([7]) * (1 << 20), at)
        n += 1
except nbd.Error as e:
    print(n, e.errno)
    sys.exit(0)
print(n, "none")' "$1"; }
said=$(fill "$(uri vg0/v)")
[[ $said == *ENOSPC* ]] || fail "a full pool said: $said"
written=${said%% *}
[ "$(field data_percent vg0/pool0)" = 100.00 ]
[ "$(field lv_attr vg0/pool0 | cut -c9)" = D ]
head_of "$(uri vg0/v)" $((written << 20)) | tr -d '\007' | wc -c | grep -qx 0 ||
  fail "what was written before is not all there"
# Room comes with another physical volume, in use.
tvgextend vg0 more.img >/dev/null
tvextend -L +64m vg0/pool0 >/dev/null
said=$(fill "$(uri vg0/v)")
[ "${said%% *}" -gt "$written" ] || fail "the pool did not take more after it grew: $said"
judge vg0/pool0

# With the default, writes wait for room instead; it comes, and they end well within a second.
says changed tvchange --errorwhenfull n vg0/pool0
[ "$(field lv_when_full vg0/pool0)" = queue ]
fill "$(uri vg0/v)" > waiting.txt &
writer=$!
for _ in $(seq 100); do
  [ "$(field lv_attr vg0/pool0 | cut -c9)" != D ] || break
  sleep 0.1
done
kill -0 $writer || fail "the writer did not wait: $(cat waiting.txt)"
tvcreate -V 64m -T vg0/pool0 -n extra >/dev/null 2>&1
says 'mode out_of_data_space' thinvol events vg0/pool0
[ "$(thinvol events --json vg0/pool0 | jq -r 'select(.kind == "mode").mode' | tail -1)" = \
  out_of_data_space ]
tvextend -L +32m vg0/pool0 >/dev/null
says 'mode rw' thinvol events vg0/pool0
kill -0 $writer || fail "the writer ended early: $(cat waiting.txt)"
# Its patience is the pool's.
tvchange --nospacetimeout 1 vg0/pool0 >/dev/null
wait $writer
[[ $(cat waiting.txt) == *ENOSPC* ]] || fail "a writer that gave up said: $(cat waiting.txt)"
says no_space_timeout thinvol events vg0/pool0
judge vg0/pool0
fails 5 'is in use' tvchange --discards ignore vg0/pool0
tvchange -an vg0
says changed tvchange --discards ignore --zero n vg0/pool0
[ "$(field discards vg0/pool0)" = ignore ]
fails 5 'nothing happens' thinvol events vg0/pool0
fails 3 'a number of seconds' tvchange --nospacetimeout x vg0/pool0
fails 3 'by themselves' tvchange --zero y -an vg0/pool0
tvgremove -y vg0 >/dev/null

# The file system under a sparse physical volume is full (in a mount namespace of our own).
cat > inside.sh <<'INNER'
set -euo pipefail
mkdir small
mount -t tmpfs -o size=24m tmpfs small
truncate -s 256M small/pv.img
tvgcreate vg1 small/pv.img >/dev/null
tvcreate -L 128m --errorwhenfull y -T vg1/pool0 >/dev/null
tvcreate -V 128m -T vg1/pool0 -n v >/dev/null
tvchange -ay vg1/v
uri=$(tvs --noheadings -o uri vg1/v | xargs)
said=$(/usr/bin/python3 fill.py "$uri")
[[ $said == *ENOSPC* ]] || { echo "a full file system said: $said" >&2; exit 1; }
# Waiting instead, until the file system has room again.
tvchange --errorwhenfull n vg1/pool0 >/dev/null
/usr/bin/python3 fill.py "$uri" > waiting.txt &
sleep 3
kill -0 $! || { echo "the writer did not wait: $(cat waiting.txt)" >&2; exit 1; }
mount -o remount,size=200m small
wait $!
[[ $(cat waiting.txt) == *none* ]] || { echo "with room it said: $(cat waiting.txt)" >&2; exit 1; }
tvchange -an vg1
tvcheck vg1/pool0 >/dev/null
status=0
used=$(df --output=used -k small | tail -1)
mount -o remount,size=$((used + 4096))k small
tvcreate -L 64m --poolmetadatasize 32m -T vg1/pool1 >out 2>err || status=$?
[ $status = 5 ] && grep -q 'No space left on device' err ||
  { echo "tvcreate on a full file system: $status $(cat err)" >&2; exit 1; }
[ "$(tvs --noheadings -o lv_name vg1 | xargs)" = "pool0 v" ] ||
  { echo "left over: $(tvs)" >&2; exit 1; }
tvgremove -y vg1 >/dev/null
INNER
cat > fill.py <<'PY'
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
n = 0
try:
    for at in range(0, 128 << 20, 1 << 20):
        h.pwrite(bytes([7]) * (1 << 20), at)
        n += 1
    print(n, "none")
except nbd.Error as e:
    print(n, e.errno)
PY
own_mounts=(unshare -m)
[ "$(id -u)" = 0 ] || own_mounts=(unshare -rm)
if "${own_mounts[@]}" true 2>err; then
  "${own_mounts[@]}" bash inside.sh
else
  # Its twin, without leave to mount: tests/engine/file_queue_test.cc.
  echo "full.sh: NOT TRIED: a full file system, for no mount namespace is allowed: $(cat err)"
fi
