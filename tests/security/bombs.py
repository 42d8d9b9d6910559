#!/usr/bin/python3
"""Files that were made to do harm, given to the commands that read such files.

    tests/security/bombs.py [--budget SECONDS] [--seed N]            with THINVOL_BIN set

Goal    S59: loops, depth, numbers without end and billions of mappings in a few bytes end in an
        answer: an exit status of the command's own and a reason, within bounded memory (RLIMIT_AS),
        time (RLIMIT_CPU) and disk (RLIMIT_FSIZE); the file itself stays as it was.
Method  metadata with checksums that are right and fields that are not, each field in turn, through
        check, dump, repair, list and pack; dumps in XML, packs, physical volumes and disk images by
        hand. The last line is `executed distinct failures`.
"""

import argparse
import gzip
import hashlib
import os
import pathlib
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time

MIB = 1 << 20
MEMORY, PROCESSOR_S, FILE_BYTES = 1 << 30, 20, 256 * MIB
BLOCK = 4096
NODE_SALT, SUPERBLOCK_SALT, BITMAP_SALT, INDEX_SALT = 121107, 160774, 240779, 160478
TELLING = (0, 1, 3, 252, 253, 0x7fffffff, 0xffffffff, 1 << 32, 1 << 40, 1 << 55, 1 << 63,
           (1 << 64) - 1)

CRC_TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
    CRC_TABLE.append(n)


def register(data):
    crc = 0xffffffff
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 0xff] ^ crc >> 8
    return crc


def limits():
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (PROCESSOR_S, PROCESSOR_S + 1))
    resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_BYTES, FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


class Tally:
    def __init__(self, folder, seconds):
        self.folder = folder
        self.end = time.monotonic() + seconds
        self.executed, self.answers, self.failures = 0, set(), 0
        self.environment = {**os.environ, "LC_ALL": "C",
                            "PATH": f"{os.environ['THINVOL_BIN']}:{os.environ['PATH']}",
                            **{f"THINVOL_{n}_DIR": str(folder / n.lower())
                               for n in ("STATE", "RUN", "CONFIG")}}

    def over(self):
        return time.monotonic() > self.end

    def run(self, *words):
        return subprocess.run(words, cwd=self.folder, env=self.environment, check=False,
                              stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, timeout=300, preexec_fn=limits)

    def try_(self, what, *words):
        """An answer is: 0, or a status of ours with a reason."""
        ended = self.run(*words)
        said = ended.stderr.decode(errors="replace").strip()
        self.executed += 1
        self.answers.add((words[0], said[:60]))
        if ended.returncode == 0 or (ended.returncode in (1, 3, 5) and said):
            return
        self.failures += 1
        print(f"{what}: {' '.join(words)}: status {ended.returncode}: {said[-300:]}",
              file=sys.stderr)

    def must(self, *words):
        ended = self.run(*words)
        if ended.returncode != 0:
            raise RuntimeError(f"{' '.join(words)}: {ended.stderr.decode()}")


class Image:
    """A metadata device; what is changed is sealed again."""

    def __init__(self, content):
        self.bytes = bytearray(content)

    def word(self, block, offset, form="<Q"):
        return struct.unpack_from(form, self.bytes, block * BLOCK + offset)[0]

    def set(self, block, offset, number, form="<Q"):
        mask = (1 << 8 * struct.calcsize(form)) - 1
        struct.pack_into(form, self.bytes, block * BLOCK + offset, number & mask)

    def salt(self, block):
        body = self.bytes[block * BLOCK + 4:(block + 1) * BLOCK]
        value = register(body) ^ self.word(block, 0, "<I")
        return value if value in (NODE_SALT, SUPERBLOCK_SALT, BITMAP_SALT, INDEX_SALT) else None

    def seal(self, block, salt):
        body = self.bytes[block * BLOCK + 4:(block + 1) * BLOCK]
        self.set(block, 0, register(body) ^ salt, "<I")


# Fields of each kind of block: offset and form.
SUPERBLOCK = ([(o, "<Q") for o in (48, 56, 64, 72, 80, 88, 192, 200, 208, 216, 320, 328, 344)] +
              [(o, "<I") for o in (4, 40, 44, 336, 340, 352, 356, 360)])
NODE = [(4, "<I"), (16, "<I"), (20, "<I"), (24, "<I"), (32, "<Q"), (40, "<Q")]
FIELDS = {
    SUPERBLOCK_SALT: SUPERBLOCK,
    NODE_SALT: NODE,
    INDEX_SALT: [(16, "<Q"), (24, "<I"), (28, "<I"), (32, "<Q")],
    BITMAP_SALT: [(16, "<Q"), (24, "<Q")],
}


