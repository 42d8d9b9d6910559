#!/usr/bin/env bash
# Goal: a command killed at any moment leaves what was before it or after it, and the next one goes
# on; clients of the volumes notice nothing.
. "$(dirname "$0")/lib.sh"
rounds=${THINVOL_KILLS:-40}

truncate -s 2G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 1g -T vg0/pool0 >/dev/null
tvcreate -V 256m -T vg0/pool0 -n v >/dev/null
volumes() { tvs --noheadings -o lv_name vg0 | xargs; }

# try COMMAND...: kills it after a few milliseconds, if it is still there then.
try() {
  "$@" >/dev/null 2>&1 &
  local pid=$!
  sleep "0.00$((RANDOM % 10))"
  kill -9 $pid 2>/dev/null || true
  wait $pid 2>/dev/null || true
}

round_of_commands() {
  local i
  for i in $(seq "$rounds"); do
    try tvsnapshot -n "s$i" vg0/v
    try tvcreate -V 16m -T vg0/pool0 -n "n$i"
    try tvextend -L +4m vg0/v
    try tvreduce -y -L -4m vg0/v
    try tvsnapshot --group -n "{origin}.g$i" vg0/v "vg0/s$i"
    try tvconvert --merge "vg0/s$i.g$i"
    try tvconvert --merge --keep "vg0/s$i.g$i"
    try tvconvert --cancelmerge "vg0/s$i.g$i"
    try tvrename "vg0/s$i" "vg0/r$i"
    try tvremove -y "vg0/n$i"
    # The next command brings what was interrupted to its end: then each name is there or not, and
    # can be removed.
    tvcreate -V 4m -T vg0/pool0 -n next >/dev/null
    tvremove -y vg0/next >/dev/null
    left=
    for name in "s$i" "r$i" "n$i" "v.g$i" "s$i.g$i" "s${i}_premerge" "r${i}_premerge"; do
      case " $(volumes) " in *" $name "*) left+=" vg0/$name" ;; esac
    done
    # shellcheck disable=SC2086
    [ -z "$left" ] || tvremove -y $left >/dev/null
    [ "$(volumes)" = "pool0 v" ] || fail "left over: $(volumes)"
  done
}

round_of_commands
judge vg0/pool0
tvresize -y -L 256m vg0/v >/dev/null 2>&1 || true
tvchange -ay vg0/v
fio --name=v --ioengine=nbd --uri="$(uri vg0/v)" --size=128m --rw=randwrite --bs=4k --iodepth=16 \
  --verify=crc32c --verify_fatal=1 --loops=12 --output=fio.log &
writer=$!
round_of_commands
wait $writer || fail "fio: $(cat fio.log)"
judge vg0/pool0
tvchange -an vg0
judge vg0/pool0
# Nothing of what came and went holds space.
tvcreate -V 4m -T vg0/pool0 -n last >/dev/null
[ "$(tvdump vg0/pool0 | grep -c '<device')" = 2 ]
