#!/usr/bin/python3
"""Writes to an NBD export, and remembers what was flushed; or checks that all of that is there.

flush_journal.py write URI JOURNAL SEED   until the server goes away
flush_journal.py check URI JOURNAL        every block holds what was last flushed, or written later

The blocks are spread over the whole export: the larger it is, the more writes map a block, or break
its sharing, which a flush has to make durable.

The journal, on another file, has a line for each session begun ("s"), each write sent
("w block number"), each durable write answered ("d block number"), and each flush answered ("f":
all writes answered before it are durable). A write that a session left unflushed may be there or
not, for ever: no flush of a later session makes it durable.
"""
import random
import struct
import sys

import nbd

BLOCK = 4096
BLOCKS = 8192


def content(block, number):
    return struct.pack("<QQ", block, number) * (BLOCK // 16)


def write(uri, path, seed):
    rng = random.Random(seed)
    h = nbd.NBD()
    h.connect_uri(uri)
    stride = h.get_size() // BLOCKS
    with open(path, "a", buffering=1) as journal:
        number = int(seed) << 32
        journal.write("s\n")
        try:
            while True:
                for _ in range(rng.randrange(1, 40)):
                    number += 1
                    block = rng.randrange(BLOCKS)
                    journal.write(f"w {block} {number}\n")
                    flags = nbd.CMD_FLAG_FUA if rng.random() < 0.01 else 0
                    h.pwrite(content(block, number), block * stride, flags)
                    if flags:
                        journal.write(f"d {block} {number}\n")
                h.flush()
                journal.write("f\n")
        except nbd.Error:
            return


def check(uri, path):
    durable, pending, undecided = {}, {}, {}
    with open(path) as journal:
        lines = [line.split() for line in journal if line.endswith("\n")]

    def settle(block, number):
        durable[block] = number
        undecided.pop(block, None)
        pending[block] = [n for n in pending[block] if n > number]

    for line in lines:
        if line[0] == "s":
            for block, numbers in pending.items():
                undecided.setdefault(block, []).extend(numbers)
            pending.clear()
        elif line[0] == "w":
            pending.setdefault(int(line[1]), []).append(int(line[2]))
        elif line[0] == "d":  # this write alone
            settle(int(line[1]), int(line[2]))
        else:
            for block, numbers in pending.items():
                if numbers:
                    settle(block, numbers[-1])
    h = nbd.NBD()
    h.connect_uri(uri)
    stride = h.get_size() // BLOCKS
    bad = 0
    for block in range(BLOCKS):
        data = bytes(h.pread(BLOCK, block * stride))
        found, number = struct.unpack_from("<QQ", data)
        allowed = {durable.get(block)} | set(pending.get(block, [])) | set(undecided.get(block, []))
        if data == bytes(BLOCK):
            number = None
        elif data != content(block, number) or found != block:
            print(f"block {block} is torn or foreign")
            bad += 1
            continue
        if number not in allowed:
            print(f"block {block} holds {number}, allowed are {allowed}")
            bad += 1
    h.shutdown()
    print(f"{len(durable)} blocks had been flushed")
    sys.exit(1 if bad or not durable else 0)


if sys.argv[1] == "write":
    write(sys.argv[2], sys.argv[3], sys.argv[4])
else:
    check(sys.argv[2], sys.argv[3])
