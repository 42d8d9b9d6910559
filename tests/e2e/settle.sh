#!/usr/bin/env bash
# Goal: what a killed command left half done is ended by the next command that changes anything in
#       the group, whatever that is; what only reads needs no lock and changes nothing.
. "$(dirname "$0")/lib.sh"

truncate -s 1G pv.img more.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 64m -T vg0/pool0 >/dev/null
tvcreate -V 64m -T vg0/pool0 -n v >/dev/null
tvsnapshot -n old vg0/v >/dev/null
free() { tvgs --noheadings --nosuffix --units m -o vg_free vg0 | xargs | cut -d. -f1; }
pending() { /usr/bin/python3 -c '
import sqlite3, sys
db = sqlite3.connect(sys.argv[1])
print(db.execute("SELECT count(*) FROM pending").fetchone()[0])' "$THINVOL_STATE_DIR/catalog.db"; }

# interrupt: a pool is killed while its metadata are written.
interrupt() {
  local before maker; before=$(free)
  tvcreate -L 64m --poolmetadatasize 256m --poolmetadataspare n -T vg0/pool1 >/dev/null 2>&1 &
  maker=$!
  until [ "$(free)" != "$before" ]; do :; done
  kill -9 $maker 2>/dev/null || true
  wait $maker 2>/dev/null || true
  # Reports show what there is, and leave it alone.
  tvs >/dev/null; tvgs >/dev/null; tvpvs >/dev/null; tvs -a >/dev/null
}

tried=0
for command in "tvgchange --addtag x vg0" "tvchange --addtag x vg0/v" "tvsnapshot -n s vg0/v" \
  "tvrename vg0/old vg0/new" "tvremove -y vg0/new" "tvextend -L +4m vg0/pool0" \
  "tvextend -L +4m vg0/v" "tvreduce -y -L -4m vg0/v" "tvchange -p r vg0/s" \
  "tvchange --errorwhenfull y vg0/pool0" "tvgextend vg0 $work/more.img" \
  "tvpvchange -xn more.img" "tvpvchange --addtag x more.img" "tvgreduce vg0 more.img" \
  "tvconvert --merge vg0/s" "tvrepair -y vg0/pool0" "tvchange -ay vg0/v" "tvchange -an vg0" \
  "tvgexport vg0" "tvgimport vg0" "tvgrename vg0 vg1" "tvgrename vg1 vg0"; do
  case $command in
    # These do not go by what the group has, or have nothing to do with the catalog.
    tvgexport*) tvremove -y vg0/pool1 >/dev/null 2>&1 || true; $command >/dev/null; continue ;;
    tvgimport* | "tvgrename vg1"* | "tvchange -an vg0") $command >/dev/null; continue ;;
  esac
  interrupt
  half=$(pending)
  $command >/dev/null 2>err || fail "$command: $(cat err)"
  [ "$(pending)" = 0 ] || fail "$command left it half done"
  tried=$((tried + half))
  group=vg0; case $command in "tvgrename vg0"*) group=vg1 ;; esac
  tvremove -y $group/pool1 >/dev/null || fail "after $command: pool1 is not there"
done
[ $tried -gt 9 ] || fail "only $tried commands found something half done"
judge_all

# A move that cannot be for lack of room leaves nothing; one that was killed gives its place back.
tvgextend vg0 more.img >/dev/null
tvcreate -l 100%FREE -T vg0/big >/dev/null
fails 5 'extents of .* are to be moved, and 0 are free' tvpvmove pv.img
[ -z "$(tvpvmove)" ] || fail "a job is left: $(tvpvmove)"
fails 5 'no other physical volume|are to be moved' tvpvmove pv.img pv.img
