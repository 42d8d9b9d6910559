#include "commands/description.h"

#include <algorithm>
#include <array>
#include <utility>

namespace thinvol {
namespace {

using Described = std::pair<std::string_view, std::string_view>;

constexpr std::array descriptions{
    Described{
        "config",
        R"(What a setting is, and where it comes from: --config, the volume, its pool, its group,
thinvol.toml, or the default. --explain says what one is for, --template writes a file with all
of them as comments, --validate checks a file and names what is not understood.)"},
    Described{"events",
              R"(The server of a pool in use tells what happens to it: changes of its mode, levels
of data and metadata that were passed, room that came back. Events are numbered from the start of
the server; with --follow the command waits for more until the server ends.)"},
    Described{"help", R"(Without a command, all of them are listed.)"},
    Described{"man",
              R"(The text of a manual page, as troff; what the build installs is made by it.)"},
    Described{"pool",
              R"(For who has two bare devices in place of a volume group: a pool's metadata and its
data, as the kernel's thin-pool target takes them. Thin volumes have numbers, messages are the
kernel's. Nothing is recorded in a catalog.)"},
    Described{"tvchange",
              R"(Activation exports a volume by NBD: the pool's server is started with its first
active volume and ends with its last. A volume that is flagged to be skipped, as snapshots are, is
activated only with -K.

Settings of pools take effect at once, also in use; except that discards begin or cease to be
ignored only while no volume of the pool is active.

With --refresh the program as it is installed now takes the place of running servers, of all pools
of a group, or of all: after an upgrade, say. Clients see a pause of some hundred milliseconds;
only those with TLS have to connect again. Where requests wait for space, or a volume is being
imported or moved, or is a block device, the server stays as it is and the command says so.

With --export a volume is reached in another way, from then on too: ublk and nbd-kernel make it a
block device of this host, with a link below /dev/thinvol, and want root and that driver in the
kernel; ublk also goes without root, where root lets others open /dev/ublk-control. nbd,ublk is
both, auto is ublk where the kernel has it and else nbd. A device that is
mounted or open is never taken away: -an says who uses it. What goes by NBD and by the device at
once is one volume, but the kernel keeps blocks of a device in memory, and shows them to who reads
there without O_DIRECT.

A pool that is lent belongs to the kernel: tvdmtable prints how to activate it there, and nothing
here touches it until --return, which wants a decision for each thin id that is new or gone.)"},
    Described{"tvcheck",
              R"(Everything is counted anew from the mappings: reference counts of data and metadata
blocks, mapped blocks of each volume, keys and their order. The pool may be in use: what was durable
at one moment is checked. The exit status is 1 where damage was found.)"},
    Described{"tvconvert",
              R"(With --merge the origin gets the snapshot's contents and the snapshot is gone;
while a client has one of the two open that waits until neither is in use, or is called off by
--cancelmerge. --keep leaves what the origin was as a snapshot.

With --repair the pool's metadata are written anew to the group's spare from what can be
reached; with --swapmetadata they are exchanged with those that were kept.)"},
    Described{"tvcreate",
              R"(With -L and -T VG/Pool a thin pool is made, with -V and -T VG/Pool a thin volume in
it, with all of them both. A volume takes space from its pool as it is written, in chunks; the sum
of all volumes may be larger than the pool, which is warned of.

Unlike lvcreate, the new volume is not active unless -ay is given: activation starts a server.)"},
    Described{
        "tvdelta",
        R"(For each range of the two volumes: whether both map the same blocks, different ones,
or only one of them maps any. Two snapshots of one volume differ where it was written in
between.)"},
    Described{"tvdisplay", R"(The same as tvs reports, a line for each field.)"},
    Described{"tvdmtable",
              R"(The tables are for dmsetup create, in their order, and have LVM's names. Where a
physical volume is a file, --map says which device stands for it there.)"},
    Described{"tvdump",
              R"(As thin_dump does: xml has each volume's mappings, xml-shared writes once what
volumes share, raw copies the blocks of the metadata device that are in use. The pool may be in use:
what was durable at one moment is written.)"},
    Described{"tvexport",
              R"(The image has holes where the volume maps nothing; a pipe gets zeroes there. It has
its name when all of it is durable, not before. A volume that is active is exported as of one
instant, from a snapshot that goes afterwards. Formats other than raw are written by QEMU's
tools.)"},
    Described{"tvextend",
              R"(A volume's new space is unmapped and reads as zeroes. A pool takes extents from its
group; writes that wait for room in a full pool go on. Both may be in use.

With -r the file system that is on the volume's block device grows too: ext2, ext3 and ext4 by
resize2fs, mounted or not, XFS by xfs_growfs. An inactive volume is activated for the time of that,
with a device (a command that is killed may leave it so); one that is active without a device is
refused, for who reaches it by NBD has its file system. What cannot be is refused before anything
changes. With the size that the volume has already, only the file system follows.)"},
    Described{"tvgcfgbackup",
              R"(Every change of a group is kept by itself too, for thirty days and at most ten
files; this writes the state of now to a file of one's own.)"},
    Described{"tvgcfgrestore",
              R"(The catalog's rows of the group become those of a backup. What pools hold is
not changed: volumes made since are in their pool and not in the catalog then, which
tvgreconcile settles.)"},
    Described{"tvgchange",
              R"(Activation is of all volumes of the group that are not skipped. The allocation
policy says where new extents are taken: contiguous, cling, or anywhere.)"},
    Described{"tvgck",
              R"(Labels, logs, segments and the catalog are compared; what is missing, shrunk,
copied or foreign is named. Nothing is changed, but that a log without a first record, as a killed
command leaves it, gets one. The exit status is 5 where something is wrong.)"},
    Described{"tvgcreate",
              R"(Files and block devices become physical volumes: each gets a label, and the first
two a copy of the group's records. What was on them before is lost; a file system or another's label
is asked about.)"},
    Described{"tvgdisplay", R"(The same as tvgs reports, a line for each field.)"},
    Described{"tvgexport",
              R"(The group is left alone here until tvgimport, on this or on another machine.)"},
    Described{"tvgextend", R"(Files and block devices are made physical volumes of the group.)"},
    Described{"tvgimport",
              R"(A group that was exported is used again; with physical volumes as operands, one
of another environment, from what is recorded on them.)"},
    Described{"tvgreconcile",
              R"(Where the log on a physical volume is newer than the catalog, an old catalog
was brought back: it gets the newer rows. Where a pool and the catalog disagree, thin ids that
only the pool has are adopted or removed, and volumes that only the catalog has are forgotten,
as the options say. --test only shows what differs.)"},
    Described{
        "tvgreduce",
        R"(Only a physical volume that holds nothing leaves its group, and one has to stay. Its
label is wiped. --removemissing takes those out that are gone; a pool with extents on one
of them is named, and given up with all its volumes by --force only.)"},
    Described{"tvgremove",
              R"(With all pools and volumes in it, after asking. The labels of its physical volumes
are wiped.)"},
    Described{"tvgrename", R"(Volumes in use stay so; new clients find them by the new name.)"},
    Described{"tvgs",
              R"(A line for each group. -o help lists the fields, -S help says how rows are
selected.)"},
    Described{"tvgscan",
              R"(With --rebuild a catalog that was lost or damaged is made anew from what is
recorded on the physical volumes; a damaged one is kept beside it. Groups that are known already
stay as they are.)"},
    Described{"tvimport",
              R"(With -T a volume is made, as large as the image or as -V says. Without, the content
of one that is there is replaced, at once and as a whole when all of the new one is durable: until
then the pool needs room for both. Blocks of zeroes take no space. What an import leaves that is
killed, NAME_importing, the next one takes away.

An image is raw unless --format says otherwise; the others are read by QEMU's tools. One that names
other files, as an overlay does its backing file, is refused unless --allow-backing is given: it
may name any file of yours.)"},
    Described{
        "tvls",
        R"(As thin_ls does, exactly: what is exclusive is what the removal of that volume would
free.)"},
    Described{"tvmetadatapack",
              R"(Blocks that hold metadata are kept, damaged ones too, all others left out: small
enough to be sent to somebody who looks at it. No data of volumes is in it.)"},
    Described{"tvmetadatasize",
              R"(As thin_metadata_size does: for so many data blocks, and so many volumes that map
all of them at worst.)"},
    Described{"tvmetadataunpack",
              R"(The image has the size and the blocks of the metadata device that was packed.)"},
    Described{"tvpvchange", R"(No new extents are taken of a physical volume with -xn.)"},
    Described{"tvpvcreate",
              R"(A label is written, so that the file or device can be taken into a group later;
tvgcreate and tvgextend do that by themselves too.)"},
    Described{"tvpvdisplay", R"(The same as tvpvs reports, a line for each field.)"},
    Described{"tvpvmove",
              R"(Extents are copied in pieces and then switched in one transaction of the
catalog; a move that was interrupted goes on where it was when the command is given again,
or without operands, and is ended by --abort: what was moved stays. A pool in use moves its
extents itself, while its clients go on.)"},
    Described{"tvpvremove", R"(The label goes; what else is there stays.)"},
    Described{"tvpvresize",
              R"(A file or device that grew gives its group more extents; one that is to shrink
must be free at its end.)"},
    Described{"tvpvs",
              R"(A line for each physical volume. -o help lists the fields, -S help says how
rows are selected.)"},
    Described{"tvreduce",
              R"(What lies behind the new end is unmapped and given back to the pool; growing again
shows zeroes. What is stored there is lost, so it is asked about. Pools do not shrink.

With -r the file system shrinks first, then the volume, and nothing is lost or asked: ext2, ext3 and
ext4, checked by e2fsck -f, which must not be mounted. XFS cannot shrink. If resize2fs fails, or the
command is killed, the volume stays as it was. An inactive volume is activated for the time of
that, with a device.)"},
    Described{"tvremove",
              R"(Blocks that nothing else maps go back to the pool. Snapshots of a volume that is
removed stay, without an origin. A pool goes with all volumes in it. A volume that a client has open
is refused.

With -S everything that matches is removed, among the operands or everywhere; tvs with the same -S
shows what that is, and tvs -o selected_freed what it would free.)"},
    Described{"tvrename",
              R"(Clients that are connected stay; new ones find the new name. Both "tvrename VG/Old
New" and "tvrename VG Old New" are understood.)"},
    Described{"tvrepair",
              R"(Every block that is still there is looked at once. Where the superblock and its
trees are whole, these are used; otherwise the newest trees that agree with each other. Reference
counts are made anew. Into a pool, the metadata go by way of the group's spare, and are compared
with the catalog before they take the place of the old ones, which stay as POOL_meta0.)"},
    Described{"tvresize", R"(As tvextend or tvreduce, whichever the new size asks for.)"},
    Described{
        "tvrestore",
        R"(As thin_restore does, from either form of XML. Into a pool, the metadata go by way of
the group's spare, and are compared with the catalog before they take the place of the old ones,
which become the spare.)"},
    Described{"tvrmap", R"(As thin_rmap does: which block of which volume is stored there.)"},
    Described{"tvs",
              R"(A line for each volume and pool. Fields that only a server knows, such as
data_percent, are empty while a volume is not active.

lv_exclusive is what the removal of that volume alone would free; selected_freed what the removal of
all volumes of the report would free in their pool, which is more where they share blocks that
nothing else maps. Both read the pool's metadata, and take the time that this takes.

-o help lists the fields, -S help says how rows are selected.)"},
    Described{"tvscan", R"(Active ones and others, a line each.)"},
    Described{"tvsnapshot",
              R"(A snapshot is a thin volume of its own that shares all blocks with its origin until
either is written. It is made at one instant, of what was written so far, in use or not. A file
system that is mounted on this host from the volume's block device is frozen for that instant, so
that the snapshot is as if it had been unmounted. Where a guest has the file system, the settings
hooks.freeze and hooks.thaw name programs that have it do the same; they are run by this command, as
its user. All volumes of --group are frozen first, the thaw follows when the snapshots are made, or
this command was killed. --no-freeze leaves all that out.

The snapshot is flagged to be skipped by activation: its file system has the same identity as the
origin's. With --new-uuid it has one of its own, and can be mounted beside it: the snapshot is
activated for a moment as a block device, its journal is replayed (XFS is mounted for that, where
nobody else sees it), and tune2fs or xfs_admin changes it. If that fails, there is no snapshot.)"},
    Described{"tvtrim",
              R"(Tells the devices under a pool which of its blocks are free, as fstrim does for a
file system. A file gets holes there.)"},
    Described{"version", R"(Of the program, and of the format that metadata are written in.)"},
};

}  // namespace

std::span<const Described> all_descriptions() { return descriptions; }

std::string_view description_of(const CommandSpec& spec) {
    const auto* const it = std::find_if(descriptions.begin(), descriptions.end(),
                                        [&](const Described& d) { return d.first == spec.name; });
    return it == descriptions.end() ? std::string_view() : it->second;
}

}  // namespace thinvol
