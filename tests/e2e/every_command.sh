#!/usr/bin/env bash
# Goal: every command explains itself, refuses what it does not know with the right exit code, and
#       changes nothing with --test; JSON is valid and alone on stdout.
# Method: the commands and their operands as `thinvol help` and --help show them; for --test, a
#         table of command lines that would change something, with the environment's bytes compared.
. "$(dirname "$0")/lib.sh"

truncate -s 256M pv.img; truncate -s 64M more.img other.img spare.img; truncate -s 16M origin.img
tvgcreate vg0 pv.img >/dev/null
tvgcreate vg9 other.img more.img >/dev/null
tvcreate -L 64m -T vg0/pool0 >/dev/null
tvcreate -L 8m -T vg0/empty >/dev/null
for v in a b; do tvcreate -V 64m -T vg0/pool0 -n $v --addtag db >/dev/null 2>&1; done
tvsnapshot -n snap vg0/a >/dev/null
commands=$(thinvol help | awk '/^    [a-z]/ {print $1}')
[ "$(wc -w <<< "$commands")" -gt 25 ]
run() { case $1 in tv*) "$@" ;; *) thinvol "$@" ;; esac; }
usage() { run "$1" --help | grep -E "^  $1 \[options\]"; }

# with OPERANDS REPLACEMENT...: the operands of a command's usage line, each by what stands for it.
operands_with() {
  local volume=$2 group=$3 word
  for word in $1; do
    case $word in
      \[*) ;;
      VG\|* | VG/* | *LV*) echo "$volume" ;;
      VG*) echo "$group" ;;
      *) echo new ;;
    esac
  done
}

for c in $commands; do
  says "$c - " run "$c" --help
  fails 3 'unrecognised option' run "$c" --no-such-option
  line=$(usage "$c") || fail "$c: its help shows no usage"
  words=$(sed -E "s/^  $c \[options\] ?//; s/ \|.*//" <<< "$line")
  case $c in help | version | events | pool) continue ;; esac
  required=$(tr ' ' '\n' <<< "$words" | grep -vc '^\[\|^$' || true)
  [ "$required" = 0 ] || fails 3 'Please give' run "$c"
  case $words in
    *VG*) ;;
    *) continue ;;
  esac
  case $c in tvgcreate) continue ;; esac
  [ "$required" != 0 ] || words=${words//[\[\]]/}
  # What is not there; with what each needs to know what is wanted of it.
  # shellcheck disable=SC2207
  nowhere=($(operands_with "$words" nope/x nope)) missing=($(operands_with "$words" vg0/nope vg0))
  more=()
  case $c in
    tvchange) more=(-ay) ;;
    tvcreate) more=(-V 1g) nowhere=(nope/x) missing=(vg0/nope) ;;
    tvconvert) more=(--merge) ;;
    tvextend) more=(-L +64m) ;;
    tvdelta) more=(--thin1 1 --thin2 2) ;;
    tvrmap) more=(--region 0..1) ;;
    tvgchange) more=(--addtag x) ;;
    tvreduce) more=(-L -4m -y) ;;
    tvresize) more=(-L 8m -y) ;;
    tvremove | tvgremove) more=(-y) ;;
    tvgextend) nowhere=(nope "$work/spare.img") missing=(nope2 "$work/spare.img") ;;
    tvgreduce) nowhere=(nope x) missing=(vg0 "$work/spare.img") ;;
    tvgrename) missing=(nope x) ;;
    tvrestore) more=(-i "$work/nothing.xml") ;;
    tvmetadatasize | tvmetadatapack | tvmetadataunpack | tvdmtable) continue ;;
  esac
  fails 5 'ot found|gone|No such' run "$c" "${more[@]}" "${nowhere[@]}"
  [ "${missing[*]}" = vg0 ] || fails 5 'ot found|Failed to find|not in|No such' \
    run "$c" "${more[@]}" "${missing[@]}"
done

# The wrong kind of object.
fails 5 'thin volume is wanted' tvsnapshot vg0/pool0
fails 5 'thin volume is wanted' tvconvert --merge vg0/pool0
fails 5 'thin volume is wanted' tvchange -ay vg0/pool0
for c in "tvcheck" "tvdump" "tvchange --errorwhenfull y" "tvcreate -V 1g -T" "tvrepair -y"; do
  # shellcheck disable=SC2086
  fails 5 'thin pool is wanted' $c vg0/a
done
fails 5 'hidden' tvremove -y "vg0/$(tvs -a --noheadings -o lv_name vg0 | grep -o 'lvol._pmspare')"

# Plain volumes are not for us.
fails 3 'plain linear volumes are not for Thinvol' tvcreate -L 64m -n plain vg0
fails 5 'type linear are not for Thinvol' tvcreate --type linear -L 64m -n plain vg0

