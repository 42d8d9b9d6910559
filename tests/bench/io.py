#!/usr/bin/python3
"""What requests cost over NBD, beside the peers: medians, ratios and targets, as a markdown table.

    io.py [--quick] [--disk] [--rounds N] [--seconds S] [--json FILE]

Goal    the README's figures; nothing here passes or fails.
Method  each round starts each server anew on files of its own, on tmpfs (/dev/shm) or, with --disk,
        under TMPDIR (/var/tmp) with O_DIRECT on all sides, and runs all rows on it; whoever goes
        first changes from round to round. Client (nbd_load) and server share one processor: what is
        compared is the cost of the whole path. A row on two processors is printed besides.
        A ratio whose peer was not measured is n/a, and missed.
"""

import argparse
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

from nbd_peers import (BIN, CHUNK, GiB, InternalSnapshot, Load, MiB, Overlay, Qcow2, Raw, Results,
                       Subclusters, Thinvol, peak_memory)


def fill(load, start, length):
    return load("write", MiB, 4, order="scattered", seconds=600, start=start, range=length)


def run_main_rows(server, load, results, half):
    """The first half of the volume is for 4 KiB, the second for 1 MiB first writes."""
    def row(name, *what, **options):
        result = load(*what, **options)
        results.add(name, server.name, result["rate"])
        return result

    row("4 KiB first write, fresh blocks, qd 32", "write", 4096, 32, order="scattered",
        stride=CHUNK, range=half, seconds=600)
    row("1 MiB first write, sequential, qd 4", "write", MiB, 4, order="sequential", start=half,
        range=half, seconds=half / (4 * GiB))
    fill(load, half, half)
    fill(load, 0, half)
    read = row("4 KiB random read, qd 32", "read", 4096, 32)
    results.add("server CPU, us per 4 KiB read", server.name, read["cpu"] * 1e6)
    row("4 KiB random overwrite, qd 32", "write", 4096, 32)
    row("4 KiB random read, qd 1", "read", 4096, 1)
    row("1 MiB read, qd 4", "read", MiB, 4)
    row("1 MiB overwrite, qd 4", "write", MiB, 4)
    row("4 KiB overwrite, a flush every 64", "write", 4096, 32, flush_every=64)
    four = row("4 KiB random read, four connections", "read", 4096, 32, connections=4)
    results.add("server CPU, us per 4 KiB read of four connections", server.name, four["cpu"] * 1e6)
    row("4 KiB random read, two processors", "read", 4096, 32, split=True)
    load("trim", 4 * MiB, 4, order="sequential", range=half, seconds=half / (4 * GiB))
    load("trim", 4 * MiB, 4, order="scattered", range=half, seconds=600)
    load("write", 4096, 1, range=CHUNK, flush_every=1, seconds=0.05)
    row("4 KiB first write, recycled blocks, qd 32", "write", 4096, 32, order="scattered",
        stride=CHUNK, start=CHUNK, range=half - CHUNK, seconds=600)
    results.add("peak memory, MiB", server.name, peak_memory(server.pid()))


def run_snapshot_rows(server, load, results, half):
    fill(load, 0, half)
    if isinstance(server, Thinvol):
        results.add("4 KiB random read, no snapshot", server.name,
                    load("read", 4096, 32, range=half)["rate"])
    server.snapshot()
    result = load("write", 4096, 32, order="scattered", stride=CHUNK, range=half, seconds=600)
    results.add("4 KiB write after a snapshot, qd 32", server.name, result["rate"])
    if not isinstance(server, Thinvol):
        return
    for n in range(1, 100):
        if n in (1, 10):
            result = load("read", 4096, 32, range=half)
            results.add(f"4 KiB random read, {n} snapshot{'s' * (n > 1)}", server.name,
                        result["rate"])
        server.snapshot(n)
    results.add("4 KiB random read, 100 snapshots", server.name,
                load("read", 4096, 32, range=half)["rate"])


