#!/usr/bin/env bash
# Goal: two environments side by side never see each other, and never share a physical volume.
. "$(dirname "$0")/lib.sh"

truncate -s 256M pv.img other.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 64m -V 64m -T vg0/pool0 -n v >/dev/null
tvchange -ay vg0/v
(
  export THINVOL_STATE_DIR=$work/s2 THINVOL_RUN_DIR=$work/r2
  [ -z "$(tvs)$(tvgs)" ]
  fails 5 'pv.img: it is locked by another process' tvgcreate vg0 pv.img
  fails 5 'pv.img: it is locked by another process' tvgcreate -y vg0 pv.img
  tvgcreate vg0 other.img >/dev/null
  tvcreate -L 64m -V 64m -T vg0/pool0 -n v >/dev/null
  tvchange -ay vg0/v
  [ "$(uri vg0/v)" != "$(THINVOL_STATE_DIR=$work/s THINVOL_RUN_DIR=$work/r uri vg0/v)" ]
  tvchange -an vg0
)
tvchange -an vg0
(
  export THINVOL_STATE_DIR=$work/s2 THINVOL_RUN_DIR=$work/r2
  fails 5 'of another environment' tvgcreate vg1 pv.img
)
# A directory that others may write to, or that is a link, is refused.
mkdir -m 0777 loose
THINVOL_STATE_DIR=$work/loose fails 5 'may be written by others' tvgcreate vg1 other.img
ln -s s link
THINVOL_STATE_DIR=$work/link fails 5 'is not a directory' tvgcreate vg1 other.img
THINVOL_STATE_DIR=$work/link/ fails 5 'is not a directory' tvgcreate vg1 other.img
THINVOL_STATE_DIR=relative fails 4 'must be an absolute path' tvs
# A run directory too long for a socket's path.
long=$work/$(printf 'x%.0s' $(seq 90))
THINVOL_RUN_DIR=$long fails 5 'set THINVOL_RUN_DIR to a shorter one' tvchange -ay vg0/v
# Sockets are for this user alone.
tvchange -ay vg0/v
for s in "$THINVOL_RUN_DIR"/*.ctl "$THINVOL_RUN_DIR"/*.nbd; do
  [ "$(stat -c %a "$s")" = 600 ] || fail "$s has mode $(stat -c %a "$s")"
done
[ "$(stat -c %a "$THINVOL_RUN_DIR")" = 700 ]
