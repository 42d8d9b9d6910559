# shellcheck shell=bash
# kernel_pool.sh: what the jobs share: pools in the kernel of the machine they run in. A job is a
# script that runs as root in the guest, sources this, and prints `executed distinct value` as its
# last line: prove.py says more.
# shellcheck source=../e2e/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/lib.sh"

# checked: the row of a job in which each command has to end as it should: how many did, and how
# many different ones. It ends with the first that does not.
commands=0
declare -A different
set -T
trap 'commands=$((commands + 1)); different[$BASH_COMMAND]=1' DEBUG
checked() { echo "$commands ${#different[@]} 0"; }

# create_tables: makes the devices that tvdmtable's lines on stdin say, in that order.
create_tables() {
  local name table
  while IFS= read -r line; do
    name=${line%%: *} table=${line#*: }
    dmsetup create "$name" --table "$table"
    echo "$name"
  done
}

# remove_devices NAME...: the last first.
remove_devices() {
  local i
  for ((i = $#; i > 0; i--)); do dmsetup remove --retry "${!i}"; done
}

# mapped_chunks NAME SECTORS-A-CHUNK: of an active thin device.
mapped_chunks() { dmsetup status "$1" | awk -v c="$2" '{print $4 / c}'; }
# used_chunks NAME: of an active pool.
used_chunks() { dmsetup status "$1" | awk '{split($6, of, "/"); print of[1]}'; }

# The same from tvdump's DUMP of the metadata, and by tvcheck.
our_mapped_chunks() {
  sed -n "s/.*<device dev_id=\"$2\" mapped_blocks=\"\([0-9]*\)\".*/\1/p" "$1"
}
our_used_chunks() { tvcheck "$1" | sed -n 's/^ *data blocks *\([0-9]*\) of.*/\1/p'; }

sum_of() { md5sum "$@" | cut -d ' ' -f 1; }
