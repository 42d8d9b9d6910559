"""The kernel's log of all writes to a disk (dm-log-writes), and what was promised meanwhile.

On the disk are both physical volumes of a group and the file system with its catalog: one disk, so
that there is one order. (That the devices of a pool lose power apart is row S4.) A promise is a
mark in the log: from there on it holds, until a mark of the same name says otherwise.

    file:NAME:PATH@DIGEST,...   the file is at one of these paths with that content; - is absent
    volume:NAME:STATE           there is such a volume: yes, no or maybe
    snapshot:NAME               maybe there is; if so, it holds what was promised here
    start                       from here on it may be judged

Source: Linux Documentation/admin-guide/device-mapper/log-writes.rst and drivers/md/dm-log-writes.c.
Units: offsets and lengths in bytes; the log's own are in sectors.
"""

import hashlib
import os
import struct

MIB = 1 << 20
PVS = (("pv0.img", 0, 72 * MIB), ("pv1.img", 72 * MIB, 72 * MIB))
STATE = ("state.img", 144 * MIB, 24 * MIB)
DISK = 168 * MIB

MAGIC = 0x6A736677736872
FLUSH, FUA, DISCARD, MARK = 1, 2, 4, 8
SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")
TEXT_MAX = 512 - ENTRY.size - 1  # of a mark, on a disk with sectors of 512 bytes


def digest(data):
    return hashlib.sha1(data).hexdigest()[:12]


class Entry:
    """A write, or what stands in its place; `at` is where its data are in the log."""

    def __init__(self, flags, offset, length, at, text):
        self.flags, self.offset, self.length, self.at, self.text = flags, offset, length, at, text

    def changes(self):
        return self.length > 0 and not self.flags & MARK

    def volatile(self):
        """Lost with the power, unless a flush comes first."""
        return self.changes() and not self.flags & (FUA | FLUSH)


def read_entries(fd):
    magic, version, count, sector = SUPER.unpack(os.pread(fd, SUPER.size, 0))
    if magic != MAGIC or version != 1:
        raise ValueError(f"no log of writes: magic {magic:#x}, version {version}")
    entries, at = [], sector
    for number in range(count):
        head = os.pread(fd, sector, at)
        if len(head) < sector:
            raise ValueError(f"the log ends at entry {number} of {count}")
        offset, length, flags, data = ENTRY.unpack_from(head)
        at += sector
        text = head[ENTRY.size:ENTRY.size + data].decode() if flags & MARK else ""
        entries.append(Entry(flags, offset * sector, length * sector, at, text))
        if not flags & (DISCARD | MARK):
            at += length * sector
    return entries


class Promises:
    """What the marks until some point say."""

    def __init__(self):
        self.files, self.volumes, self.snapshots = {}, {}, {}

    def take(self, text):
        kind, _, rest = text.partition(":")
        name, _, value = rest.partition(":")
        if kind == "file":
            self.files[name] = [tuple(way.split("@")) for way in value.split(",") if way]
        elif kind == "volume":
            self.volumes[name] = value
        elif kind == "snapshot":
            self.volumes[name] = "maybe"
            self.snapshots[name] = dict(self.files)
