#!/usr/bin/env bash
# Goal: a server that hangs is named, with its pid and the way out, by what concerns its pool, and
#       nothing else waits for it: other pools, of the group too, reports, and what only reads.
. "$(dirname "$0")/lib.sh"

truncate -s 1G pv.img; truncate -s 256M other.img
tvgcreate vg0 pv.img >/dev/null
tvgcreate vg1 other.img >/dev/null
for pool in vg0/pool0 vg0/pool1 vg1/pool0; do tvcreate -L 32m -T $pool >/dev/null; done
for v in vg0/pool0/a vg0/pool1/b vg1/pool0/c; do
  tvcreate -V 32m -T "${v%/*}" -n "${v##*/}" >/dev/null 2>&1
done
tvchange -ay vg0/a vg0/b vg1/c
server=$(field server_pid vg0/a)
[ "$server" != "$(field server_pid vg0/b)" ]
release() { kill -9 "$server" 2>/dev/null || true; }

# within SECONDS COMMAND...: it succeeds, in that time.
within() {
  local limit=$1; shift
  timeout "$limit" "$@" >"$work/out" 2>"$work/err" || fail "'$*' within $limit s: $? $(cat err)"
}
others() {
  within 5 tvsnapshot -n s vg0/b
  within 5 tvremove -y vg0/s
  within 5 tvextend -L +4m vg0/pool1
  within 5 tvchange --addtag t vg0/b
  within 5 tvcreate -V 4m -T vg1/pool0 -n d
  within 5 tvremove -y vg1/d
  within 5 tvs vg0/b vg1/c
  within 5 tvgs
  within 5 tvpvs
  within 5 tvgchange --addtag t vg0
  within 5 tvgchange --deltag t vg0
}

kill -STOP "$server"
others
# A report of all tells what it knows, and of whom it does not.
status=0
timeout 20 tvs >out 2>err || status=$?
[ $status != 124 ] || fail "tvs waits for a stopped server"
grep -q ' a  *vg0' out || fail "a is not in the report: $(cat out)"
said="process $server.*5 seconds: it is stopped.*kill -CONT $server.*kill -9 $server"
grep -qE "pool0.*$said" err ||
  fail "tvs said: $(cat err)"
# Who needs the pool is told; meanwhile the others go on.
status=0
tvsnapshot -n late vg0/a >late.out 2>late.err & waiting=$!
others
wait $waiting || status=$?
[ $status = 5 ] || fail "tvsnapshot in a stuck pool: $status $(cat late.err)"
grep -qE "pool0.*process $server, .*30 seconds: it is stopped.*kill -CONT" late.err ||
  fail "tvsnapshot said: $(cat late.err)"
# It goes on where it was.
kill -CONT "$server"
within 10 tvsnapshot -n s vg0/a
within 10 tvremove -y vg0/s
# Or is ended: the next one goes on by itself.
kill -STOP "$server"
kill -9 "$server"
within 10 tvsnapshot -n s vg0/a
[ -z "$(field lv_active vg0/a)" ]
tvremove -y vg0/s >/dev/null

# A command that is stopped in the middle holds its pool, and is named.
before=$(tvgs --noheadings -o vg_free vg0)
tvcreate -L 128m --poolmetadatasize 256m --poolmetadataspare n -T vg0/pool2 >/dev/null 2>&1 &
maker=$!
until [ "$(tvgs --noheadings -o vg_free vg0)" != "$before" ]; do
  kill -0 $maker 2>/dev/null || fail "it ended before it could be stopped"
done
kill -STOP $maker
others
kill -9 $maker; wait $maker 2>/dev/null || true
says changed tvgchange --addtag t vg0
tvchange -an vg0 vg1
