#!/usr/bin/env bash
# Goal: each level of use is an event once, again after it was left; events reach syslog and a hook,
# which runs without a shell, with nothing of the server's, and for a bounded time.
. "$(dirname "$0")/lib.sh"

truncate -s 256M pv.img
tvgcreate -s 1m vg0 pv.img >/dev/null
tvcreate -L 100m -V 200m -T vg0/pool0 -n v >/dev/null 2>&1
cat > write.py <<'PY'
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
first, last = int(sys.argv[2]) << 20, int(sys.argv[3]) << 20
for at in range(first, last, 1 << 20):
    if sys.argv[4] == "write":
        h.pwrite(b"\7" * (1 << 20), at)
    else:
        h.trim(1 << 20, at)
h.flush()
PY
use() { /usr/bin/python3 write.py "$(uri vg0/v)" "$@"; }
events() { thinvol events --json vg0/pool0 | jq -r '"\(.kind) \(.percent)"'; }
levels() { events | grep data_level | xargs; }
await() {
  for _ in $(seq 200); do "$@" 2>/dev/null && return 0; sleep 0.05; done
  fail "never: $*"
}

# A hook that tells what it is given.
cat > hook <<'HOOK'
#!/usr/bin/env bash
json=$(cat)
fds=$(ls /proc/$$/fd | xargs)
what="$THINVOL_EVENT $THINVOL_PERCENT $THINVOL_VG/$THINVOL_POOL"
echo "$# $1|$what|$json|$fds" >> "$(dirname "$0")/told"
HOOK
chmod +x hook
tvchange --setting "events.hook=[\"$work/hook\", \"two words; echo\"]" vg0/pool0 >/dev/null
tvchange -ay vg0/v
thinvol events --follow --json vg0/pool0 > followed &
use 0 79 write
[ -z "$(levels)" ]
use 79 81 write
[ "$(levels)" = 'data_level 80' ]
use 0 81 write
use 81 97 write
[ "$(levels)" = 'data_level 80 data_level 85 data_level 90 data_level 95' ]
await grep -q '"percent":95' followed
await grep -q 'data_level 95 vg0/pool0' told
# Left and reached again.
use 70 97 discard
await eval '[ "$(field data_percent vg0/pool0)" = 70.00 ]'
use 70 82 write
[ "$(levels)" = 'data_level 80 data_level 85 data_level 90 data_level 95 data_level 80' ]
await eval '[ "$(grep -c "data_level 80" told)" = 2 ]'
grep -q '^1 two words; echo|data_level 95 vg0/pool0|{.*"percent":95.*}|0 1 2 ' told ||
  fail "the hook was told: $(cat told)"
grep 'data_level 95' told | cut -d'|' -f3 | jq -e '.percent == 95' >/dev/null

# Commands warn of it too, while the pool does not extend itself.
tvcreate -V 1m -T vg0/pool0 -n w 2>err >/dev/null
grep -q 'WARNING: Thin pool vg0/pool0 data is now 82.00% full.' err
grep -q 'WARNING: Sum of all thin volume sizes' err
grep -q 'tvchange --setting autoextend.data_threshold=80 vg0/pool0' err
tvsnapshot -n s vg0/v 2>err >/dev/null
grep -q 'data is now 82.00% full' err
tvremove -y vg0/s >/dev/null
tvcreate -V 1m -T vg0/pool0 -n x --config autoextend.data_threshold=90 \
  --config warnings.overprovisioning=n 2>err >/dev/null
[ ! -s err ] || fail "with autoextend it warned: $(cat err)"

# Hooks that hang are killed with what they started, a few run at once, the pool goes on.
cat > hook <<'HOOK'
#!/usr/bin/env bash
sleep 1000 & echo $! >> "$(dirname "$0")/sleepers"
wait
HOOK
tvchange --setting events.hook_timeout=1 --setting events.hook_maximum=2 \
  --setting 'warnings.levels=[50, 60, 70, 84, 86, 88]' vg0/pool0 >/dev/null
rm -f told
use 82 89 write
await test -s sleepers
[ "$(pgrep -c -g "$(ps -o pgid= -p "$(head -1 sleepers)" | xargs)" sleep)" = 1 ]
use 0 40 write
await eval '[ "$(wc -l < sleepers)" -ge 3 ]'
await eval '! kill -0 $(cat sleepers) 2>/dev/null'
# A hook that is not there, or a file that is wrong, harms nothing.
tvchange --setting 'events.hook=["/nonexistent/hook"]' vg0/pool0 >/dev/null
mkdir -p c
echo 'nonsense' > c/thinvol.toml
await eval 'thinvol events vg0/pool0 | grep -q "settings: .*thinvol.toml:1"'
rm c/thinvol.toml
use 89 92 write
tvchange -an vg0
judge vg0/pool0

# syslog, with a socket of our own in the place of the system's.
cat > inside.sh <<'INNER'
set -euo pipefail
mkdir old
mount --rbind /dev old
mount -t tmpfs none /dev
for d in null zero urandom random full; do touch /dev/$d; mount --bind old/$d /dev/$d; done
ln -s /proc/self/fd /dev/fd
/usr/bin/python3 -u -c '
import socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("/dev/log")
print("ready", flush=True)
while True:
    print(s.recv(4096).decode(), flush=True)' > syslog &
listener=$!
until grep -q ready syslog; do sleep 0.05; done
tvchange -ay vg0/v
/usr/bin/python3 write.py "$(tvs --noheadings -o uri vg0/v | xargs)" 92 95 write
for _ in $(seq 100); do grep -q 'full' syslog && break; sleep 0.05; done
tvchange -an vg0
kill $listener
grep -Eq 'thinvold\[[0-9]+\]: WARNING: Thin pool vg0/pool0: data is now 88% full' syslog ||
  { echo "syslog got: $(cat syslog)" >&2; exit 1; }
INNER
own_mounts=(unshare -m)
[ "$(id -u)" = 0 ] || own_mounts=(unshare -rm)
if "${own_mounts[@]}" true 2>err; then "${own_mounts[@]}" bash inside.sh
else echo "events.sh: NOT TRIED: syslog, for no mount namespace is allowed: $(cat err)"; fi
