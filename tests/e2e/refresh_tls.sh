#!/usr/bin/env bash
# Goal: a server is replaced under load while it has TLS clients: they are told that it ends, come
#       again, and lose nothing that was flushed; clients without TLS beside them notice nothing.
. "$(dirname "$0")/lib.sh"
rounds=${THINVOL_REFRESH_ROUNDS:-10}

truncate -s 1G pv.img
tvgcreate vg0 pv.img >/dev/null
mkdir -m 0700 papers
psktool -u bob -p papers/keys.psk >/dev/null 2>&1
tvcreate -L 600m -T vg0/pool0 >/dev/null 2>&1
tvchange --setting nbd.tls=allow --setting "nbd.tls_keys=$work/papers/keys.psk" \
  --setting nbd.threads=3 vg0/pool0 >/dev/null
for v in clear libnbd qemu idle; do tvcreate -V 64m -T vg0/pool0 -n $v >/dev/null 2>&1; done
tvchange -ay vg0/clear vg0/libnbd vg0/qemu vg0/idle
socket=$(uri vg0/clear); socket=${socket#*socket=}
clients() { field clients "vg0/$1"; }

# --- without TLS
fio --output=fio.log --eta=never --name=clear --ioengine=nbd --uri="$(uri vg0/clear)" \
  --rw=randrw --bsrange=512-256k --iodepth=16 --size=60m --verify=crc32c --verify_backlog=64 \
  --serialize_overlap=1 --fsync=100 --time_based=1 --runtime=600 & load=$!

# --- libnbd, which connects anew when an error says that it must: what was flushed it compares
#     each time.
cat > libnbd.py <<'PY'
import nbd, os, sys, time
path, keys, ended = sys.argv[1:]
BLOCK, BLOCKS = 65536, 512
allowed, answered = {}, {}  # by block: numbers that it may hold; the last that was answered
connections = 0
def connect():
    global connections
    end = time.monotonic() + 20
    while True:
        h = nbd.NBD()
        h.set_tls(nbd.TLS_REQUIRE)
        h.set_tls_username("bob")
        h.set_tls_psk_file(keys)
        h.set_export_name("libnbd")
        try:
            h.connect_unix(path)
            break
        except nbd.Error:
            assert time.monotonic() < end, "no new connection"
    assert h.get_tls_negotiated()
    connections += 1
    return h
def compare(h):
    for at, numbers in allowed.items():
        got = h.pread(BLOCK, at * BLOCK)
        assert got in [bytes([n % 251]) * BLOCK for n in numbers], f"block {at} is lost"
h, number, new = connect(), 0, False
while not os.path.exists(ended):
    try:
        if new:
            compare(h)
        new = False
        for _ in range(20):
            number += 1
            at = number * 7 % BLOCKS
            allowed.setdefault(at, {0}).add(number)
            h.pwrite(bytes([number % 251]) * BLOCK, at * BLOCK)
            answered[at] = number
        h.flush()
        for at, last in answered.items():
            allowed[at] = {last}
        answered.clear()
    except nbd.Error:
        h, new = connect(), True
h = connect()
compare(h)
print(connections, number)
PY
/usr/bin/python3 libnbd.py "$socket" papers/keys.psk ended > libnbd.log 2>&1 & libnbd=$!

# --- qemu, which holds requests back while it connects anew
{
  i=0
  while [ ! -e ended ]; do
    i=$((i + 1))
    printf 'write -P %d %dk 64k\nflush\nread -P %d %dk 64k\n' $((i % 251)) $((i % 900 * 64)) \
      $((i % 251)) $((i % 900 * 64))
    sleep 0.01
  done
  echo quit
} | qemu-io --object "tls-creds-psk,id=t,dir=$work/papers,username=bob,endpoint=client" \
  --image-opts "driver=raw,file.driver=nbd,file.server.type=unix,file.server.path=$socket,\
file.export=qemu,file.tls-creds=t,file.reconnect-delay=20" >qemu.log 2>&1 & qemu=$!

# --- one that does nothing meanwhile: the session's end is said, not only the connection's
# gnutls-cli knows no NBD: openssl speaks behind a relay that asked for TLS.
cat > idle.py <<'PY'
import socket, struct, subprocess, sys, threading
path, keys, relay = sys.argv[1:]
key = open(keys).read().strip().split(":")[1]
server = socket.socket(socket.AF_UNIX)
server.connect(path)
server.recv(18, socket.MSG_WAITALL)
server.sendall(struct.pack(">IQII", 3, 0x49484156454F5054, 5, 0))
assert server.recv(20, socket.MSG_WAITALL)[12:16] == struct.pack(">I", 1)
listener = socket.socket(socket.AF_UNIX)
listener.bind(relay)
listener.listen(1)
openssl = subprocess.Popen(
    ["openssl", "s_client", "-unix", relay, "-psk", key, "-psk_identity", "bob", "-tls1_2",
     "-cipher", "PSK", "-quiet"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL)
client = listener.accept()[0]
wire = bytearray()
def pass_on():
    while data := client.recv(65536):
        server.sendall(data)
threading.Thread(target=pass_on, daemon=True).start()
openssl.stdin.write(struct.pack(">QIII4sH", 0x49484156454F5054, 7, 10, 4, b"idle", 0))
openssl.stdin.flush()
print("here", flush=True)
try:
    while data := server.recv(65536):
        wire += data
        client.sendall(data)
except ConnectionResetError:
    pass  # openssl's own goodbye may come when nobody reads it any more
openssl.kill()
at, types = 0, []
while at < len(wire):
    types.append(wire[at])
    at += 5 + struct.unpack(">H", wire[at + 3:at + 5])[0]
assert at == len(wire) and types[-1] == 21 and 23 in types, f"records {types}"
PY

for v in clear libnbd qemu; do
  for ((n = 0; n < 100; ++n)); do [ "$(clients $v)" = 1 ] && break; sleep 0.1; done
  [ "$(clients $v)" = 1 ] || fail "$v is no client: $(cat $v.log fio.log)"
done
pid=$(field server_pid vg0/pool0)
for ((round = 1; round <= rounds; ++round)); do
  /usr/bin/python3 idle.py "$socket" papers/keys.psk relay > idle.log 2>&1 & idle=$!
  for ((n = 0; n < 100; ++n)); do [ "$(clients idle)" = 1 ] && break; sleep 0.05; done
  [ "$(clients idle)" = 1 ] || fail "round $round: $(cat idle.log)"
  tvchange --refresh vg0/pool0 >out 2>err || fail "round $round: $(cat err)"
  wait $idle || fail "round $round: not told that the server ends: $(cat idle.log)"
  rm relay
  [ "$(field server_pid vg0/pool0)" = "$pid" ]
  [ "$(clients clear)" = 1 ] || fail "round $round: a client without TLS was disconnected"
  for v in libnbd qemu; do
    for ((n = 0; n < 100; ++n)); do [ "$(clients $v)" = 1 ] && break; sleep 0.1; done
    [ "$(clients $v)" = 1 ] || fail "round $round: $v did not come again: $(cat $v.log)"
  done
  kill -0 $load $libnbd $qemu || fail "round $round: $(cat fio.log libnbd.log qemu.log)"
done
touch ended
wait $libnbd || fail "libnbd: $(cat libnbd.log)"
wait $qemu || fail "qemu: $(tail -5 qemu.log)"
kill -INT $load; wait $load || true  # fio's status says that it was interrupted
grep -q 'err= 0' fio.log || fail "fio found errors: $(cat fio.log)"
read -r connections writes < libnbd.log
# The first, the last, and one after each round.
[ "$connections" = $((rounds + 2)) ] || fail "$connections connections in $rounds rounds"
! grep -iE 'fail|error' qemu.log || fail "qemu saw errors"
wrote=$(grep -c "wrote 65536/65536" qemu.log)
[ "$wrote" -gt "$rounds" ] || fail "qemu wrote $wrote times"
echo "$rounds rounds, $writes writes of libnbd's, $wrote of qemu's"
tvchange -an vg0
