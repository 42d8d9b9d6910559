"""The operations of the lock-step: random, from a seed, and the same for kernel and engine."""

import hashlib
import random
import re
import subprocess
import sys

PAGE = 4096
SEQUENCES = 20
LENGTH = 200
GEOMETRIES = [(128, []), (256, []), (384, []), (128, ["skip_block_zeroing"]),
              (128, ["no_discard_passdown"])]  # sectors a block, features
METADATA_BLOCKS = 1024
VOLUME_BLOCKS = 12
MOST_VOLUMES = 10
DATA_BLOCKS = 2 * VOLUME_BLOCKS * MOST_VOLUMES  # never full


def geometry(seed):
    return GEOMETRIES[seed % len(GEOMETRIES)]


def operations(seed):
    """Tuples: ("message", text), ("snapshot", id, origin), ("write", id, page, pages, byte),
    ("discard", id, page, pages), ("status",)."""
    rng = random.Random(seed)
    pages = geometry(seed)[0] // 8 * VOLUME_BLOCKS
    zeroing = "skip_block_zeroing" not in geometry(seed)[1]
    live, transaction, held = [], 0, False
    for step in range(LENGTH):
        if step % 20 == 19:
            yield ("status",)
        kind = rng.random()
        unused = rng.choice([i for i in range(40) if i not in live])
        if not live or (kind < 0.05 and len(live) < MOST_VOLUMES):
            live.append(unused)
            yield ("create", unused)
        elif kind < 0.14 and len(live) < MOST_VOLUMES:
            origin = rng.choice(live)
            live.append(unused)
            yield ("snapshot", unused, origin)
        elif kind < 0.18 and len(live) > 3:
            gone = rng.choice(live)
            live.remove(gone)
            yield ("delete", gone)
        elif kind < 0.21:
            yield ("message", f"set_transaction_id {transaction} {transaction + step}")
            transaction += step
        elif kind < 0.23:
            yield ("message", f"{'release' if held else 'reserve'}_metadata_snap")
            held = not held
        else:
            first = rng.randrange(pages)
            count = min(rng.choice([1, 3, 16, 40, 100]), pages - first)
            if not zeroing and kind < 0.85:  # what was in a block before is anybody's guess
                block = geometry(seed)[0] // 8
                first -= first % block
                count = -(-count // block) * block
            if kind < 0.85:
                yield ("write", rng.choice(live), first, count, rng.randrange(1, 256))
            # The kernel's block layer splits a discard by masks, as if every granularity were a
            # power of two; of another size, which whole blocks reach the target is chance.
            elif geometry(seed)[0].bit_count() == 1:
                yield ("discard", rng.choice(live), first, count)


def canonical(image):
    """thin_dump of an image, with data blocks numbered in the order in which volumes name them."""
    flat = subprocess.check_output(
        [sys.executable, __file__.replace("vm/operations.py", "support/flat_dump.py"), image],
        text=True)
    numbers, found = {}, []
    for line in flat.splitlines():
        values = {k: v for k, v in re.findall(r'(\w+)="(\w*)"', line)}
        if "<superblock" in line:
            found.append([values[k] for k in ("time", "transaction", "flags", "nr_data_blocks")])
        elif "<device" in line:
            found.append(sorted(values.items()))
        elif "mapping" in line:
            begin = int(values.get("origin_begin", values.get("origin_block")))
            data = int(values.get("data_begin", values.get("data_block")))
            for i in range(int(values.get("length", 1))):
                number = numbers.setdefault(data + i, len(numbers))
                found.append([begin + i, number, int(values["time"])])
    return found


def without_metadata_counts(status):
    """A pool's status line, but for what depends on which metadata blocks were chosen."""
    words = status.split()
    words[1] = words[1].split("/")[-1]
    words[3] = "-" if words[3] == "-" else "held"
    return " ".join(words)


def digest(data):
    return hashlib.sha256(data).hexdigest()
