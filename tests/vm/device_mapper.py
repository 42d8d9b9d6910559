"""Thin pools of the running kernel, by device-mapper's own ioctls: their errors are the kernel's.

Sizes are in sectors of 512 bytes, unless a name says bytes. A failed call raises OSError.
Source: Linux include/uapi/linux/dm-ioctl.h.
"""

import errno
import fcntl
import mmap
import os
import struct
import subprocess

HEADER = struct.Struct("=3I I I I i I I I Q 128s 129s 7x")
TARGET = struct.Struct("=Q Q i I 16s")
assert HEADER.size == 312 and TARGET.size == 40
CREATE, REMOVE, SUSPEND, LOAD, STATUS, MESSAGE = 3, 4, 6, 9, 12, 14
READ_ONLY, SUSPENDED, STATUS_TABLE = 1, 2, 16
BLKDISCARD = 0x1277
PAGE = 4096

control = os.open("/dev/mapper/control", os.O_RDWR)


def call(command, name, flags=0, data=b"", targets=0):
    """Returns the device's number, the count of targets and what follows the header."""
    size = 65536
    header = HEADER.pack(4, 0, 0, size, HEADER.size, targets, 0, flags, 0, 0, 0, name.encode(), b"")
    buffer = bytearray((header + data).ljust(size, b"\0"))
    fcntl.ioctl(control, (3 << 30) | (HEADER.size << 16) | (0xFD << 8) | command, buffer)
    fields = HEADER.unpack_from(buffer)
    return fields[10], fields[5], bytes(buffer[fields[4]:])


class Device:
    """A device with one table; `lines` are (start, length, target, parameters)."""

    def __init__(self, name, lines, read_only=False):
        self.name = name
        number = call(CREATE, name)[0]
        self.path = f"/dev/dm-{os.minor(number)}"
        self.number = f"{os.major(number)}:{os.minor(number)}"
        try:
            self.load(lines, read_only)
            self.resume()
        except OSError:
            call(REMOVE, name)
            raise

    def load(self, lines, read_only=False):
        data = b""
        for start, length, target, parameters in lines:
            text = parameters.encode() + b"\0"
            text += b"\0" * (-len(text) % 8)
            data += TARGET.pack(start, length, 0, TARGET.size + len(text), target.encode()) + text
        call(LOAD, self.name, READ_ONLY if read_only else 0, data, len(lines))

    def suspend(self):
        call(SUSPEND, self.name, SUSPENDED)

    def resume(self):
        call(SUSPEND, self.name)

    def reload(self, lines):
        self.load(lines)
        self.suspend()
        self.resume()

    def message(self, text):
        call(MESSAGE, self.name, 0, struct.pack("=Q", 0) + text.encode() + b"\0")

    def status(self, flags=0):
        """The first target's status line, or its table's parameters."""
        data = call(STATUS, self.name, flags)[2]
        return data[TARGET.size:data.index(b"\0", TARGET.size)].decode()

    def table(self):
        return self.status(STATUS_TABLE)

    def remove(self):
        call(REMOVE, self.name)


class Thin(Device):
    """An active thin volume. Reads and writes go past the page cache, in whole pages."""

    def __init__(self, pool, thin_id, sectors):
        super().__init__(f"{pool.device.name}-{thin_id}",
                         [(0, sectors, "thin", f"{pool.device.number} {thin_id}")])
        self.id, self.sectors = thin_id, sectors
        self.fd = os.open(self.path, os.O_RDWR | os.O_DIRECT)

    def write(self, offset, data):
        with mmap.mmap(-1, len(data)) as buffer:
            buffer[:] = data
            if os.pwrite(self.fd, buffer, offset) != len(data):
                raise OSError(errno.EIO, f"{self.name}: a short write at {offset}")

    def read(self, offset, length):
        with mmap.mmap(-1, length) as buffer:
            if os.preadv(self.fd, [buffer], offset) != length:
                raise OSError(errno.EIO, f"{self.name}: a short read at {offset}")
            return buffer[:]

    def discard(self, offset, length):
        fcntl.ioctl(self.fd, BLKDISCARD, struct.pack("QQ", offset, length))

    def flush(self):
        os.fsync(self.fd)

    def remove(self):
        os.close(self.fd)
        super().remove()


class Loop:
    """A file of zeroes as a block device."""

    def __init__(self, path, length_bytes):
        self.path = path
        with open(path, "wb") as file:
            file.truncate(length_bytes)
        self.device = subprocess.check_output(["losetup", "-f", "--show", path], text=True).strip()

    def detach(self):
        subprocess.check_call(["losetup", "-d", self.device])


class Pool:
    """A new thin pool on loop devices, its metadata behind a device whose table can be changed."""

    def __init__(self, name, metadata_blocks, data_blocks, block_sectors, features=(), low_water=0):
        self.block_sectors = block_sectors
        self.metadata_sectors = metadata_blocks * 8
        self.metadata_loop = Loop(f"{name}.metadata", metadata_blocks * PAGE)
        self.data_loop = Loop(f"{name}.data", data_blocks * block_sectors * 512)
        self.metadata = Device(f"{name}-tmeta", self.metadata_table())
        self.device = None
        self.thins = {}
        table = (f"{self.metadata.number} {self.data_loop.device} {block_sectors} {low_water} "
                 + " ".join([str(len(features)), *features]))
        self.device = Device(name, [(0, data_blocks * block_sectors, "thin-pool", table)])

    def metadata_table(self):
        return [(0, self.metadata_sectors, "linear", f"{self.metadata_loop.device} 0")]

    def message(self, text):
        self.device.message(text)

    def open(self, thin_id, sectors):
        self.thins[thin_id] = Thin(self, thin_id, sectors)
        return self.thins[thin_id]

    def create(self, thin_id, sectors):
        self.message(f"create_thin {thin_id}")
        return self.open(thin_id, sectors)

    def snapshot(self, thin_id, origin_id):
        """Of an active origin, which is suspended meanwhile as it must be."""
        origin = self.thins[origin_id]
        origin.suspend()
        try:
            self.message(f"create_snap {thin_id} {origin_id}")
        finally:
            origin.resume()
        return self.open(thin_id, origin.sectors)

    def delete(self, thin_id):
        self.thins.pop(thin_id).remove()
        self.message(f"delete {thin_id}")

    def close(self):
        """The image files hold everything afterwards."""
        for thin in self.thins.values():
            thin.remove()
        self.device.remove()
        self.metadata.remove()
        self.metadata_loop.detach()
        self.data_loop.detach()
