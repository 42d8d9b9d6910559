#!/usr/bin/env bash
# Goal: what the catalog knew before any change can be listed and brought back, a removed group
# too; the number of files is bounded, and a change is not one flush slower for it.
. "$(dirname "$0")/lib.sh"

truncate -s 512M pv0.img
tvgcreate vg0 pv0.img >/dev/null
tvcreate -L 128m --poolmetadatasize 4m -T vg0/pool0 >/dev/null
tvcreate -V 64m -T vg0/pool0 -n a >/dev/null
tvchange -ay vg0/a
head -c 9M /dev/urandom > written
nbdcopy --flush written "$(uri vg0/a)"
tvchange -an vg0
tvs -o +lv_uuid,thin_id > before

says 'Volume group "vg0" successfully backed up' tvgcfgbackup
[ "$(stat -c %a "$THINVOL_STATE_DIR/backup/vg0")" = 600 ]
tvgcfgbackup -f "$work/%s.rows" vg0 >/dev/null
[ -s vg0.rows ]
fails 5 'nothing/vg0: No such file' tvgcfgbackup -f nothing/vg0 vg0
fails 5 'Volume group "x" not found' tvgcfgbackup x

# Renamed by mistake: back to any change.
change_of() { tvgcfgrestore --list vg0 | awk -v what="$1" '$0 ~ what {n = $1} END {print n}'; }
says 'new: volume a' tvgcfgrestore --list vg0
tvrename vg0 a b >/dev/null
says 'changed: volume a .*name a -> b' tvgcfgrestore --list vg0
at=$(($(change_of 'name a -> b') - 1))
fails 5 'Consider using option --force' tvgcfgrestore --at $at vg0
fails 5 'no automatic backup .* has change 99999' tvgcfgrestore --at 99999 vg0
tvchange -ay vg0/b
fails 5 'pool vg0/pool0 is in use' tvgcfgrestore --at $at --force vg0
tvchange -an vg0
says 'Restored volume group vg0' tvgcfgrestore --at $at --force vg0
tvs -o +lv_uuid,thin_id | same - before
judge vg0/pool0
[ "$(tvgck)" = "" ]

# Where the pool went on since, it says so, and is settled.
tvcreate -V 64m -T vg0/pool0 -n c >/dev/null
says 'Restored' tvgcfgrestore --force -f vg0.rows vg0
grep -q 'went on since: thin id 1 is new' "$work/err" || fail "$(cat "$work/err")"
fails 5 'transaction id' tvchange -ay vg0/a
says 'agree' tvgreconcile --adopt 1=c,64m vg0/pool0
judge vg0/pool0
tvcreate -V 64m -T vg0/pool0 -n d >/dev/null
[ "$(field thin_id vg0/d)" = 2 ] || fail "thin id $(field thin_id vg0/d)"

# A removed group comes back, labels and all, as long as its place was not used again.
tvgcfgbackup -f last.rows vg0 >/dev/null
tvs -o +lv_uuid,thin_id > before
tvgremove -y vg0 >/dev/null
fails 5 'has no label|not a physical volume' tvgscan pv0.img
says "new: volume d" tvgcfgrestore --list vg0
says 'Restored' tvgcfgrestore --force -f last.rows vg0
tvs -o +lv_uuid,thin_id | same - before
tvchange -ay vg0/a
head_of "$(uri vg0/a)" 9437184 | same - written
tvchange -an vg0
judge vg0/pool0
rm -r "$THINVOL_STATE_DIR"
tvgscan --rebuild pv0.img >/dev/null
tvs -o +lv_uuid,thin_id | same - before

# Torn, foreign and damaged files.
head -c -5 last.rows > torn.rows
fails 5 'no backup in it|rows' tvgcfgrestore --force -f torn.rows vg0
echo '{"t":"nonsense","r":{"id":1}}' > bad.rows
fails 5 'a newer Thinvol wrote it' tvgcfgrestore --force -f bad.rows vg0
head -c 100000 /dev/urandom > bad.rows
fails 5 "a group's rows" tvgcfgrestore --force -f bad.rows vg0
fails 5 'is of volume group "vg0"' tvgcfgrestore --force -f last.rows vg1
tvs -o +lv_uuid,thin_id | same - before

# Bounded, private.
for i in $(seq 15); do
  truncate -s -1 "$(find "$THINVOL_STATE_DIR/archive" -name '*.rows' | sort | tail -1)"
  tvrename vg0 a "a$i" >/dev/null; tvrename vg0 "a$i" a >/dev/null
done
files=$(find "$THINVOL_STATE_DIR/archive" -name '*.rows' | wc -l)
if [ "$files" -gt 10 ] || [ "$files" -lt 5 ]; then fail "$files files"; fi
[ -z "$(find "$THINVOL_STATE_DIR/archive" -perm /077)" ] || fail "others may read the archive"
[ "$(tvgck)" = "" ]
