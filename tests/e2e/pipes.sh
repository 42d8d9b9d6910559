#!/usr/bin/env bash
# Goal: a reader that goes away (head, a closed pipe) ends a report quietly, and a change is done
#       all the same; output that cannot be written is an error; a server outlives clients that
#       vanish.
. "$(dirname "$0")/lib.sh"

truncate -s 512M pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 256m -T vg0/pool0 >/dev/null
tvcreate -V 8m -T vg0/pool0 -n v >/dev/null
for i in $(seq 40); do tvsnapshot -n "s$i" vg0/v >/dev/null; done

# closed COMMAND...: with nobody to read; quiet, and no signal's status.
closed() {
  local status
  { status=0; "$@" 2>err || status=$?; echo $status >status; } | true
  until [ -s status ]; do sleep 0.01; done
  status=$(cat status); rm status
  [ "$status" = 0 ] || fail "'$*' into a closed pipe: $status $(cat err)"
  [ ! -s err ] || fail "'$*' into a closed pipe said: $(cat err)"
}
tvs | head -1 | grep -q LV
for c in "tvs" "tvgs" "tvpvs" "tvs --reportformat json" "tvs --reportformat json_std" "tvs --tree" \
  "tvls vg0/pool0" "thinvol help" "tvs --help" "tvgdisplay" "tvdisplay" \
  "tvcheck vg0/pool0" "thinvol config"; do
  # shellcheck disable=SC2086
  closed $c
done
# Half a dump is worth nothing: who made it is told.
status=0
{ tvdump vg0/pool0 2>err || echo $? >status; } | true
until [ -s status ]; do sleep 0.01; done
[ "$(cat status)" = 5 ] || fail "tvdump into a closed pipe ended with $(cat status)"
grep -q 'Broken pipe' err || fail "tvdump into a closed pipe said: $(cat err)"
closed tvsnapshot -n made vg0/v
says ' made ' tvs
closed tvremove -y vg0/made
[ -z "$(tvs --noheadings -o lv_name vg0 | grep -w made || true)" ]

# A full disk behind the output.
for c in "tvs" "tvs --reportformat json" "tvgs" "tvdump vg0/pool0"; do
  status=0
  $c >/dev/full 2>err || status=$?
  [ $status = 5 ] || fail "'$c' to a full disk: $status"
  grep -qE 'No space left|cannot be written' err || fail "'$c' to a full disk said: $(cat err)"
done

# Clients that vanish: of the volumes, and of the control socket, in the middle of a request.
tvchange -ay vg0/v
server=$(field server_pid vg0/v)
/usr/bin/python3 - "$(uri vg0/v)" "$THINVOL_RUN_DIR" <<'PY'
import glob, os, signal, socket, struct, sys, nbd
for _ in range(20):
    pid = os.fork()
    if pid == 0:
        h = nbd.NBD()
        h.connect_uri(sys.argv[1])
        buffers = [nbd.Buffer(1 << 20) for _ in range(8)]
        for b in buffers:
            h.aio_pread(b, 0)
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(pid, 0)
control = glob.glob(sys.argv[2] + "/*.ctl")[0]
for sent in (b"", b"\x10", struct.pack("<I", 100) + b"{", struct.pack("<I", 2) + b"{}",
             struct.pack("<I", 0xffffffff)):
    for _ in range(5):
        s = socket.socket(socket.AF_UNIX)
        s.connect(control)
        s.sendall(sent)
        s.close()
PY
[ "$(field server_pid vg0/v)" = "$server" ] || fail "the server did not outlive its clients"
tvsnapshot -n after vg0/v >/dev/null
head_of "$(uri vg0/v)" 4096 >/dev/null
tvchange -an vg0
! kill -0 "$server" 2>/dev/null || [ "$(awk '{print $3}' "/proc/$server/stat")" = Z ] ||
  fail "the server is still there"
