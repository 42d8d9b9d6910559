#!/usr/bin/env bash
# Goal: snapshots of several volumes of a pool are of one instant, under load, all or none; names
#       follow a pattern; tags mean several volumes; several volumes go in one transaction.
. "$(dirname "$0")/lib.sh"

truncate -s 4G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 1g -T vg0/pool0 >/dev/null
tvcreate -L 256m -T vg0/other >/dev/null
for v in a b c; do tvcreate -V 64m -T vg0/pool0 -n $v --addtag db >/dev/null 2>&1; done
tvcreate -V 64m -T vg0/other -n elsewhere >/dev/null 2>&1
transaction() { tvdump vg0/pool0 | sed -n 's/.*<superblock.* transaction="\([0-9]*\)".*/\1/p'; }

# The form of the command.
fails 3 'asked for by --group' tvsnapshot vg0/a vg0/b
fails 5 'different pools' tvsnapshot --group vg0/a vg0/elsewhere
fails 5 'give a pattern with \{origin\}' tvsnapshot --group -n same vg0/a vg0/b
fails 5 'already exists' tvsnapshot --group -n '{origin}' vg0/a vg0/b
fails 5 'No volume carries' tvsnapshot --group -n '{origin}1' @nobody
[ "$(tvs --noheadings -o lv_name vg0 | xargs)" = "a b c elsewhere other pool0" ]

# Out of use: one transaction for all.
before=$(transaction)
says '"b-1" created' tvsnapshot --group -n '{origin}-1' -p r --addtag first vg0/a vg0/b
[ "$(transaction)" = $((before + 1)) ]
[[ $(field lv_attr vg0/a-1) == Vri* ]]
says 'Activation skips them: tvchange -ay -K' tvsnapshot --group @db
[ "$(tvs --noheadings -o lv_name vg0 | grep -c lvol)" = 3 ]
says 'Activation skips it: tvchange -ay -K vg0/a-now' tvsnapshot -n a-now vg0/a
tvsnapshot -kn -n '{origin}-{time}' vg0/a | grep -Eq '"a-20[0-9]{6}T[0-9]{6}Z" created'

# In use: a writer writes the same number to a, then to b. Whatever the instant, a snapshot of b is
# never ahead of that of a, nor more than one behind.
tvchange -ay vg0/a vg0/b
/usr/bin/python3 - "$(uri vg0/a)" "$(uri vg0/b)" <<'PY' &
import nbd, os, sys
disks = []
for uri in sys.argv[1:]:
    h = nbd.NBD()
    h.connect_uri(uri)
    disks.append(h)
n = 0
while not os.path.exists("stop"):
    n += 1
    for h in disks:
        h.pwrite(n.to_bytes(8, "little") * 64, 0)
PY
writer=$!
for i in $(seq 20); do
  tvsnapshot --group -kn -n "{origin}.$i" vg0/a vg0/b >/dev/null
done
touch stop; wait $writer
number() { head_of "$(uri "$1")" 512 | od -An -tu8 -N8 | xargs; }
for i in $(seq 20); do tvchange -ay "vg0/a.$i" "vg0/b.$i"; done
for i in $(seq 20); do
  a=$(number "vg0/a.$i"); b=$(number "vg0/b.$i")
  [ "$a" = "$b" ] || [ "$a" = $((b + 1)) ] || fail "snapshot $i: a has $a, b has $b"
done

# A live rename: the client stays, the URI follows.
/usr/bin/python3 - "$(uri vg0/a)" <<'PY'
import nbd, subprocess, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
h.pwrite(b"x" * 512, 0)
subprocess.run(["tvrename", "vg0/a", "vg0/renamed"], check=True, stdout=subprocess.DEVNULL)
assert h.pread(512, 0) == b"x" * 512
h.pwrite(b"y" * 512, 0)
PY
[ "$(head_of "$(uri vg0/renamed)" 1)" = y ]
tvrename vg0/renamed vg0/a >/dev/null

# Tags come and go.
tvchange --addtag keep vg0/c vg0/pool0 >/dev/null
tvchange --deltag db vg0/c >/dev/null
fails 3 'invalid' tvchange --addtag 'no good' vg0/c

# Several go at once, in one transaction, unless the metadata lack the room for that; one that a
# client has open stays, and is named.
before=$(transaction)
tvremove -y vg0/a.{1,2,3} vg0/b.{1,2,3} >/dev/null
[ "$(transaction)" = $((before + 1)) ]
tvremove -y vg0/a.{4..20} vg0/b.{4..20} >/dev/null
[ "$(tvs --noheadings -o lv_name vg0 | grep -c '\.')" = 0 ]
/usr/bin/python3 - "$(uri vg0/b)" <<'PY'
import nbd, subprocess, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
done = subprocess.run(["tvremove", "-y", "vg0/b", "vg0/a-1", "vg0/nope"], capture_output=True)
assert done.returncode == 5, done
assert b"vg0/b in use" in done.stderr and b"nope" in done.stderr, done
assert b'"a-1" successfully removed' in done.stdout, done
PY
fails 5 'Nothing removed' tvremove @db
tvchange -an vg0
says '"b" successfully removed' tvremove -y @db
[ "$(tvs --noheadings -o lv_name vg0 | grep -cE '^ *[ab] *$')" = 0 ]
says '"elsewhere" successfully removed' tvremove -y vg0
[ -z "$(tvs --noheadings vg0)" ]
