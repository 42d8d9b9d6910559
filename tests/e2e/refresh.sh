#!/usr/bin/env bash
# Goal: a server is replaced by the program in its file, again and again, under load, and no client
#       sees an error or loses a byte; what cannot be replaced goes on; a program that cannot take
#       over is not given the chance.
. "$(dirname "$0")/lib.sh"
rounds=${THINVOL_REFRESH_ROUNDS:-20}

truncate -s 1G pv.img
tvgcreate vg0 pv.img >/dev/null
tvchange --setting nbd.threads=3 vg0 >/dev/null
tvcreate -L 600m -T vg0/pool0 >/dev/null 2>&1
for v in a b c; do tvcreate -V 128m -T vg0/pool0 -n $v >/dev/null 2>&1; done
says 'no server to replace' tvchange --refresh vg0/pool0
tvchange -ay vg0/a vg0/b vg0/c
server() { field server_pid vg0/pool0; }
pid=$(server)

# --- under load, with snapshots in between
{
  printf '[global]\nioengine=nbd\nrw=randrw\nbsrange=512-256k\niodepth=16\nthread=1\n'
  printf 'verify=crc32c\nverify_backlog=64\nserialize_overlap=1\nfsync=100\n'
  for v in a b c; do
    printf '[%s]\nuri=%s\nsize=100m\ntime_based=1\nruntime=600\n' $v "$(uri vg0/$v)"
  done
} > jobs.fio
fio --output=fio.log --eta=never jobs.fio & load=$!
sleep 1
longest=0
for ((round = 1; round <= rounds; ++round)); do
  tvchange --refresh vg0/pool0 >out 2>err ||
    fail "round $round: $(cat err "$THINVOL_RUN_DIR"/*.log)"
  waited=$(sed -n 's/.*waited \([0-9]*\) ms.*/\1/p' out)
  [ -n "$waited" ] || fail "round $round said: $(cat out)"
  [ "$waited" -le "$longest" ] || longest=$waited
  kill -0 $load || { cat fio.log >&2; fail "the clients ended in round $round"; }
  [ "$(server)" = "$pid" ] || fail "round $round: another process"
  if ((round % 5 == 0)); then
    tvsnapshot -kn -n s$round vg0/a >/dev/null
    [ $round -le 5 ] || tvremove -y vg0/s$((round - 5)) >/dev/null
  fi
  [ "$(tvs --noheadings -o clients vg0/b | xargs)" = 1 ]
done
kill -INT $load; wait $load || true  # fio's status says that it was interrupted
[ "$(grep -c 'err= 0' fio.log)" = 3 ] || { cat fio.log >&2; fail "fio found errors"; }
echo "longest pause: $longest ms"

# --- one request in the middle of its payload, and answers that nobody reads yet
/usr/bin/python3 - "$(uri vg0/a)" "$THINVOL_BIN/tvchange" <<'PY'
import socket, struct, subprocess, sys, urllib.parse
url = urllib.parse.urlparse(sys.argv[1])
path = urllib.parse.parse_qs(url.query)["socket"][0]
s = socket.socket(socket.AF_UNIX)
s.connect(path)
s.settimeout(20)
def get(n):
    data = b""
    while len(data) < n:
        more = s.recv(n - len(data))
        assert more, "the server hung up"
        data += more
    return data
get(18)
s.sendall(struct.pack(">I", 3))
name = url.path.lstrip("/").encode()
s.sendall(struct.pack(">QII", 0x49484156454F5054, 1, len(name)) + name)
get(10)
def head(kind, cookie, at, n):
    return struct.pack(">IHHQQI", 0x25609513, 0, kind, cookie, at, n)
write = head(1, 77, 1 << 20, 300000) + bytes(range(256)) * 1171 + bytes(224)
s.sendall(head(1, 5, 0, 1 << 20) + b"\x42" * (1 << 20))
assert get(16) == struct.pack(">IIQ", 0x67446698, 0, 5)
for cookie in range(16):  # more than the sockets' buffers hold
    s.sendall(head(0, cookie, 0, 1 << 20))
s.sendall(write[:100001])
subprocess.run([sys.argv[2], "--refresh", "vg0/pool0"], check=True, stdout=subprocess.DEVNULL)
s.sendall(write[100001:])
answered = set()
while len(answered) < 17:
    magic, error, cookie = struct.unpack(">IIQ", get(16))
    assert (magic, error) == (0x67446698, 0)
    answered.add(cookie)
    if cookie != 77:
        assert get(1 << 20) == b"\x42" * (1 << 20)
assert answered == {*range(16), 77}
s.sendall(head(0, 78, 1 << 20, 300000))
assert get(16) == struct.pack(">IIQ", 0x67446698, 0, 78)
assert get(300000) == write[28:]
PY

# --- a new program in the file's place, and one that is none
cp -r "$THINVOL_BIN" bin
tvchange -an vg0
bin/tvchange -ay vg0/a
mkdir keep; mv bin/thinvold keep/; cp keep/thinvold bin/thinvold
says 'server replaced' bin/tvchange --refresh vg0
[ "$(readlink "/proc/$(server)/exe")" = "$work/bin/thinvold" ]
printf '#!/bin/sh\nexit 3\n' > bin/other; chmod +x bin/other; mv bin/other bin/thinvold
fails 5 'cannot take this server.s place' bin/tvchange --refresh vg0/pool0
nbdinfo --size "$(uri vg0/a)" >/dev/null
rm bin/thinvold
fails 5 'No such file' bin/tvchange --refresh vg0/pool0
nbdinfo --size "$(uri vg0/a)" >/dev/null

tvchange -an vg0
