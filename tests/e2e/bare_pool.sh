#!/usr/bin/env bash
# Goal: a pool on bare devices takes the kernel target's messages and answers as it does, its
# volumes hold what is written, and thin_check agrees at each step.
. "$(dirname "$0")/lib.sh"

truncate -s 2M md
truncate -s 64M data
pool() { local action=$1; shift; thinvol pool "$action" md data "$@"; }
sound() { thin_check -q md; }

fails 5 'No such file' thinvol pool status nowhere data
fails 5 'Bad magic|magic|checksum' pool status
pool create
[ "$(pool status)" = "0 60/512 0/1024 - rw discard_passdown queue_if_no_space - 128" ]
[ "$(pool status -f error_if_no_space -f no_discard_passdown -f read_only)" = \
  "0 60/512 0/1024 - ro no_discard_passdown error_if_no_space - 128" ]
fails 5 'not all zeroes' pool create
fails 3 'is not one of' pool paint
fails 3 'is not one of' pool status -f fast

pool message create_thin 0
pool message CREATE_THIN 16777215
fails 5 'File exists' pool message create_thin 0
fails 5 'Invalid argument.*highest' pool message create_thin 16777216
fails 5 'Invalid argument' pool message create_thin
fails 5 'Invalid argument' pool message create_thin 1 2
fails 5 'Invalid argument' pool message bogus
fails 5 'No data available' pool message create_snap 3 9
fails 5 'No data available' pool message delete 9
fails 5 'Invalid argument' pool message set_transaction_id 7 8
pool message set_transaction_id 0 1
fails 5 'Operation not supported' pool message create_thin 2 -f read_only
sound

head -c 300032 /dev/urandom > in
pool write 0 --offset 65536b < in
cmp in <(pool read 0 --offset 65536b -L 300032b)
[ "$(pool status 0)" = "640 767" ]
[ "$(pool status 16777215)" = "0 -" ]
pool message create_snap 1 0
head -c 4096 /dev/zero | tr '\0' x > page
pool write 0 --offset 128k < page
cmp in <(pool read 1 --offset 64k -L 300032b)
cmp page <(pool read 0 --offset 128k -L 4k)
pool discard 1 --offset 64k -L 64k
cmp <(head -c 65536 /dev/zero) <(pool read 1 --offset 64k -L 64k)
pool zero 0 --offset 64k -L 4k
cmp <(head -c 4096 /dev/zero) <(pool read 0 --offset 64k -L 4k)
sound

# A metadata snapshot stays what it was; thin_dump reads it.
pool message reserve_metadata_snap
fails 5 'Device or resource busy' pool message reserve_metadata_snap
thin_dump -m md > before.xml
tvdump -o live.xml --device md
held=$(pool status | cut -d' ' -f4)
[ "$(pool status --json | jq .metadata_snapshot)" = "$held" ]
pool write 1 --offset 1m < in
pool message delete 0
pool message create_snap 4 1
sound
thin_dump -m md | cmp - before.xml
tvdump -m --device md | grep '<device\|mapping' | same - <(grep '<device\|mapping' live.xml)
tvls -m -o DEV,MAPPED_BLOCKS --no-headers --device md | xargs -n 2 |
  same - <(printf '0 5\n1 4\n16777215 0\n')
fails 3 'a metadata snapshot does not have' tvls -m -o dev,exclusive --device md
tvdelta -m --device md --thin1 0 --thin2 1 | grep -c '<different' | same - <(echo 1)
fails 5 'no volume has thin id 0' tvdump --dev-id 0 --device md
pool message release_metadata_snap
fails 5 'there is no metadata snapshot' tvdump -m --device md
fails 5 'Invalid argument' pool message release_metadata_snap
sound
[ "$(pool status | cut -d' ' -f4)" = - ]

# Both devices grow, and are then as large as they are.
truncate -s 4M md
truncate -s 128M data
pool extend
[[ "$(pool status)" == *"/1024 "*"/2048 - rw "* ]] || fail "after growing: $(pool status)"
pool write 4 --offset 10m < in
cmp in <(pool read 4 --offset 10m -L 300032b)
sound
# Full: writes that need room fail, others go on.
truncate -s 1M small.data
thinvol pool create md2 small.data 2>/dev/null && fail "made a pool on nothing"
truncate -s 1M md2
thinvol pool create md2 small.data
thinvol pool message md2 small.data create_thin 0
head -c 1048576 /dev/urandom | thinvol pool write md2 small.data 0
fails 5 'No space left on device' bash -c 'thinvol pool write md2 small.data 0 --offset 2m < in'
thinvol pool write md2 small.data 0 < page
thin_check -q md2
