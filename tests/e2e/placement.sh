#!/usr/bin/env bash
# Goal: extents go where the group's policy, the tags of its physical volumes and the user say.
. "$(dirname "$0")/lib.sh"

truncate -s 101M pv0.img pv1.img pv2.img
tvgcreate -s 1m vg0 pv0.img pv1.img pv2.img >/dev/null
used() { tvpvs --noheadings --units m --nosuffix -o pv_used "$work/pv$1.img" | xargs; }
# Pool metadata and the spare apart from data.
tvpvchange --addtag metadata pv2.img >/dev/null
tvcreate -L 120m --poolmetadatasize 4m -T vg0/pool0 >/dev/null
[ "$(used 2)" = 8.00 ] || fail "metadata: $(tvpvs -o +pv_used)"
tvextend --poolmetadatasize +4m vg0/pool0 >/dev/null
[ "$(used 2)" = 16.00 ] || fail "the spare did not grow along: $(tvpvs -o +pv_used)"
fails 5 'insufficient free space: 90 extents needed, but only 80' tvextend -L +90m vg0/pool0
tvextend -L +90m vg0/pool0 pv0.img pv1.img pv2.img >/dev/null
tvremove -y vg0/pool0 >/dev/null
tvpvchange --deltag metadata pv2.img >/dev/null

tvgchange --alloc contiguous vg0 >/dev/null
fails 5 '150 contiguous extents needed.*tvgchange --alloc normal' tvcreate -L 150m -T vg0/pool0
tvcreate -L 60m --poolmetadatasize 2m --poolmetadataspare n -T vg0/pool0 pv0.img >/dev/null
tvextend -L +10m vg0/pool0 >/dev/null
[ "$(used 0)" = 72.00 ] || fail "$(tvpvs -o +pv_used)"
fails 5 'contiguous extents needed' tvextend -L +60m vg0/pool0
tvgchange --alloc cling vg0 >/dev/null
fails 5 'under allocation policy cling' tvextend -L +60m vg0/pool0
tvgchange --alloc normal vg0 >/dev/null
tvextend -L +60m vg0/pool0 >/dev/null
judge vg0/pool0

# No new extents where that is said.
for n in 0 1 2; do tvpvchange -x n "pv$n.img" >/dev/null; done
fails 5 'only 0 available' tvextend -L +1m vg0/pool0
tvpvchange -x y pv2.img >/dev/null
before=$(used 1)
tvextend -L +1m vg0/pool0 >/dev/null
[ "$(used 1)" = "$before" ] || fail "extents of a physical volume that is not allocatable"
[ "$(tvgck)" = "" ]
judge vg0/pool0

# All that is free for data: without what is for metadata only, which find their room there.
truncate -s 101M pv3.img pv4.img pv5.img
tvgcreate -s 1m vg1 pv3.img pv4.img pv5.img >/dev/null
tvpvchange --addtag metadata pv5.img >/dev/null
tvcreate -l 100%FREE --poolmetadatasize 4m -T vg1/pool0 >/dev/null
[ "$(field lv_size vg1/pool0)" = 200.00m ] || fail "$(field lv_size vg1/pool0)"
[ "$(used 5)" = 8.00 ] || fail "metadata: $(tvpvs -o +pv_used)"
tvremove -y vg1/pool0 >/dev/null
tvcreate -l 50%FREE --poolmetadatasize 4m -T vg1/pool0 >/dev/null
[ "$(field lv_size vg1/pool0)" = 100.00m ] || fail "$(field lv_size vg1/pool0)"
tvextend -l +100%FREE vg1/pool0 >/dev/null
[ "$(field lv_size vg1/pool0)" = 200.00m ] || fail "$(field lv_size vg1/pool0)"
