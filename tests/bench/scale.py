#!/usr/bin/python3
"""How the cost of 4 KiB random reads grows with volumes, clients, pool and mappings: a markdown
table.

    scale.py [--quick] [--rounds N] [--seconds S]

Goal    flat, or the reason is known; nothing here passes or fails.
Method  one server on tmpfs, client and server on one processor, 32 requests in flight in all. The
        pool's file is sparse: what was not written reads as zeroes, mapped or not. Many mappings
        come into the pool by tvrestore. Rows of a table take turns.
"""

import argparse
import shutil
import tempfile

from nbd_peers import CHUNK, GiB, Load, MiB, Results, Thinvol, peak_memory

TiB = 1 << 40


class Pool(Thinvol):
    """A pool of any size with a volume v of any size."""

    def __init__(self, folder, pool_size, size):
        super().__init__(folder, size, False)
        self.pool_size = pool_size

    def start(self):
        with open(f"{self.folder}/pv.img", "wb") as file:
            file.truncate(self.pool_size + self.pool_size // 8 + 2 * GiB)
        self.run("tvgcreate", "-s", "1g" if self.pool_size >= TiB else "4m", "vg0", "pv.img")
        chunk = [] if self.pool_size >= TiB else ["-c", "64k"]
        self.run("tvcreate", "-L", f"{self.pool_size}b", *chunk, "-V", f"{self.size}b", "-T",
                 "vg0/pool", "-n", "v")

    def activate(self, name="v"):
        self.run("tvchange", "-ay", f"vg0/{name}")
        uri = self.run("tvs", "--noheadings", "-o", "uri", f"vg0/{name}")
        self.socket = uri.split("socket=")[1]
        self.export = name

    def map_blocks(self, blocks):
        """The whole volume mapped, by metadata alone."""
        with open(f"{self.folder}/pool.xml", "w", encoding="ascii") as file:
            file.write(f'<superblock uuid="" time="0" transaction="2" flags="0" version="2" '
                       f'data_block_size="128" nr_data_blocks="{self.pool_size // CHUNK}">\n'
                       f'<device dev_id="0" mapped_blocks="{blocks}" transaction="0" '
                       f'creation_time="0" snap_time="0">\n')
            # Every second block first, so that no two mappings are one range.
            for at in range(blocks):
                to = at // 2 if at % 2 == 0 else blocks // 2 + at // 2
                file.write(f'<single_mapping origin_block="{at}" data_block="{to}" time="0"/>\n')
            file.write("</device>\n</superblock>\n")
        self.run("tvrestore", "-y", "-i", "pool.xml", "vg0/pool")


def measure(server, options, results, row, value, connections=1):
    load = Load(server, options.seconds)
    for _ in range(options.rounds):
        result = load("read", 4096, max(1, 32 // connections), connections=connections)
        results.add(row, value, result["rate"])
        results.add(f"{row}, CPU", value, result["cpu"] * 1e6)
    results.add(f"{row}, peak MiB", value, peak_memory(server.pid()))


def with_pool(pool_size, size, work):
    folder = tempfile.mkdtemp(prefix="tvscale.", dir="/dev/shm")
    server = Pool(folder, pool_size, size)
    try:
        server.start()
        work(server)
    finally:
        server.run("tvchange", "-an", "vg0")
        shutil.rmtree(folder)


def volumes_and_connections(server, options, results):
    server.activate()
    Load(server, 1)("write", MiB, 4, order="scattered", seconds=600)
    for connections in (1, 8, 64):
        measure(server, options, results, "clients", str(connections), connections)
    active = 1
    for volumes in (1, 100) if options.quick else (1, 100, 1000):
        while active < volumes:
            server.run("tvcreate", "-V", "1g", "-T", "vg0/pool", "-n", f"w{active}")
            active += 1
        server.run("tvchange", "-ay", "vg0")
        measure(server, options, results, "volumes in use", str(volumes))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--quick", action="store_true", help="the smaller half, one short round")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=1.0, help="of each measurement")
    options = arguments.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.5
    results = Results()
    with_pool(4 * GiB, GiB, lambda s: volumes_and_connections(s, options, results))
    for name, size in (("1 GiB", GiB), ("1 TiB", TiB), ("16 TiB", 16 * TiB)):
        def one_size(server, name=name):
            server.activate()
            Load(server, 1)("write", MiB, 4, order="scattered", seconds=600, range=GiB // 2)
            measure(server, options, results, "pool", name)
        with_pool(size, GiB // 2, one_size)
    for millions in (1,) if options.quick else (1, 3, 10):
        blocks = millions * 1000000

        def mapped(server, blocks=blocks, millions=millions):
            server.map_blocks(blocks)
            server.activate()
            measure(server, options, results, "mappings", f"{millions} million")
        with_pool(blocks * CHUNK, blocks * CHUNK, mapped)
    print("| 4 KiB random read, qd 32 | | thousand a second | server's CPU, us each | peak MiB |")
    print("|---|---|---:|---:|---:|")
    for row in ("clients", "volumes in use", "pool", "mappings"):
        for value in results.rows[row]:
            print(f"| {row} | {value} | {results.of(row, value) / 1e3:.0f} "
                  f"| {results.of(row + ', CPU', value):.1f} "
                  f"| {results.of(row + ', peak MiB', value):.0f} |")


main()