def run_stall_row(server, load, results, half):
    """64 KiB are written with 32 in flight: the longest wait while this volume is snapshotted, and
    while one of another pool is: the commands take their share of the processors both times."""
    server.run("tvcreate", "-L", "16m", "-V", "16m", "-T", "vg0/other", "-n", "aside")

    def longest_while(origin):
        writer = subprocess.Popen([str(BIN / "nbd_load"), server.socket, server.export, "write",
                                   str(CHUNK), "32", "order=sequential", f"range={half}",
                                   f"seconds={load.seconds}"], stdout=subprocess.PIPE, text=True)
        for n in range(5):
            time.sleep(load.seconds / 8)
            server.run("tvsnapshot", "-n", f"{origin}{n}", f"vg0/{origin}")
        return json.loads(writer.communicate()[0])["longest"] * 1e3

    load("write", CHUNK, 32, order="sequential", range=half)
    results.add("64 KiB writes, snapshots of another pool, longest, ms", server.name,
                longest_while("aside"))
    results.add("64 KiB writes under snapshots, longest, ms", server.name,
                longest_while(server.export))


def run_round(kinds, size, options, results):
    half = size // 2
    base = "/dev/shm" if not options.disk else os.environ.get("TMPDIR", "/var/tmp")
    for kind, work in kinds:
        folder = tempfile.mkdtemp(prefix="tvio.", dir=base)
        server = kind(folder, size, options.disk)
        try:
            server.start()
            work(server, Load(server, options.seconds), results, half)
        finally:
            server.stop()
            shutil.rmtree(folder)
    if not options.disk:
        done = subprocess.run([str(BIN / "nbd_load"), "pingpong", str(options.seconds)], text=True,
                              stdout=subprocess.PIPE, check=True,
                              preexec_fn=lambda: os.sched_setaffinity(
                                  0, {max(os.sched_getaffinity(0))}))
        bare = json.loads(done.stdout)
        results.add("4 KiB random read, qd 1", "bare socket", bare["requests"] / bare["seconds"])


# Row, peer, at least this many times the peer (or at most, where it says so).
TARGETS = [
    ("4 KiB random read, qd 32", "qcow2", 3.5), ("4 KiB random read, qd 32", "raw", 1.5),
    ("4 KiB random overwrite, qd 32", "qcow2", 3.5), ("4 KiB random overwrite, qd 32", "raw", 1.5),
    ("4 KiB random read, qd 1", "bare socket", 0.8),
    ("1 MiB read, qd 4", "raw", 1.0), ("1 MiB overwrite, qd 4", "raw", 1.0),
    ("4 KiB first write, fresh blocks, qd 32", "qcow2", 1.5),
    ("4 KiB first write, fresh blocks, qd 32", "qcow2, subclusters", 1.5),
    ("4 KiB first write, recycled blocks, qd 32", "qcow2", 1.0),
    ("1 MiB first write, sequential, qd 4", "raw", 0.9),
    ("4 KiB write after a snapshot, qd 32", "qcow2, internal snapshot", 1.5),
    ("4 KiB write after a snapshot, qd 32", "qcow2, overlay", 1.5),
    ("4 KiB overwrite, a flush every 64", "qcow2", 2.0),
]
DISK_TARGETS = [
    ("4 KiB random read, qd 32", "raw", 0.95), ("4 KiB random overwrite, qd 32", "raw", 0.95),
    ("1 MiB read, qd 4", "raw", 0.95), ("1 MiB overwrite, qd 4", "raw", 0.95),
    ("4 KiB first write, fresh blocks, qd 32", "qcow2", 1.3),
    ("1 MiB first write, sequential, qd 4", "qcow2", 1.3),
]


