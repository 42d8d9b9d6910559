// The text of thinvol(7).
#include "commands/description.h"

namespace thinvol {

std::string_view overview_text() {
    return R"text(= Description

Thinvol keeps thin volumes in userspace: pools that are larger on paper than on disk, snapshots that
cost nothing to take, resizing in use. It needs neither root nor a kernel module. Volumes are
reached by NBD.

A volume group is made of physical volumes, which are files or block devices, cut into extents. A
thin pool takes extents of its group, for data and for metadata. Thin volumes take chunks of their
pool as they are written; a snapshot is a thin volume that begins with all of its origin's chunks.
The commands have the names and options of LVM's, with tv in front: lvcreate is tvcreate.

= Commands

= First Steps

A group in a file, a pool in it, and a volume of 4 GiB that takes what is written:

    truncate -s 2G pv0.img
    tvgcreate vg0 pv0.img
    tvcreate -L 1g -T vg0/pool0
    tvcreate -V 4g -T vg0/pool0 -n root
    tvchange -ay vg0/root

An active volume is exported by the server of its pool; tvs tells where:

    nbdcopy disk.img "$(tvs --noheadings -o uri vg0/root | xargs)"
    uri=$(tvs --noheadings -o uri vg0/root | xargs)
    qemu-system-x86_64 -drive "file=$uri,format=raw"

Before an upgrade a snapshot is taken, in use or not. Afterwards the snapshot shows what was there;
snapshots are activated with -K only:

    tvsnapshot -n before vg0/root
    tvchange -ay -K vg0/before

At the end of the day everything is deactivated, and the servers end:

    tvchange -an vg0

= When A Pool Is Full

Writes wait for room, a minute unless --nospacetimeout says otherwise, or fail at once with
--errorwhenfull y. Room comes from the group, or from another physical volume:

    tvextend -L +512m vg0/pool0
    tvgextend vg0 pv1.img

or from volumes that nobody needs any more. What a removal would free is told before:

    tvs -o +lv_exclusive,selected_freed -S 'lv_role=thinsnapshot && lv_time until "2 weeks ago"'
    tvremove -S 'lv_role=thinsnapshot && lv_time until "2 weeks ago"'

thinvol events --follow tells of pools that fill, and that are back.

= Reports

tvs, tvgs and tvpvs show fields, each a column. -o names them: alone, added to the usual ones with
+, left out with -, dropped where they are empty with #. -O sorts, -S selects. For scripts:

    tvs --noheadings --units b --nosuffix -o lv_name,lv_size
    tvs --reportformat json_std -o lv_full_name,lv_size,data_percent
    eval "$(tvs --nameprefixes -o lv_name,uri vg0/root)"

In json_std numbers are numbers, sizes are bytes and lists are arrays. tvs --tree draws which volume
is a snapshot of which.

= Selection

A field, a comparison and a value; joined by && (or a comma), || (or #), ! and parentheses. Texts
and lists know =, != and the regular expressions =~ and !~; numbers, sizes, percents and times are
compared by < <= > >= too, times also by since, after, until and before. A list equals {a,b} if it
has both, [a,b] if it has just these. What is not known, such as the use of a volume that is not
active, matches nothing. -S help lists the fields.

    tvs -S 'lv_tags={nightly} && data_percent>80'
    tvs -S 'lv_name=~"^db-[0-9]+$" || lv_size>=1t'
    tvchange -an -S 'pool_lv=pool0'

= When Something Breaks

A command or a server that is killed leaves nothing half done: the next command goes on where it
was. tvcheck counts a pool's metadata anew, in use or not; tvrepair makes new metadata of what
damaged ones still hold. tvmetadatapack packs them for somebody else to look at.

= To The Kernel And Back

Pools are in the format of the kernel's dm-thin. One that is lent is the kernel's until it is taken
back:

    tvchange --lend kernel vg0/pool0
    tvdmtable vg0/pool0
    tvchange --return vg0/pool0

= Sizes

A number with a letter: b for bytes, s for sectors of 512 bytes, k, m, g, t, p, e for powers of
1024. Without one, MiB are meant, of chunks KiB.

= Files

$XDG_STATE_HOME/thinvol, /var/lib/thinvol for root: the catalog, and locks. Elsewhere with
THINVOL_STATE_DIR.

$XDG_RUNTIME_DIR/thinvol, /run/thinvol for root: sockets and logs of servers. Elsewhere with
THINVOL_RUN_DIR.

= Exit Status

0: done. 2: no such command. 3: the command line is wrong. 4: the environment is not usable. 5: it
failed, for one of its operands at least.

= See Also

lvm(8), lvmthin(7), nbdcopy(1), thin_check(8)
)text";
}

}  // namespace thinvol
