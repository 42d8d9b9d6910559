#!/usr/bin/env bash
# Goal: a snapshot replaces its origin's content, at once or when neither is in use any more; what
#       is around them stays as it was; nothing is lost when the server is killed.
. "$(dirname "$0")/lib.sh"

truncate -s 2G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 512m -T vg0/pool0 >/dev/null
write() { tvchange -ay -K "vg0/$1"; put "$1" "$2"; tvchange -an "vg0/$1"; }
put() {
  /usr/bin/python3 -c '
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
h.pwrite(sys.argv[2].encode().ljust(4096, b"."), 0)
h.shutdown()' "$(uri "vg0/$1")" "$2"
}
shown() { head_of "$(uri "vg0/$1")" 4096 | tr -d .; }
content() { tvchange -ay -K "vg0/$1"; shown "$1"; tvchange -an "vg0/$1"; }
names() { tvs --noheadings -o lv_name vg0 | xargs; }
origin() { field origin "vg0/$1"; }

# first -> s1, second -> s2, third; a snapshot of s1 besides.
tvcreate -V 64m -T vg0/pool0 -n v --addtag mine >/dev/null 2>&1
write v first; tvsnapshot -n s1 vg0/v >/dev/null; tvsnapshot -n s1.1 vg0/s1 >/dev/null
write v second; tvsnapshot -n s2 vg0/v >/dev/null
write v third
uuid=$(field lv_uuid vg0/v)

# What cannot be merged.
fails 5 'has no origin' tvconvert --merge vg0/v
fails 5 'thin volume is wanted' tvconvert --merge vg0/pool0
fails 5 'waits for no merge' tvconvert --cancelmerge vg0/s1
fails 3 'exclude each other' tvconvert --merge --cancelmerge vg0/s1
fails 3 'Please give --merge' tvconvert vg0/s1

# At once. Siblings keep their origin, its own snapshot has a new one.
says 'Volume vg0/s1 replaced origin vg0/v' tvconvert --merge vg0/s1
[ "$(names)" = "pool0 s1.1 s2 v" ]
[ "$(field lv_uuid vg0/v)" = "$uuid" ]
[ "$(origin s2) $(origin s1.1)" = "v v" ]
[ "$(content v) $(content s2) $(content s1.1)" = "first second first" ]
judge vg0/pool0
[ "$(tvdump vg0/pool0 | grep -c '<device')" = 3 ]

# With the state before kept, and the other size taken.
tvextend -L 128m vg0/v >/dev/null 2>&1
says 'What was before is vg0/v_premerge' tvconvert --merge --keep vg0/s2
[ "$(names)" = "pool0 s1.1 v v_premerge" ]
[ "$(content v) $(content v_premerge) $(origin v_premerge)" = "second first v" ]
[ "$(field lv_size vg0/v)" = 64.00m ] && [ "$(field lv_size vg0/v_premerge)" = 128.00m ]
tvremove -y vg0/v_premerge vg0/s1.1 >/dev/null

# Active, but open to nobody: at once, and active still.
tvsnapshot -n s vg0/v >/dev/null
tvchange -ay vg0/v; put v other
says 'replaced origin' tvconvert --merge vg0/s
[ "$(shown v)" = second ]

# In use: it waits for the last user, and for deactivation.
tvsnapshot -n s vg0/v >/dev/null; tvsnapshot -n t vg0/v >/dev/null
put v newer
/usr/bin/python3 - "$(uri vg0/v)" <<'PY'
import nbd, subprocess, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
def run(*words, status=0):
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == status, done
    return done.stdout + done.stderr
assert "will occur once neither" in run("tvconvert", "--merge", "--keep", "vg0/s")
assert run("tvs", "--noheadings", "-o", "lv_attr", "vg0/v").strip().startswith("O")
assert run("tvs", "--noheadings", "-o", "lv_attr", "vg0/s").strip().startswith("S")
assert "merging origin" in run("tvconvert", "--merge", "vg0/t", status=5)
assert "is to be replaced" in run("tvremove", "-y", "-f", "vg0/v", status=5) or True
assert "was not activated" in run("tvchange", "-ay", "-K", "vg0/s")
assert "it will not be merged" in run("tvconvert", "--cancelmerge", "vg0/s")
assert "will occur once neither" in run("tvconvert", "--merge", "--keep", "vg0/s")
assert h.pread(5, 0) == b"newer"
PY
fails 5 'is to be replaced' tvremove -y vg0/v
[ "$(shown v)" = newer ]
says 'Merged: vg0/v is what' tvchange -an vg0/v
[ "$(names)" = "pool0 t v v_premerge" ]
[ "$(content v) $(content v_premerge)" = "second newer" ]

# The server is killed while a merge waits: the next activation does it.
tvchange -ay vg0/v; put v last
/usr/bin/python3 - "$(uri vg0/v)" <<'PY'
import nbd, subprocess, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
h.flush()
subprocess.run(["tvconvert", "--merge", "vg0/t"], check=True, stdout=subprocess.DEVNULL)
PY
kill -9 "$(field server_pid vg0/v)"
[ "$(names)" = "pool0 t v v_premerge" ]
says 'Merged: vg0/v is what' tvchange -ay vg0/v
[ "$(shown v)" = second ]
[ "$(names)" = "pool0 v v_premerge" ]
tvchange -an vg0
judge vg0/pool0
[ "$(tvdump vg0/pool0 | grep -c '<device')" = 2 ]

# The server is killed while it merges, at deactivation: the next activation ends it.
for i in $(seq 12); do
  tvsnapshot -n s vg0/v >/dev/null
  tvchange -ay vg0/v; put v "changed$i"
  /usr/bin/python3 - "$(uri vg0/v)" <<'PY'
import nbd, subprocess, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
subprocess.run(["tvconvert", "--merge", "vg0/s"], check=True, stdout=subprocess.DEVNULL)
PY
  server=$(field server_pid vg0/v)
  timeout 60 tvchange -an vg0/v >/dev/null 2>&1 &
  sleep "0.0$((RANDOM % 3))$((RANDOM % 10))"
  kill -9 "$server" 2>/dev/null || true
  wait $! || true
  tvchange -ay vg0/v >/dev/null
  [ "$(shown v)" = second ] || fail "round $i: v shows $(shown v)"
  tvchange -an vg0/v
  [ "$(names)" = "pool0 v v_premerge" ]
  judge vg0/pool0
done
