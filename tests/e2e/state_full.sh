#!/usr/bin/env bash
# Goal: a full or read-only file system under the catalog: reports go on, changes are refused in one
#       line that says why, volumes in use stay so; with room again, everything goes on.
. "$(dirname "$0")/lib.sh"
if ! unshare -rm true 2>err; then
  echo "state_full.sh: NOT TRIED: no mount namespace is allowed: $(cat err)"
  exit 0
fi
if [ -z "${THINVOL_INSIDE:-}" ]; then
  status=0
  THINVOL_INSIDE=1 unshare -rm "$here/$(basename "$0")" || status=$?
  exit $status
fi

mkdir state
release() { tvchange -an vg0 2>/dev/null || true; cd /; umount -l "$work/state"; }
mount -t tmpfs -o size=4m state state
export THINVOL_STATE_DIR=$work/state/s
truncate -s 256M pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 64m -T vg0/pool0 >/dev/null
tvcreate -V 32m -T vg0/pool0 -n v >/dev/null 2>&1
tvchange -ay vg0/v

reports() {
  says ' v +vg0' tvs
  says '"vg_name":"vg0"' tvgs --reportformat json
  says 'pv.img' tvpvs
  says 'pool0' tvs -a -o lv_name,data_percent
  [ "$(field lv_active vg0/v)" = "$1" ] || fail "v is '$(field lv_active vg0/v)', not '$1'"
}
refused() {
  fails 5 "$1" tvcreate -V 8m -T vg0/pool0 -n x
  fails 5 "$1" tvsnapshot -n x vg0/v
  fails 5 "$1" tvchange --addtag x vg0/v
  fails 5 "$1" tvgchange --addtag x vg0
  fails 5 "$1" tvrename vg0/v vg0/x
  fails 5 "$1" tvremove -y vg0/v
}
writes() { /usr/bin/python3 -c '
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
h.pwrite(bytes([int(sys.argv[2])]) * (1 << 20), int(sys.argv[2]) << 20)
h.flush()' "$(uri vg0/v)" "$1"; }
before=$(tvs --noheadings -o lv_name,lv_size,lv_tags)
unchanged() { [ "$(tvs --noheadings -o lv_name,lv_size,lv_tags)" = "$before" ] || fail "$(tvs)"; }

# Full to the last byte.
dd if=/dev/zero of=state/fill bs=4k 2>/dev/null && fail "not full"
refused 'full|No space left'
reports active
writes 1
unchanged
tvchange -an vg0
reports ''
rm state/fill
says created tvsnapshot -n s vg0/v
tvremove -y vg0/s >/dev/null
unchanged
judge_all

# Read-only: nothing can be in use, for a server writes there.
mount -o remount,ro state
refused 'ead-only|readonly'
fails 5 'ead-only' tvchange -ay vg0/v
tvchange -an vg0
reports ''
unchanged
mount -o remount,rw state
says created tvsnapshot -n s vg0/v
tvremove -y vg0/s >/dev/null
unchanged
judge_all
# What the change that was refused took with it: nothing.
[ "$(tvdump vg0/pool0 | grep -c '<device')" = 1 ]