def mutations(sound):
    """What is changed: block, its salt, offset, form and number."""
    image = Image(sound)
    used = []
    for block in range(len(sound) // BLOCK):
        salt = image.salt(block)
        if salt is not None:
            used.append((block, salt))
    for block, salt in used:
        fields = list(FIELDS[salt])
        if salt == NODE_SALT:  # its first values as well: pointers, counts, mappings
            values = 32 + 8 * image.word(block, 20, "<I")
            fields += [(values, "<Q"), (values + 8, "<Q")]
        # Pointers to itself, to what is above it, and to each kind of other.
        numbers = TELLING + tuple(b for b, _ in used[:8]) + (block,)
        for offset, form in fields:
            for number in numbers:
                yield block, salt, offset, form, number


def sound_metadata(tally):
    devices = "".join(
        f'<device dev_id="{d}" mapped_blocks="600" transaction="0" creation_time="0" '
        f'snap_time="0"><range_mapping origin_begin="0" data_begin="{d * 600}" length="600" '
        f'time="0"/></device>' for d in range(3))
    xml = tally.folder / "sound.xml"
    xml.write_text('<superblock uuid="" time="1" transaction="1" version="2" '
                   f'data_block_size="128" nr_data_blocks="4000">{devices}</superblock>')
    image = tally.folder / "sound.img"
    image.touch()
    os.truncate(image, MIB)
    tally.must("tvrestore", "-i", "sound.xml", "-o", "sound.img")
    return image.read_bytes()


def metadata_bombs(tally, seed):
    sound = sound_metadata(tally)
    bomb, repaired = tally.folder / "bomb.img", tally.folder / "repaired.img"
    tools = (("tvcheck", "--device", "bomb.img"), ("tvdump", "--device", "bomb.img"),
             ("tvls", "--device", "bomb.img"),
             ("tvdump", "--format", "xml-shared", "--device", "bomb.img"),
             ("tvrepair", "-y", "-i", "bomb.img", "-o", "repaired.img"),
             ("tvmetadatapack", "--device", "bomb.img", "-o", "bomb.pack"))
    todo = list(mutations(sound))
    random.Random(seed).shuffle(todo)
    for block, salt, offset, form, number in todo:
        if tally.over():
            return
        image = Image(sound)
        image.set(block, offset, number, form)
        image.seal(block, salt)
        bomb.write_bytes(image.bytes)
        repaired.write_bytes(bytes(MIB))
        (tally.folder / "bomb.pack").unlink(missing_ok=True)
        what = f"block {block} offset {offset} = {number:#x}"
        for words in tools:
            tally.try_(what, *words)
        if hashlib.sha256(bomb.read_bytes()).digest() != hashlib.sha256(image.bytes).digest():
            tally.failures += 1
            print(f"{what}: a tool that only reads wrote", file=sys.stderr)


def xml_bombs(tally):
    head = ('<superblock uuid="" time="1" transaction="1" version="2" data_block_size="128" '
            'nr_data_blocks="{}">')
    device = ('<device dev_id="{}" mapped_blocks="{}" transaction="0" creation_time="0" '
              'snap_time="0">')
    run = '<range_mapping origin_begin="{}" data_begin="{}" length="{}" time="0"/>'
    most = (1 << 40) - 1
    bombs = {
        "a billion mappings": head.format(1 << 40) + device.format(0, 1 << 30) +
                              run.format(0, 0, 1 << 30) + "</device></superblock>",
        "all mappings there can be": head.format(most) + device.format(0, most) +
                                     run.format(0, 0, most) + "</device></superblock>",
        "numbers that wrap": head.format(1 << 40) + device.format(0, 9) +
                             run.format((1 << 64) - 1, 1, (1 << 64) - 1) + "</device></superblock>",
        "shared a thousand times": head.format(1 << 30) + '<def name="a">' +
                                   run.format(0, 0, 1 << 20) + "</def>" +
                                   "".join(device.format(d, 1 << 20) + '<ref name="a"/></device>'
                                           for d in range(1000)) + "</superblock>",
        "subtrees in subtrees": head.format(1 << 20) + '<def name="a">' * 100000,
        "a subtree in itself": head.format(9) + '<def name="a"><ref name="a"/></def></superblock>',
        "volumes without end": head.format(9) + "".join(
            device.format(d, 0) + "</device>" for d in range(100000)),
        "an element without end": head.format(9) + "<device " + "x" * (40 * MIB),
        "a comment without end": "<!--" + "-" * (40 * MIB),
        "blanks without end": " " * (40 * MIB),
        "a number without end": head.format("9" * (1 << 20)),
        "entities": '<!DOCTYPE a [<!ENTITY a "&b;&b;"><!ENTITY b "x">]><superblock uuid="&a;"/>',
        "zeroes": "\0" * MIB,
    }
    for what, text in bombs.items():
        (tally.folder / "bomb.xml").write_text(text)
        (tally.folder / "bomb.img").write_bytes(bytes(2 * MIB))
        tally.try_(what, "tvrestore", "-y", "-i", "bomb.xml", "-o", "bomb.img")


def pack_bombs(tally):
    head = b"TVMDPACK" + struct.pack("<Q", 1)
    block = bytes(BLOCK)
    last = struct.pack("<Q", (1 << 64) - 1)
    bombs = {
        "a large device": head + struct.pack("<QQ", 60000, 0) + block + last,
        "no device at all": head + struct.pack("<Q", 0) + last,
        "a device larger than any": head + struct.pack("<Q", 1 << 63) + last,
        "a block a million times": head + struct.pack("<Q", 64) +
                                   (struct.pack("<Q", 5) + block) * 20000,
        "blocks backwards": head + struct.pack("<QQ", 64, 5) + block + struct.pack("<Q", 4) + block,
        "a block past the end": head + struct.pack("<QQ", 64, 64) + block,
        "zeroes without end": b"TVMDPACK" + bytes(200 * MIB),
    }
    for what, content in bombs.items():
        (tally.folder / "bomb.pack").write_bytes(gzip.compress(content, 1))
        for image in ("device.img", "fresh.img"):
            path = tally.folder / image
            path.unlink(missing_ok=True)
            if image == "device.img":
                path.write_bytes(bytes(MIB))
            tally.try_(what, "tvmetadataunpack", "-i", "bomb.pack", "-o", image)


def crc32c(data):
    return register(data) ^ 0xffffffff


def physical_volume_bombs(tally):
    sound = tally.folder / "pv.img"
    sound.touch()
    os.truncate(sound, 16 * MIB)
    tally.must("tvgcreate", "-s", "1m", "vg0", "pv.img")
    tally.must("tvgexport", "vg0")
    content = sound.read_bytes()
    elsewhere = {**tally.environment, "THINVOL_STATE_DIR": str(tally.folder / "other")}
    tally.environment = elsewhere

    def try_label(what, change):
        image = bytearray(content)
        for at in (4096, 8192):
            change(image, at)
            struct.pack_into("<I", image, at + 8, 0)
            struct.pack_into("<I", image, at + 8, crc32c(image[at:at + BLOCK]))
        (tally.folder / "bomb.pv").write_bytes(image)
        for words in (("tvgscan", "bomb.pv"), ("tvgscan", "--rebuild", "bomb.pv"),
                      ("tvgimport", "-y", "vg0", "bomb.pv"), ("tvpvcreate", "-y", "bomb.pv")):
            tally.try_(what, *words)

    for offset in (16, 72, 80, 88, 96, 104):
        for number in TELLING:
            try_label(f"label at {offset} = {number:#x}",
                      lambda image, at: struct.pack_into("<Q", image, at + offset, number))
    for name in (b"../../x", b"\0", b"a/b", b"\xff" * 128, b"-y", b"\n\033[2J"):
        try_label(f"label's name {name!r}",
                  lambda image, at: struct.pack_into("128s", image, at + 120, name))


def image_bombs(tally):
    pv = tally.folder / "images.img"
    pv.touch()
    os.truncate(pv, 64 * MIB)
    tally.must("tvgcreate", "-s", "1m", "images", "images.img")
    tally.must("tvcreate", "-L", "16m", "-T", "images/pool0")
    qcow2 = struct.pack(">IIQIIQIIQQIIQQQQII", 0x514649fb, 3, 0, 0, 16, 1 << 62, 0, 1, 65536,
                        131072, 1, 0, 0, 0, 0, 0, 4, 104)
    bombs = {
        ("qcow2", "a size of 4 EiB"): qcow2 + bytes(65536 * 3),
        ("qcow2", "only a beginning"): qcow2[:20],
        ("qcow2", "a backing file"): qcow2[:8] + struct.pack(">QI", 104, 11) + qcow2[20:] +
                                     b"/etc/passwd",
        ("qcow2", "raw"): b"x" * 65536,
        ("raw", "qcow2"): qcow2 + bytes(65536),
    }
    for (form, what), content in bombs.items():
        (tally.folder / "bomb.disk").write_bytes(content)
        tally.try_(f"image: {what}", "tvimport", "-y", "--format", form, "bomb.disk",
                   "images/bomb", "-T", "images/pool0")
    with (tally.folder / "sparse.disk").open("wb") as sparse:
        sparse.truncate(1 << 43)
    tally.try_("image: a hole of 8 TiB", "tvimport", "-y", "sparse.disk", "images/hole", "-T",
               "images/pool0")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as folder:
        tally = Tally(pathlib.Path(folder), options.budget)
        xml_bombs(tally)
        pack_bombs(tally)
        image_bombs(tally)
        physical_volume_bombs(tally)
        metadata_bombs(tally, options.seed)
    print(tally.executed, len(tally.answers), tally.failures)
    sys.exit(1 if tally.failures else 0)


main()
