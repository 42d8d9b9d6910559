#!/usr/bin/env bash
# Goal: a physical volume is emptied onto others, with progress; killed at any moment or aborted it
# loses nothing, goes on, and holds no space. Of pools in use: move_in_use.sh.
. "$(dirname "$0")/lib.sh"

truncate -s 512M pv0.img pv1.img pv2.img
tvgcreate -s 1m vg0 pv0.img >/dev/null
tvcreate -L 300m --poolmetadatasize 4m -T vg0/pool0 >/dev/null
tvcreate -V 256m -T vg0/pool0 -n a >/dev/null
tvcreate -L 50m --poolmetadatasize 2m -V 32m -T vg0/pool1 -n b >/dev/null
fails 5 'no other physical volume to move to' tvpvmove pv0.img
tvpvmove --abort
tvchange -ay vg0
head -c 120M /dev/urandom > written
nbdcopy --flush written "$(uri vg0/a)"
head -c 20M /dev/urandom > other
nbdcopy --flush other "$(uri vg0/b)"

tvgextend vg0 pv1.img pv2.img >/dev/null
used() { tvpvs --noheadings --units m --nosuffix -o pv_used "$1" | xargs; }
free() { tvgs --noheadings -o vg_free_count vg0 | xargs; }
before=$(free)

fails 5 'name its pool' tvpvmove -n a pv0.img
tvchange -an vg0

# One pool of two, then the rest.
says 'pv0.img: Moved: 100.00%' tvpvmove -n pool1 pv0.img pv2.img
[ "$(used pv2.img)" = 52.00 ] || fail "pool1 has $(used pv2.img) on pv2"
judge vg0/pool1
[ "$(tvgck)" = "" ]

# Killed again and again.
tvpvmove pv0.img pv1.img >/dev/null 2>&1 & pid=$!
for _ in $(seq 60); do
  sleep "0.0$((RANDOM % 10))"
  kill -9 $pid 2>/dev/null || true
  wait $pid 2>/dev/null || true
  [ "$(used pv0.img)" != 0.00 ] || break
  tvpvmove >/dev/null 2>&1 & pid=$!
done
wait
tvpvmove >/dev/null
[ "$(used pv0.img)" = 0.00 ] || tvpvmove pv0.img pv1.img >/dev/null
[ "$(used pv0.img)" = 0.00 ] || fail "$(used pv0.img) left on pv0: $(tvpvs -o +pv_used)"
[ "$(free)" = "$before" ] || fail "$(free) extents are free, $before were"
[ "$(tvgck)" = "" ]
judge_all
tvchange -ay vg0
head_of "$(uri vg0/a)" $((120 << 20)) | same - written
head_of "$(uri vg0/b)" $((20 << 20)) | same - other
tvchange -an vg0
says 'Removed ".*pv0.img"' tvgreduce vg0 pv0.img
# The logs on those that stay know it all.
rm -r "$THINVOL_STATE_DIR" pv0.img
tvgscan --rebuild pv1.img pv2.img >/dev/null
tvchange -ay vg0
head_of "$(uri vg0/a)" $((120 << 20)) | same - written
tvchange -an vg0

# Aborted half way: what was moved stays, and works.
start=$(free) all=$(used pv1.img)
tvpvmove -i 0 pv1.img >/dev/null 2>err & pid=$!
while [ "$(used pv1.img)" = "$all" ]; do sleep 0.01; done
tvpvmove --abort
if wait $pid; then fail "an aborted move succeeded"; fi
tvpvmove
[ "$(free)" = "$start" ] || fail "an aborted move holds space"
[ "$(tvgck)" = "" ]
judge_all
tvchange -ay vg0/a
head_of "$(uri vg0/a)" $((120 << 20)) | same - written
tvchange -an vg0
