#!/usr/bin/env bash
# Goal: 32 processes of all commands on one group at once: each command succeeds, nobody is told
#       that something is busy, nothing is lost or left over; with the pool inactive and in use.
. "$(dirname "$0")/lib.sh"
seconds=${THINVOL_SECONDS:-25}  # twice

truncate -s 2G pv.img more.img
tvgcreate -s 1m vg0 pv.img more.img >/dev/null
for pool in pool0 pool1; do tvcreate -L 256m -T vg0/$pool >/dev/null; done
tvcreate -V 64m -T vg0/pool0 -n base >/dev/null 2>&1

# worker N: makes, changes and removes volumes of its own, and reads what everybody does.
worker() {
  local n=$1 end=$((SECONDS + seconds)) done=
  until [ -n "$done" ] && [ $SECONDS -ge $end ]; do
    tvcreate -V 8m -T "vg0/pool$((n % 2))" -n "w$n" || return 1
    tvsnapshot -n "s$n" "vg0/w$n" || return 1
    tvextend -L 16m "vg0/w$n" || return 1
    tvreduce -y -L 12m "vg0/w$n" || return 1
    tvrename "vg0/s$n" "vg0/r$n" || return 1
    tvchange --addtag "t$n" "vg0/r$n" || return 1
    tvchange -p r "vg0/r$n" || return 1
    [ "$(tvs --noheadings -o lv_size --units m --nosuffix "vg0/w$n" | xargs)" = 12.00 ] || return 1
    tvsnapshot --group -n "{origin}g$n" "vg0/w$n" "vg0/r$n" || return 1
    [ "$(tvs --noheadings -o lv_name "@t$n" | xargs)" = "r$n" ] || return 1
    tvconvert --merge "vg0/w${n}g$n" || return 1
    tvremove -y "vg0/r$n" "vg0/r${n}g$n" || return 1
    tvsnapshot -n "b$n" vg0/base || return 1
    case $((n % 8)) in
      0) tvcreate -L 8m --poolmetadataspare n -V 8m -T "vg0/p$n" -n "o$n" || return 1
         tvextend -L 12m "vg0/p$n" || return 1
         tvchange -ay "vg0/o$n" && tvsnapshot -n "os$n" "vg0/o$n" || return 1
         tvremove -y "vg0/p$n" || return 1 ;;
      1) tvgchange --addtag "t$n" vg0 && tvgchange --deltag "t$n" vg0 || return 1 ;;
      2) tvpvchange --addtag "t$n" more.img && tvpvchange --deltag "t$n" more.img || return 1 ;;
      3) tvgcfgbackup -f "backup.$n" vg0 || return 1 ;;
      4) tvchange --setting "autoextend.data_threshold=$((50 + n))" "vg0/pool$((n % 2))" ||
           return 1 ;;
      5) tvdump -o "dump.$n" vg0/pool1 || return 1 ;;
      6) tvs -a && tvgs && tvpvs && tvs --tree || return 1 ;;
      7) tvs --reportformat json | /usr/bin/python3 -m json.tool || return 1 ;;
    esac >/dev/null
    tvremove -y "vg0/w$n" "vg0/b$n" || return 1
    done=yes
  done
}

crowd() {
  local n pids=() failed=
  for n in $(seq 32); do worker "$n" >"out.$n" 2>&1 & pids+=($!); done
  for n in $(seq 32); do wait "${pids[n - 1]}" || failed+=" $n"; done
  for n in $failed; do tail -n 3 "out.$n" >&2; done
  [ -z "$failed" ] || fail "workers$failed failed"
  ! grep -hi 'busy' out.* || fail "somebody was told that something is busy"
  [ "$(tvs --noheadings -o lv_name vg0 | xargs)" = "base pool0 pool1" ] ||
    fail "left over: $(tvs --noheadings -o lv_name vg0 | xargs)"
  for pool in pool0 pool1; do judge vg0/$pool; done
}

crowd
tvchange -ay vg0/base
fio --name=base --ioengine=nbd --uri="$(uri vg0/base)" --size=32m --rw=randwrite --bs=4k \
  --iodepth=8 --verify=crc32c --verify_fatal=1 --loops=4 --output=fio.log &
writer=$!
crowd
wait $writer || fail "fio: $(cat fio.log)"
tvchange -an vg0
[ "$(tvdump vg0/pool0 | grep -c '<device')" = 1 ]
