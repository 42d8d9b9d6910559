#!/usr/bin/env bash
# Goal: an exported group is left alone until it is imported, here or in another environment, which
# then is the only one that has it.
. "$(dirname "$0")/lib.sh"

truncate -s 256M pv0.img pv1.img pv2.img
tvgcreate vg0 pv0.img pv1.img >/dev/null
tvgcreate keep pv2.img >/dev/null
tvcreate -L 100m -V 64m -T vg0/pool0 -n a >/dev/null
tvchange -ay vg0/a
head -c 9M /dev/urandom > written
nbdcopy --flush written "$(uri vg0/a)"
fails 5 'has active logical volumes: tvgchange -an vg0' tvgexport vg0
tvchange -an vg0
fails 5 'is not exported' tvgimport vg0
says 'Volume group "vg0" successfully exported' tvgexport vg0
for command in "tvchange -ay vg0/a" "tvcreate -V 1g -T vg0/pool0" "tvremove -y vg0/a" \
    "tvgrename vg0 x" "tvgextend vg0 pv3.img" "tvgexport vg0" "tvrename vg0 a c" \
    "tvgchange --addtag x vg0" "tvpvmove pv0.img"; do
  # shellcheck disable=SC2086  # words of a command line
  fails 5 'Volume group vg0 is exported: tvgimport vg0' $command
done
says 'successfully imported' tvgimport vg0
tvchange -ay vg0/a
tvchange -an vg0
tvgexport vg0 >/dev/null
(
  export THINVOL_STATE_DIR=$work/s2 THINVOL_RUN_DIR=$work/r2
  truncate -s 64M other.img
  tvgcreate own other.img >/dev/null
  fails 5 'not taken over' tvgimport keep pv2.img
  says 'successfully imported' tvgimport vg0 pv0.img pv1.img
  [ "$(tvgs --noheadings -o vg_name | xargs)" = "own vg0" ]
  tvchange -ay vg0/a
  head_of "$(uri vg0/a)" 9437184 | same - written
  tvchange -an vg0
  tvcreate -V 64m -T vg0/pool0 -n b >/dev/null
  [ "$(field thin_id vg0/b)" = 1 ]
  judge vg0/pool0
  [ "$(tvgck)" = "" ]
)
# Where it came from it cannot be used any more, and nothing is lost by trying.
tvgimport vg0 >/dev/null 2>&1 || true
fails 5 'belongs to another environment' tvchange -ay vg0/a
fails 5 'belongs to another environment now' tvgck vg0
tvgck keep
says 'removed' tvgremove -ff -y vg0
(
  export THINVOL_STATE_DIR=$work/s2 THINVOL_RUN_DIR=$work/r2
  judge vg0/pool0
)
