#!/usr/bin/env bash
# Goal: the main job, command by command, on plain files, with each result as promised.
. "$(dirname "$0")/lib.sh"

truncate -s 2G pv0.img pv1.img
says 'Volume group "vg0" successfully created' tvgcreate vg0 pv0.img
says 'Logical volume "pool0" created' tvcreate -L 1g -T vg0/pool0
tvcreate -V 4g -T vg0/pool0 -n root >out 2>err
grep -q 'Logical volume "root" created' out
grep -q 'WARNING: Sum of all thin volume sizes (4.00 GiB) exceeds' err
says 'Logical volume "v" created' tvcreate -L 512m -V 1g -T vg0/pool1 -n v
[ "$(tvs -a --noheadings -o lv_name | xargs)" = \
  '[lvol0_pmspare] pool0 [pool0_tdata] [pool0_tmeta] pool1 [pool1_tdata] [pool1_tmeta] root v' ]

tvchange -ay vg0/root
[ "$(field lv_attr vg0/root)" = Vwi-a-tz-- ]
[ "$(field lv_attr vg0/pool0)" = twi-aotz-- ]
[ "$(nbdinfo --size "$(uri vg0/root)")" = $((4 << 30)) ]
[ "$(qemu-img info --output=json "$(uri vg0/root)" | jq '."virtual-size"')" = $((4 << 30)) ]
fio --name=probe --ioengine=nbd --uri="$(uri vg0/root)" --rw=randread --size=1m --output=fio.log
head -c 20M /dev/urandom > first
nbdcopy --flush first "$(uri vg0/root)"
says 'created' tvsnapshot -n snap vg0/root
tvchange -ay vg0/snap 2>err
grep -q 'flagged to be skipped' err
[ -z "$(field uri vg0/snap)" ]
tvchange -ay -K vg0/snap
head -c 20M /dev/urandom > second
nbdcopy --flush second "$(uri vg0/root)"
head_of "$(uri vg0/snap)" $((20 << 20)) | same - first
head_of "$(uri vg0/root)" $((20 << 20)) | same - second

says 'successfully extended' tvgextend vg0 pv1.img
says 'from 1.00 GiB .* to 2.00 GiB' tvextend -L +1g vg0/pool0
says 'from 4.00 MiB .* to 12.00 MiB' tvextend --poolmetadatasize +8m vg0/pool0
says 'from 4.00 GiB .* to 6.00 GiB' tvextend -L 6g vg0/root
[ "$(nbdinfo --size "$(uri vg0/root)")" = $((6 << 30)) ]
says 'Renamed "snap" to "before"' tvrename vg0/snap vg0/before
head_of "$(uri vg0/before)" $((20 << 20)) | same - first
tvchange -an vg0/before
says 'successfully removed' tvremove -y vg0/before
judge vg0/pool0
head_of "$(uri vg0/root)" $((20 << 20)) | same - second

[ "$(tvs --reportformat json -o lv_name,thin_id,pool_lv |
  jq -r '.report[0].lv[] | select(.lv_name == "root") | .thin_id + .pool_lv')" = 0pool0 ]
tvs --reportformat json_std -o +uri,thin_id,lv_role | jq -e '.report[0].lv | length == 4' >/dev/null
tvgs --reportformat json | jq -e '.report[0].vg[0].pv_count == "2"' >/dev/null
tvpvs --reportformat json | jq -e '.report[0].pv | length == 2' >/dev/null

# Active or not, the dump is the same, and it is thin_dump's.
tvdump vg0/pool0 > active.xml
tvdump --format raw -o md.img vg0/pool0
thin_check -q md.img
flat_dump md.img | same - active.xml
tvchange -an vg0
[ -z "$(field lv_active vg0/pool0)" ]
tvdump vg0/pool0 | same - active.xml
# Restored by the distribution's tool and dumped again: the same mappings.
truncate -s 4M restored.img
thin_restore -q -i active.xml -o restored.img
thin_check -q restored.img
flat_dump restored.img | same - active.xml
judge vg0/pool0
judge vg0/pool1
left=$(find "$THINVOL_RUN_DIR" -type s)
[ -z "$left" ] || fail "sockets are left: $left"

says 'successfully removed' tvremove -y vg0/pool1
tvgremove -y vg0
[ -z "$(tvs)$(tvgs)$(tvpvs)" ]
says 'successfully created' tvgcreate again pv0.img pv1.img
