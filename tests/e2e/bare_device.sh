#!/usr/bin/env bash
# Goal: the metadata tools read a bare metadata device that another system's tools wrote, and say
#       clearly what is none.
. "$(dirname "$0")/lib.sh"

sed 's/ [.][.][.]$/ data_block_size="128" nr_data_blocks="256">/' > pool.xml <<'XML'
<superblock uuid="" time="1" transaction="7" flags="0" version="2" ...
  <device dev_id="0" mapped_blocks="3" transaction="0" creation_time="0" snap_time="1">
    <single_mapping origin_block="0" data_block="0" time="0"/>
    <single_mapping origin_block="1" data_block="5" time="1"/>
    <single_mapping origin_block="2" data_block="2" time="0"/>
  </device>
  <device dev_id="2" mapped_blocks="3" transaction="0" creation_time="1" snap_time="1">
    <range_mapping origin_begin="0" data_begin="0" length="3" time="0"/>
  </device>
</superblock>
XML
truncate -s 4M md.img
thin_restore -q -i pool.xml -o md.img

says 'no damage found' tvcheck --device md.img
tvdump --device md.img | same - pool.xml
chmod 400 md.img
tvcheck --device md.img >/dev/null
chmod 600 md.img
tvdump --format raw -o copy.img --device md.img
thin_check -q copy.img

fails 3 'Please give VG/Pool or --device' tvcheck
fails 3 'not both' tvdump --device md.img vg0/pool0
fails 5 'No such file' tvcheck --device nothing
fails 5 'neither a regular file nor a block device' tvcheck --device /dev/null
fails 5 'neither a regular file nor a block device' tvdump --device .
: > empty
fails 5 'empty is no metadata device: it has 0 bytes' tvcheck --device empty
head -c 1M <(yes) > text
fails 1 'text: superblock: this is no thin-pool metadata: magic' tvcheck --device text
truncate -s 1M zeroes
fails 1 'zeroes: superblock: this is no thin-pool metadata: magic 0x0' tvcheck --device zeroes
printf '\xff' | dd of=md.img bs=1 seek=60 conv=notrunc status=none
fails 1 'md.img: superblock: checksum 0x[0-9a-f]{8}, expected' tvcheck --device md.img
