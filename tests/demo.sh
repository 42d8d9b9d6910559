#!/usr/bin/env bash
# The main job on plain files: every command is printed, then run, with what came of it. Nothing is
# left behind. With judges of other people where they are at hand: nbdinfo, nbdcopy, thin_check.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
export PATH=$root/build/release/bin:$PATH:/usr/sbin:/sbin
work=$(mktemp -d "${TMPDIR:-/var/tmp}/thinvol-demo.XXXXXX")
export THINVOL_STATE_DIR=$work/state THINVOL_RUN_DIR=$work/run THINVOL_CONFIG_DIR=$work/config
cd "$work"

finish() {
  local status=$?
  trap - EXIT
  tvchange -an vg0 2>/dev/null || true
  cd /; rm -rf "$work"
  [ $status = 0 ] || echo "demo: FAILED" >&2
  exit $status
}
trap finish EXIT

bold=; dim=; plain=
if [ -t 1 ]; then bold=$'\033[1m'; dim=$'\033[2m'; plain=$'\033[0m'; fi
about() { printf '\n%s# %s%s\n' "$dim" "$*" "$plain"; }
# Runs a line as it would be typed.
t() { printf '%s$ %s%s\n' "$bold" "$1" "$plain"; eval "$1" 2>&1 | sed 's/^/    /'; }

about "Two files serve as disks; a group of the first, and a thin pool in it."
t 'truncate -s 2G pv0.img pv1.img'
t 'tvgcreate vg0 pv0.img'
t 'tvcreate -L 1g -T vg0/pool0'
about "A thin volume larger than its pool; a pool and a volume at once."
t 'tvcreate -V 4g -T vg0/pool0 -n root'
t 'tvcreate -L 512m -V 1g -T vg0/pool1 -n v'
about "Active: any NBD client can use it. Here nbdcopy writes 64 MiB."
t 'tvchange -ay vg0/root'
t 'tvs --noheadings -o uri vg0/root'
# shellcheck disable=SC2034  # t's lines use it
uri=$(tvs --noheadings -o uri vg0/root | xargs)
t 'nbdinfo --size "$uri"'
t 'head -c 64M /dev/urandom > data; nbdcopy --flush data "$uri"'
about "A snapshot while it is in use, active beside its origin."
t 'tvsnapshot -n snap vg0/root'
t 'tvchange -ay -K vg0/snap'
# shellcheck disable=SC2034
snap=$(tvs --noheadings -o uri vg0/snap | xargs)
t 'head -c 64M /dev/urandom > other; nbdcopy --flush other "$uri"'
t 'nbdcopy "$snap" back; cmp -n 67108864 data back && echo "the snapshot holds what was"; rm back'
about "More room: another disk, then pool data, pool metadata and the volume grow, in use."
t 'tvgextend vg0 pv1.img'
t 'tvextend -L +1g vg0/pool0'
t 'tvextend --poolmetadatasize +8m vg0/pool0'
t 'tvextend -L 6g vg0/root'
t 'tvrename vg0/snap vg0/before; tvchange -an vg0/before; tvremove -y vg0/before'
about "Reports."
t 'tvs'
t 'tvs --reportformat json -o +uri,thin_id vg0/root'
t 'tvgs'
t 'tvpvs'
about "The metadata are the kernel's own format, and judged by its tools."
t 'tvdump vg0/pool0 > pool.xml; head -c 300 pool.xml; echo ...'
t 'tvdump --format raw -o md.img vg0/pool0; thin_check md.img'
t 'tvcheck vg0/pool0'
t 'tvchange -an vg0'