def ratio_lines(results, targets):
    for row, peer, least in targets:
        ours, theirs = results.of(row, "thinvol"), results.of(row, peer)
        if ours is None or theirs is None:
            yield f"| {row} | {peer} | n/a | {least} | missed |"
            continue
        verdict = "met" if ours / theirs >= least else "missed"
        yield f"| {row} | {peer} | {ours / theirs:.2f} | {least} | {verdict} |"


def inner_lines(results):
    """Targets that compare us with ourselves, or are better when lower."""
    def line(what, value, most, at_most=True):
        if value is None:
            return f"| {what} | n/a | {most} | missed |"
        met = value <= most if at_most else value >= most
        return f"| {what} | {value:.2f} | {'at most' if at_most else 'at least'} {most} " \
               f"| {'met' if met else 'missed'} |"

    def over(row, server, other_row, other):
        a, b = results.of(row, server), results.of(other_row, other)
        return None if a is None or b is None else a / b
    none = "4 KiB random read, no snapshot"
    for n in ("1 snapshot", "10 snapshots", "100 snapshots"):
        row = f"4 KiB random read, {n}"
        yield line(f"{row}, of none", over(row, "thinvol", none, "thinvol"), 0.95, False)
    cpu = "server CPU, us per 4 KiB read"
    yield line("CPU of a 4 KiB read, of qcow2's", over(cpu, "thinvol", cpu, "qcow2"), 0.5)
    yield line("CPU of a read, four connections, of one",
               over(f"{cpu} of four connections", "thinvol", cpu, "thinvol"), 1.1)
    calm = results.of("64 KiB writes, snapshots of another pool, longest, ms", "thinvol")
    stall = results.of("64 KiB writes under snapshots, longest, ms", "thinvol")
    more = None if calm is None or stall is None else stall - calm
    yield line("longest write under snapshots, ms more than under those of another pool", more, 10)


def shown(row, value):
    if value is None:
        return ""
    if row.startswith("4 KiB"):
        return f"{value / 1e3:.1f} k/s"
    if row.startswith("1 MiB"):
        return f"{value:.0f} MiB/s"
    return f"{value:.2f}"


def print_tables(results, disk):
    servers = sorted({s for row in results.rows.values() for s in row},
                     key=lambda s: (s != "thinvol", s))
    print(f"\n| {'on disk, O_DIRECT' if disk else 'on tmpfs'} | {' | '.join(servers)} |")
    print("|---|" + "---:|" * len(servers))
    for row in results.rows:
        print(f"| {row} | {' | '.join(shown(row, results.of(row, s)) for s in servers)} |")
    print("\n| row | peer | times the peer | target | |\n|---|---|---:|---:|---|")
    for line in ratio_lines(results, DISK_TARGETS if disk else TARGETS):
        print(line)
    if disk:
        return
    print("\n| row | measured | target | |\n|---|---:|---:|---|")
    for line in inner_lines(results):
        print(line)


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--quick", action="store_true", help="one short round")
    arguments.add_argument("--disk", action="store_true", help="O_DIRECT under TMPDIR")
    arguments.add_argument("--rounds", type=int, default=3)
    arguments.add_argument("--seconds", type=float, default=2.0, help="of each row")
    arguments.add_argument("--json", help="all that was measured, into this file")
    options = arguments.parse_args()
    if options.quick:
        options.rounds, options.seconds = 1, 0.5
    size = GiB if options.quick or options.disk else 2 * GiB
    kinds = [(Thinvol, run_main_rows), (Qcow2, run_main_rows), (Subclusters, run_main_rows),
             (Raw, run_main_rows)]
    if not options.disk:
        kinds += [(Thinvol, run_snapshot_rows), (InternalSnapshot, run_snapshot_rows),
                  (Overlay, run_snapshot_rows), (Thinvol, run_stall_row)]
    results = Results()
    for n in range(options.rounds):
        run_round(kinds[n % len(kinds):] + kinds[:n % len(kinds)], size, options, results)
    print_tables(results, options.disk)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results.rows, indent=1))


main()
