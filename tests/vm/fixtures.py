#!/usr/bin/python3
"""Pools that the real kernel writes, in the guest, for tests/fixtures; make_fixtures.sh runs it.

A fixture NAME is NAME.metadata and NAME.data, images, and NAME.expect: the pool's status line, and
for each volume "volume ID SECTORS STATUS" and its contents as the kernel reads them, "FIRST COUNT
BYTE" for a run of pages that are filled with one byte (zeroes are left out).
"""

import errno
import os
import pathlib
import random
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from device_mapper import PAGE, Pool  # noqa: E402


def fill(thin, page, pages, byte):
    thin.write(page * PAGE, bytes([byte]) * (pages * PAGE))


def runs(thin):
    """Contents of a volume, page by page put together."""
    found = []
    whole = thin.read(0, thin.sectors * 512)
    for page in range(thin.sectors * 512 // PAGE):
        data = whole[page * PAGE:(page + 1) * PAGE]
        if data != bytes([data[0]]) * PAGE:
            raise SystemExit(f"{thin.name}: page {page} is not of one byte")
        if data[0] == 0:
            continue
        if found and found[-1][0] + found[-1][1] == page and found[-1][2] == data[0]:
            found[-1][1] += 1
        else:
            found.append([page, 1, data[0]])
    return found


def finish(name, pool, volumes):
    """`volumes`: sizes in sectors by id. Those not active are opened."""
    lines = [f"pool {pool.device.status().strip()}"]
    for thin_id, sectors in sorted(volumes.items()):
        thin = pool.thins.get(thin_id) or pool.open(thin_id, sectors)
        lines.append(f"volume {thin_id} {sectors} {thin.status()}")
        lines += [f"{first} {count} {byte}" for first, count, byte in runs(thin)]
    pathlib.Path(f"{name}.expect").write_text("\n".join(lines) + "\n")
    pool.close()


def several():
    """Volumes with whole and partial blocks, a snapshot, discards, a volume deleted."""
    pool = Pool("several", 512, 64, 128)
    size = 16 * 128
    a, b, c = (pool.create(i, size) for i in (0, 1, 16777215))
    fill(a, 0, 96, 1)
    fill(b, 5, 3, 2)
    fill(b, 100, 60, 3)
    fill(c, 250, 6, 4)
    s = pool.snapshot(7, 0)
    fill(a, 20, 4, 5)
    fill(s, 90, 20, 6)
    a.discard(2 * 65536, 3 * 65536)
    b.discard(100 * PAGE, 60 * PAGE)
    fill(pool.create(9, size), 0, 40, 7)
    pool.delete(9)
    pool.message("set_transaction_id 0 3")
    finish("several", pool, {0: size, 1: size, 7: size, 16777215: size})


def deep():
    """Snapshots of snapshots, 48 deep, each written to; every fifth deleted."""
    pool = Pool("deep", 512, 256, 128)
    size = 24 * 128
    fill(pool.create(0, size), 0, 300, 1)
    for i in range(1, 49):
        thin = pool.snapshot(i, i - 1)
        fill(thin, (i * 53) % 380, 2, i + 1)
    for i in range(5, 49, 5):
        pool.delete(i)
    finish("deep", pool, {i: size for i in range(49) if i == 0 or i % 5})


def held():
    """A metadata snapshot, and changes since: nodes and blocks that only it still has."""
    pool = Pool("held", 512, 64, 128)
    size = 16 * 128
    a, b = pool.create(1, size), pool.create(2, size)
    fill(a, 0, 128, 1)
    fill(b, 0, 64, 2)
    pool.message("reserve_metadata_snap")
    fill(a, 16, 30, 3)
    a.discard(4 * 65536, 65536)
    s = pool.snapshot(3, 1)
    fill(s, 0, 16, 4)
    pool.delete(2)
    finish("held", pool, {1: size, 3: size})


def odd():
    """Blocks of 192 KiB; a volume that does not end with one."""
    pool = Pool("odd", 512, 40, 384)
    size = 10 * 384 + 8
    a = pool.create(0, size)
    fill(a, 0, 50, 1)
    fill(a, size // 8 - 1, 1, 2)
    s = pool.snapshot(1, 0)
    fill(s, 10, 100, 3)
    a.discard(0, 384 * 512)
    finish("odd", pool, {0: size, 1: size})


def many():
    """Mappings in random order, trees of several levels, some removed again."""
    rng = random.Random(4)
    pool = Pool("many", 1024, 4096, 128, ["skip_block_zeroing"])
    size = 8192 * 128
    a = pool.create(0, size)
    blocks = rng.sample(range(8192), 1500)
    for at in blocks:
        fill(a, at * 16, 1, 1)
    s = pool.snapshot(1, 0)
    for at in blocks[:150]:
        fill(s, at * 16, 1, 2)
    for at in blocks[150:300]:
        a.discard(at * 65536, 65536)
    pool.close()


def full():
    """No data block free."""
    pool = Pool("full", 512, 24, 128, ["error_if_no_space"])
    size = 32 * 128
    a = pool.create(0, size)
    fill(a, 0, 16 * 12, 1)
    b = pool.snapshot(1, 0)
    fill(b, 0, 16 * 12, 2)
    try:
        fill(a, 16 * 20, 1, 3)
        raise SystemExit("a full pool took a write")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    finish("full", pool, {0: size, 1: size})


def needs_check():
    """A commit failed: its blocks could not be written, the superblock could."""
    pool = Pool("needs_check", 512, 64, 128)
    size = 16 * 128
    a = pool.create(0, size)
    fill(a, 0, 64, 1)
    a.flush()
    rest = pool.metadata_sectors - 8
    loop = pool.metadata_loop.device
    pool.metadata.reload([(0, 8, "linear", f"{loop} 0"),
                          (8, rest, "flakey", f"{loop} 8 0 60 1 error_writes")])
    pool.message("create_thin 1")  # the kernel does not say that its commit failed
    if "needs_check" not in pool.device.status():
        raise SystemExit(f"the pool is not to be checked: {pool.device.status()}")
    pool.metadata.reload(pool.metadata_table())
    finish("needs_check", pool, {0: size})


def main():
    fixtures = (several, deep, held, odd, many, full, needs_check)
    for fixture in fixtures:
        fixture()
        for part in ("metadata", "data"):
            path = f"{fixture.__name__}.{part}"
            if part == "data" and fixture is many:
                os.remove(path)
                continue
            packed = subprocess.check_output(["xz", "-c", path])
            pathlib.Path(f"/vm/{path}.xz").write_bytes(packed)
        expect = pathlib.Path(f"{fixture.__name__}.expect")
        if expect.exists():
            pathlib.Path("/vm", expect).write_text(expect.read_text())
    sizes = sum(f.stat().st_size for f in pathlib.Path("/vm").iterdir() if f.suffix == ".xz")
    print(f"{len(fixtures)} fixtures, {sizes // 1024} KiB")


main()
