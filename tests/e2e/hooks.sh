#!/usr/bin/env bash
# Goal: hooks freeze a volume's users before its snapshot and thaw them afterwards, whatever becomes
# of the hooks, the command, or the process that does it; a hook that fails or takes too long means
# no snapshot.
. "$(dirname "$0")/lib.sh"

truncate -s 256M pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 128m -T vg0/pool0 >/dev/null
for name in a b; do tvcreate -V 16m -T vg0/pool0 -n $name >/dev/null; done

# A guest: it is told what it is, keeps what it was told, and does as it is set to.
cat > hook <<'HOOK'
#!/usr/bin/env bash
cd "$(dirname "$0")"
echo "$THINVOL_HOOK $THINVOL_VG/$THINVOL_VOLUME $# $1 $(ls /proc/$$/fd | xargs)" >> told
touch "began.$THINVOL_HOOK"
if [ -e "slow.$THINVOL_HOOK" ]; then sleep "$(cat "slow.$THINVOL_HOOK")"; fi
if [ -e "wrong.$THINVOL_HOOK" ]; then echo "the guest is out"; echo "for lunch" >&2; exit 7; fi
echo "ended $THINVOL_HOOK" >> told
HOOK
chmod +x hook
for which in freeze thaw; do
  tvchange --setting "hooks.$which=[\"$work/hook\", \"two words; echo\"]" vg0/a >/dev/null
done
told() { sed 's/ [0-9].*//' told 2>/dev/null | xargs; }
forget() { rm -f told began.* slow.* wrong.*; }
snapshots() { tvs --noheadings -o lv_name -S 'origin!=""' vg0 | xargs; }
await() {
  for _ in $(seq 200); do "$@" 2>/dev/null && return 0; sleep 0.05; done
  fail "never: $* ($(cat told))"
}
all="freeze vg0/a ended freeze thaw vg0/a ended thaw"

# Inactive and active; without a shell, and with nothing of ours open.
tvsnapshot -n s1 vg0/a >/dev/null
[ "$(told)" = "$all" ] || fail "told: $(cat told)"
grep -q '^freeze vg0/a 1 two words; echo 0 1 2 255 3$' told || fail "not as set: $(cat told)"
forget
tvchange -ay vg0/a
tvsnapshot -n s2 vg0/a >/dev/null
[ "$(told)" = "$all" ] || fail "told: $(cat told)"
forget
tvexport vg0/a a.img >/dev/null
[ "$(told)" = "$all" ] || fail "told by tvexport: $(cat told)"
forget
for leave in "tvsnapshot --no-freeze -n s3 vg0/a" "tvexport --no-freeze --force vg0/a a.img" \
  "tvsnapshot --test -n s4 vg0/a" "tvsnapshot -n s5 vg0/b"; do
  $leave >/dev/null
  [ ! -e told ] || fail "'$leave' told: $(cat told)"
done

# All of a group, and then the snapshots, and the last first.
tvchange --setting "hooks.freeze=[\"$work/hook\"]" --setting "hooks.thaw=[\"$work/hook\"]" vg0/b \
  >/dev/null
tvsnapshot --group -n '{origin}-g' vg0/a vg0/b >/dev/null
[ "$(grep -v ended told | sed 's/ [0-9].*//' | xargs)" = \
  "freeze vg0/a freeze vg0/b thaw vg0/b thaw vg0/a" ] || fail "told: $(cat told)"
forget
for v in s1 s2 s3 s5 a-g b-g; do tvremove -y vg0/$v >/dev/null; done

# One that fails, is missing, or takes too long: no snapshot, and the thaw all the same.
touch wrong.freeze
fails 5 'freeze hook of vg0/a: .*hook ended with 7: the guest is out; for lunch' \
  tvsnapshot -n s vg0/a
[ "$(told)" = "freeze vg0/a thaw vg0/a ended thaw" ] || fail "told: $(cat told)"
forget
tvchange --setting 'hooks.freeze=["/nobody"]' vg0/b >/dev/null
fails 5 'freeze hook of vg0/b: /nobody: No such file' \
  tvsnapshot --group -n '{origin}-g' vg0/a vg0/b
[ "$(grep -v ended told | sed 's/ [0-9].*//' | xargs)" = \
  "freeze vg0/a thaw vg0/b thaw vg0/a" ] || fail "told: $(cat told)"
forget
echo 61.25 > slow.freeze
tvchange --setting hooks.timeout=1 vg0/a >/dev/null
fails 5 'took more than 1 seconds and was killed' tvsnapshot -n s vg0/a
[ "$(told)" = "freeze vg0/a thaw vg0/a ended thaw" ] || fail "told: $(cat told)"
await eval '! pgrep -f "^sleep 61.25$" >/dev/null'  # what the hook started
tvchange --setting hooks.timeout=30 vg0/a >/dev/null
forget
[ -z "$(snapshots)" ] || fail "made: $(snapshots)"
# A thaw that fails is told, with what was made.
touch wrong.thaw
fails 5 's was made, but what was frozen for it stays so: thaw hook of vg0/a: .*out; for lunch' \
  tvsnapshot -n s vg0/a
[ "$(snapshots)" = s ] || fail "made: $(snapshots)"
forget
tvremove -y vg0/s >/dev/null

# Ended while the freeze goes on: the thaw comes after it. By any signal.
for signal in KILL TERM INT; do
  echo 1 > slow.freeze
  setsid tvsnapshot -n s vg0/a >/dev/null 2>&1 &
  victim=$!
  await test -e began.freeze
  kill -$signal $victim
  wait $victim 2>/dev/null || true
  await grep -q "ended thaw" told
  [ "$(told)" = "$all" ] || fail "told after SIG$signal: $(cat told)"
  forget
done
# While all is frozen, and the pool's server does not answer.
server=$(field server_pid vg0/a)
for signal in KILL TERM; do
  kill -STOP "$server"
  tvsnapshot -n s vg0/a >/dev/null 2>&1 &
  victim=$!
  await grep -q "ended freeze" told
  sleep 0.2
  [ "$(told)" = "freeze vg0/a ended freeze" ] || fail "thawed too soon: $(cat told)"
  kill -$signal $victim
  wait $victim 2>/dev/null || true
  await grep -q "ended thaw" told
  kill -CONT "$server"
  [ "$(told)" = "$all" ] || fail "told after SIG$signal: $(cat told)"
  forget
  tvs >/dev/null
  for s in $(snapshots); do tvremove -y "vg0/$s" >/dev/null; done
done
# The process that does it is killed: the command thaws.
kill -STOP "$server"
tvsnapshot -n s vg0/a >/dev/null 2>&1 &
victim=$!
await grep -q "ended freeze" told
guardian=$(pgrep -P $victim tv-thaw)
kill -9 "$guardian"
kill -CONT "$server"
wait $victim || fail "the snapshot failed"
[ "$(told)" = "$all" ] || fail "told: $(cat told)"
[ "$(snapshots)" = s ] || fail "made: $(snapshots)"
forget
tvchange -an vg0