# JSON alone on stdout.
for c in tvs tvgs tvpvs; do
  for format in json json_std; do
    run "$c" --reportformat $format 2>/dev/null | /usr/bin/python3 -m json.tool >/dev/null ||
      fail "$c --reportformat $format: not JSON"
  done
done

# --test: nothing of the environment and of the physical volumes is another byte afterwards.
# A write or an allocation shows in the times too; the bytes are compared around all of them.
environment() {
  find "$THINVOL_STATE_DIR" "$THINVOL_RUN_DIR" -type f ! -name '*-shm' ! -name '*.log' \
    -exec sha256sum {} + | sort -k2
  stat -c '%n %s %b %y %z' "$work"/*.img
}
tested=
unchanged() {
  local before; before=$(environment)
  tested+=" $1"
  "$@" --test >"$work/out" 2>"$work/err" </dev/null || fail "'$* --test' failed: $(cat "$work/err")"
  grep -q 'TEST MODE' "$work/err" || fail "'$*' does not say that it is only a test"
  [ "$(environment)" = "$before" ] ||
    fail "'$* --test' changed: $(diff <(echo "$before") <(environment))"
}
[ -d "$THINVOL_RUN_DIR" ] || mkdir -m 700 "$THINVOL_RUN_DIR"
try_all() {
  sha256sum "$work"/*.img > images.before
  unchanged tvgcreate vg1 "$work/spare.img"
  unchanged tvgextend vg0 "$work/spare.img"
  unchanged tvgreduce vg9 "$work/more.img"
  unchanged tvgrename vg0 vg2
  unchanged tvcreate -L 16m -T vg0/p2
  unchanged tvcreate -L 16m -V 1g -T vg0/p2 -n v2
  unchanged tvcreate -V 1g -T vg0/pool0 -n v2 -ay
  unchanged tvcreate -s --thinpool vg0/pool0 -n v2 "$work/origin.img"
  unchanged tvsnapshot --group -n '{origin}-1' vg0/a vg0/b
  unchanged tvextend -L +64m vg0/a
  unchanged tvextend -L +16m vg0/pool0
  unchanged tvreduce -y -L 32m vg0/b
  unchanged tvresize -y -L 40m vg0/b
  unchanged tvrename vg0/b vg0/c
  unchanged tvconvert --merge --keep vg0/snap
  unchanged tvchange --addtag x vg0/a vg0/pool0
  unchanged tvchange -kn vg0/snap
  unchanged tvgchange --addtag x vg0
  unchanged tvgck vg0
  unchanged tvpvchange -x n "$work/more.img"
  unchanged tvchange -p r vg0/b
  unchanged tvchange --errorwhenfull y vg0/pool0
  unchanged tvchange -ay vg0
  unchanged tvchange -an vg0
  unchanged tvremove -y vg0/b vg0/snap
  unchanged tvremove -y vg0/pool0
  unchanged tvgremove -y -f vg0
  unchanged tvgremove vg9
  sha256sum "$work"/*.img | same - images.before
}
try_all
tvchange -ay vg0/a; head_of "$(uri vg0/a)" 4096 >/dev/null; sleep 1
try_all
[ "$(field lv_active vg0/a)" = active ]
# What would fail, fails in a test too.
fails 5 'already exists' tvcreate -V 1g -T vg0/pool0 -n a -t
fails 5 'nsufficient|not enough|free' tvcreate -L 1t -T vg0/p2 -t
tvchange -an vg0
# Whatever changes something can be tried, or says that it cannot.
for c in $commands; do
  case " $tested " in *" $c "*) continue ;; esac
  says "$c - " run "$c" --help
  run "$c" --test >"$work/out" 2>"$work/err" </dev/null || true
  ! grep -q 'TEST MODE' "$work/err" || fail "$c can be tried with --test, and is not in the table"
done
fails 3 'cannot be tried with --test' tvtrim -t vg0/pool0

# What is so already is a success where that is asked for.
before=$(tvs --noheadings)
for c in "tvgcreate --idempotent vg9 other.img more.img" \
  "tvcreate --idempotent -L 64m -T vg0/pool0" \
  "tvcreate --idempotent -V 64m -T vg0/pool0 -n a" "tvsnapshot --idempotent -n snap vg0/a" \
  "tvremove -y --idempotent vg0/nope" "tvrename --idempotent vg0/nope vg0/a"; do
  $c >/dev/null || fail "$c"
done
[ "$(tvs --noheadings)" = "$before" ]
fails 5 'already exists' tvcreate --idempotent -V 128m -T vg0/pool0 -n a
fails 5 'already exists' tvsnapshot --idempotent -n snap vg0/b
fails 5 'Failed to find' tvrename --idempotent vg0/nope vg0/nope2
