#!/usr/bin/env bash
# Goal: a setting comes from the command, the pool, the group, the file or its default, in that
# order; thinvol config says which, and what is wrong with a file.
. "$(dirname "$0")/lib.sh"

mkdir c
file=$THINVOL_CONFIG_DIR/thinvol.toml
# value KEY [VG[/POOL]]: "VALUE SOURCE".
value() {
  thinvol config --json "${@:2}" |
    jq -r --arg key "$1" '.settings[] | select(.key == $key) | "\(.value) \(.source)"'
}
key=autoextend.data_threshold
[ "$(value $key)" = '100 default' ]
says 'the defaults hold' thinvol config --validate
[ "$(thinvol config | wc -l)" = "$(thinvol config --json | jq '.settings | length')" ]

# The template is a right file that changes nothing; uncommented it is right too.
thinvol config --template > "$file"
says 'right: 0 settings' thinvol config --validate
sed -E 's/^# ([a-z_]+ = )/\1/' "$file" > all.toml
says "right: $(thinvol config | wc -l) settings" thinvol config --validate all.toml

# In the order of their weight.
truncate -s 256M pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 32m -T vg0/pool0 >/dev/null
tvcreate -L 32m -T vg0/other >/dev/null
printf '[autoextend]\ndata_threshold = 90\n' > "$file"
[ "$(value $key vg0/pool0)" = '90 file' ]
says changed tvchange --setting $key=80 vg0
[ "$(value $key vg0/pool0)" = '80 group' ]
says changed tvchange --setting $key=70 --setting 'events.hook=["/bin/true", "a b"]' vg0/pool0
[ "$(value $key vg0/pool0)" = '70 pool' ]
[ "$(value $key vg0/other)" = '80 group' ]
[ "$(value events.hook vg0/pool0)" = '["/bin/true","a b"] pool' ]
[ "$(value $key vg0/pool0 --config $key=60)" = '60 command' ]
[ "$(value $key)" = '90 file' ]
says 'now +60 \(command\)' thinvol config --explain $key --config $key=60
says changed tvchange --unset $key --unset events.hook vg0/pool0
[ "$(value $key vg0/pool0)" = '80 group' ]
says changed tvchange --unset $key vg0
[ "$(value $key vg0/pool0)" = '90 file' ]
rm "$file"

# Defaults of new pools.
says changed tvchange --setting allocation.discards=nopassdown vg0
tvcreate -L 16m -T vg0/third --config allocation.error_when_full=y >/dev/null
[ "$(field discards vg0/third) $(field lv_when_full vg0/third)" = 'nopassdown error' ]
tvcreate -L 16m -T vg0/fourth --discards ignore >/dev/null
[ "$(field discards vg0/fourth)" = ignore ]

# Some are for a volume alone.
tvcreate -V 16m -T vg0/other -n v >/dev/null
limit=nbd.iops_maximum
says changed tvchange --setting $limit=7 vg0/other
[ "$(value $limit vg0/v) $(field nbd_iops_maximum vg0/v)" = '7 pool 7' ]
says changed tvchange --setting $limit=5 vg0/v
[ "$(value $limit vg0/v) $(field nbd_iops_maximum vg0/v)" = '5 volume 5' ]
[ "$(value $limit vg0/other) $(field nbd_iops_maximum vg0/other)" = '7 pool 7' ]
says changed tvchange --unset $limit vg0/v
[ "$(value $limit vg0/v)" = '7 pool' ]
fails 5 'can only be set in: thinvol.toml, group, pool$' tvchange --setting $key=70 vg0/v
fails 3 'is not of the form|a rule is WHO=RIGHT' tvchange --setting 'nbd.access=root=rw' vg0/v

# What is wrong is named, with the way out.
fails 3 'no setting autoextend.data_treshold; the nearest is autoextend.data_threshold' \
  tvchange --setting autoextend.data_treshold=70 vg0
fails 3 'a number from 50 to 100' tvchange --setting $key=20 vg0
fails 3 'of the form section.name=value' tvs --config $key
fails 3 'true or false' tvs --config allocation.zero=perhaps
fails 5 'can only be set in: thinvol.toml' tvchange --setting activation.idle_timeout=5 vg0
fails 5 'can only be set in: thinvol.toml, group' tvchange --setting allocation.zero=n vg0/pool0
fails 3 'the nearest is events.hook' thinvol config --explain events.hok
cat > "$file" <<'TOML'
[autoextend]
data_percent = "x"
data_maximum = "10 parsecs"
[warnings]
levels = [80, 101]
[allocation]
discards = "perhaps"
zeros = true
TOML
status=0; thinvol config --validate 2>err || status=$?
if [ $status != 5 ] || [ "$(wc -l < err)" != 5 ]; then fail "validate: $status $(cat err)"; fi
for wanted in ':2: autoextend.data_percent: wanted is a number' ':3: .*a size with its unit' \
  ':5: warnings.levels is 101' ':7: .*one of passdown' ':8: .*nearest is allocation.zero'; do
  grep -q "thinvol.toml$wanted" err || fail "validate did not say $wanted: $(cat err)"
done
fails 5 'thinvol.toml:[2-8]: ' tvcreate -L 16m -T vg0/fifth
fails 5 'Failed to find' tvs vg0/fifth
tvs vg0/pool0 >/dev/null
echo '[autoextend' > "$file"
fails 5 'thinvol.toml:1: ' thinvol config
echo '' > "$file"; chmod 666 "$file"
fails 5 'can be written by others' thinvol config
chmod 600 "$file"
fails 5 'is not there' thinvol config --validate nowhere.toml

# What is stored goes with the pool, and with the group.
says changed tvchange --setting $key=70 vg0/pool0
tvremove -y vg0/pool0 >/dev/null
tvcreate -L 32m -T vg0/pool0 >/dev/null
[ "$(value $key vg0/pool0)" = '100 default' ]
says changed tvchange --setting $key=70 vg0
tvrename vg0/pool0 vg0/renamed >/dev/null
[ "$(value $key vg0/renamed)" = '70 group' ]
