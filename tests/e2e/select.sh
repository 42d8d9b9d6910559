#!/usr/bin/env bash
# Goal: -S means the same volumes on reports and on what changes things, and what it frees was said
# before; every form of a report holds the same.
. "$(dirname "$0")/lib.sh"

truncate -s 512M pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 128m -T vg0/pool0 >/dev/null
tvcreate -L 32m -T vg0/pool1 >/dev/null
for v in root var; do tvcreate -V 64m -T vg0/pool0 -n $v >/dev/null 2>&1; done
tvcreate -V 32m -T vg0/pool1 -n other >/dev/null
tvchange -ay vg0/root
qemu-io -f raw -c 'write -q -P 1 0 4M' "$(uri vg0/root)"
for s in s1 s2; do tvsnapshot -n $s vg0/root >/dev/null; done
qemu-io -f raw -c 'write -q -P 2 0 2M' "$(uri vg0/root)"

names() { tvs --noheadings -o lv_name "$@" | xargs; }
same_words() { [ "$1" = "$2" ] || fail "'$1', not '$2'"; }
same_words "$(names -S 'lv_role=thinsnapshot')" 's1 s2'
same_words "$(names -S 'lv_active=active && lv_name!=pool0')" root
same_words "$(names -S 'data_percent>5' vg0)" root
same_words "$(names -S 'lv_size>=64m && !(lv_name=~^s || lv_layout=pool)')" 'root var'
same_words "$(names -S 'lv_exclusive>1m')" root
# Nobody alone holds what the snapshots share; both together hold what root has written anew.
same_words "$(tvs --noheadings --units m -o lv_exclusive,selected_freed -S 'lv_role=thinsnapshot' |
  xargs)" '0.00m 2.00m 0.00m 2.00m'
same_words "$(tvs --noheadings -o pv_count,vg_extent_count -S 'lv_name=root' | xargs)" '1 127'
says '^  lv_size +size|lv_size  ' tvs -S help
fails 5 'it is empty' tvremove -y -S ''
fails 5 'did you mean "lv_name"' tvs -S 'lv_nam=x'
fails 5 'lv_size is a size' tvremove -y -S 'lv_size=~x'
fails 5 'at character' tvchange -an -S 'lv_name=root lv_name=var'

# Forms.
tvs --reportformat json_std -o lv_name,lv_size,lv_tags,lv_role,zero,lv_merging vg0/s1 >out.json
jq -e '.report[0].lv[0] | .lv_size == 67108864 and .lv_tags == [] and .lv_merging == 0 and
  (.lv_role | index("thinsnapshot"))' out.json >/dev/null || fail "$(cat out.json)"
eval "$(tvs --nameprefixes --noheadings -o lv_name,lv_size --units b --nosuffix vg0/s1)"
says '^  LVM2_LV_NAME=root$' tvs -o lv_name --nameprefixes --unquoted vg0/root
same_words "$LVM2_LV_NAME $LVM2_LV_SIZE" 's1 67108864'
tvs -o all --reportformat json | jq -e '.report[0].lv | length == 7' >/dev/null
same_words "$(tvs --tree --noheadings -o lv_name vg0 | tr -d '\n ')" \
  'pool0|-root||-s1|`-s2`-varpool1`-other'

# What changes things.
says 'vg0/var changed' tvchange -pr -S 'lv_name=var && pool_lv=pool0'
same_words "$(names -S 'lv_permissions=ro')" var
says 'vg0/pool1 changed' tvchange --errorwhenfull y -S 'lv_name=pool1' vg0
same_words "$(names -S 'lv_when_full=error')" pool1
tvchange -an -S 'lv_active=active && pool_lv!=""'
same_words "$(names -S 'lv_active=active')" ''
# Nothing selected changes nothing, and says so.
tvremove -y -S 'lv_name=nobody' 2>err
grep -q 'nothing is selected' err
says '"s2" successfully removed' tvremove -y -S 'lv_role=thinsnapshot' vg0
same_words "$(names vg0)" 'other pool0 pool1 root var'
fails 5 'not found' tvremove -y -S 'lv_name=root' nope
says '"pool1" successfully removed' tvremove -y -S 'lv_name=pool1 || lv_name=other'
same_words "$(names vg0)" 'pool0 root var'

# A tag that nothing carries means nothing, not everything.
[ -z "$(tvs @none)$(tvgs @none)$(tvpvs @none)" ]
