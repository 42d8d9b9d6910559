#!/usr/bin/env bash
# Goal: a thin volume over a file shows it where it has nothing of its own; the file is never
#       written, and one that was changed is not shown.
. "$(dirname "$0")/lib.sh"

truncate -s 1G pv.img
tvgcreate vg0 pv.img >/dev/null
tvcreate -L 256m -T vg0/pool0 >/dev/null
tvcreate -L 64m -T vg0/other >/dev/null
tvcreate -V 16m -T vg0/pool0 -n thin >/dev/null 2>&1
head -c 10485760 /dev/urandom > golden.img
cp golden.img expected.img
sum=$(sha256sum < golden.img)

fails 5 'No such file|not found|Failed to find' tvcreate -s --thinpool vg0/pool0 -n v vg0/none
printf x > odd.img
fails 5 'no whole number of sectors' tvcreate -s --thinpool vg0/pool0 -n v odd.img
fails 5 'tvexport vg0/thin FILE makes one' tvcreate -s --thinpool vg0/other -n v vg0/thin
# Another pool's volume becomes an external origin by way of a file.
tvimport golden.img vg0/base -T vg0/pool0 >/dev/null 2>&1
tvexport vg0/base base.img >/dev/null
tvcreate -s --thinpool vg0/other -n clone base.img >/dev/null
tvchange -ay vg0/clone
cmp -n 10485760 golden.img <(head_of "$(uri vg0/clone)" 10485760)
tvchange -an vg0/clone
tvremove -y vg0/clone vg0/base >/dev/null
says 'created over .*/golden.img' tvcreate -s --thinpool vg0/pool0 -n v golden.img
tvcreate -s --thinpool vg0/other -n w golden.img >/dev/null
[ "$(field lv_size vg0/v)" = 12.00m ]

tvchange -ay vg0/v vg0/w
cmp -n 10485760 golden.img <(head_of "$(uri vg0/v)" 10485760)
[ "$(head_of "$(uri vg0/v)" 12582912 | tail -c 2097152 | tr -d '\0' | wc -c)" = 0 ]
# No block of its own, but no hole either, as far as the file goes.
[ "$(nbdinfo --map "$(uri vg0/v)" | awk '{print $1, $2, $3}' | xargs)" = \
  '0 10485760 0 10485760 2097152 3' ]
[ "$(nbdinfo --map=x-thinvol:sharing "$(uri vg0/v)" | awk '{print $1, $2, $3}' | xargs)" = \
  '0 10485760 5 10485760 2097152 1' ]
# Written in the middle of a block: the rest of it is the file's. A snapshot shows the file too.
/usr/bin/python3 - "$(uri vg0/v)" expected.img <<'PY'
import nbd, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
with open(sys.argv[2], "r+b") as f:
    for at in (100 * 512, 5 << 20, (10 << 20) - 512):
        h.pwrite(b"w" * 512, at)
        f.seek(at)
        f.write(b"w" * 512)
h.flush()
PY
cmp -n 10485760 expected.img <(head_of "$(uri vg0/v)" 10485760)
tvsnapshot -kn -n s vg0/v >/dev/null
tvchange -ay vg0/s
cmp -n 10485760 expected.img <(head_of "$(uri vg0/s)" 10485760)
cmp -n 10485760 golden.img <(head_of "$(uri vg0/w)" 10485760)
fails 5 'locked by another process' tvgcreate -y vg1 golden.img
kill -9 "$(field server_pid vg0/v)"
tvchange -ay vg0/v
cmp -n 10485760 expected.img <(head_of "$(uri vg0/v)" 10485760)
fails 5 'has an external origin' tvreduce -y -L 4m vg0/v
tvchange -an vg0
fails 5 'has an external origin' tvchange --lend kernel vg0/pool0
says 'replaced origin' tvconvert --merge vg0/s
[ "$(sha256sum < golden.img)" = "$sum" ]

mv golden.img away.img
fails 5 'golden.img: No such file' tvchange -ay vg0/v
truncate -s 5M golden.img
fails 5 'must not change; bring the right one back' tvchange -ay vg0/v
mv away.img golden.img
tvchange -ay vg0/v
cmp -n 10485760 expected.img <(head_of "$(uri vg0/v)" 10485760)
