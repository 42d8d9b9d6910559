#!/usr/bin/python3
"""Volumes as block devices beside the kernel's own, in the virtual machine: one table.

    vm.py [--rounds N] [--seconds S] [--json FILE]        with THINVOL_BIN set

Goal    the README's figures of block devices; nothing here passes or fails, for the machine is
        emulated: every instruction costs several, a system call or a switch more than its share.
Method  the machine has a virtio disk for each way to a volume, all in this machine's memory, whose
        flush costs nothing: what is measured is the way. In each round each way starts with a fresh
        volume; row by row each way has its turn, the first another one each time. fio asks with
        O_DIRECT, and has both processors' busy time read before and after: that is everybody's,
        also of servers, kernel threads and interrupts.
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "vm"))
MIB = 1 << 20
SIZE = 128 * MIB  # of a volume
CHUNK = 65536
RANDOM = ["--bs=4k", "--iodepth=8"]
EACH_CHUNK = ["--bs=4k", "--iodepth=8", "--zonemode=strided", "--zonesize=4k", "--zonerange=64k"]
WHOLE = ["--bs=1m", "--iodepth=2"]
HALF = SIZE // 2

# Row, what fio does, whether for a time.
ROWS = [
    ("4 KiB first write, a fresh chunk each",
     ["--rw=write", *EACH_CHUNK, f"--io_size={HALF // 16}", f"--size={HALF}"], False),
    ("1 MiB first write", ["--rw=write", *WHOLE, f"--offset={HALF}", f"--size={HALF}"], False),
    ("1 MiB overwrite", ["--rw=write", *WHOLE, f"--offset={HALF}", f"--size={HALF}"], True),
    ("1 MiB read", ["--rw=read", *WHOLE, f"--offset={HALF}", f"--size={HALF}"], True),
    ("4 KiB random read", ["--rw=randread", *RANDOM, f"--offset={HALF}", f"--size={HALF}"], True),
    ("4 KiB random write", ["--rw=randwrite", *RANDOM, f"--offset={HALF}", f"--size={HALF}"], True),
    ("4 KiB random write, fsync after each",
     ["--rw=randwrite", "--bs=4k", "--iodepth=1", "--fsync=1", f"--offset={HALF}",
      f"--size={HALF}"], True),
    ("snapshot", None, False),
    ("4 KiB write that breaks sharing",
     ["--rw=write", *EACH_CHUNK, f"--offset={HALF}", f"--io_size={HALF // 16}", f"--size={HALF}"],
     False),
    ("4 KiB random read of the snapshot",
     ["--rw=randread", *RANDOM, f"--offset={HALF}", f"--size={HALF}"], True),
]
NO_SNAPSHOT = ("4 KiB write that breaks sharing", "4 KiB random read of the snapshot")
NO_FIRST = ("4 KiB first write, a fresh chunk each", "1 MiB first write")


# --- in the machine ------------------------------------------------------------------------------

def run(*words):
    done = subprocess.run([str(word) for word in words], text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, words))}: {done.stderr}")
    return done.stdout.strip()


class Ours:
    skips = ()

    def __init__(self, disk, export, name):
        self.name, self.export, self.group = name, export, "vg-" + export
        run("tvgcreate", "-s", "1m", self.group, disk)
        run("tvcreate", "-L", "400m", "--poolmetadatasize", "8m", "-c", "64k", "-T",
            f"{self.group}/pool")

    def device_of(self, volume):
        run("tvchange", "-ay", "-K", "--export", self.export, f"{self.group}/{volume}")
        return run("tvs", "--noheadings", "-o", "device", f"{self.group}/{volume}")

    def start(self):
        run("tvcreate", "-V", f"{SIZE}b", "-T", f"{self.group}/pool", "-n", "v")
        self.device = self.device_of("v")

    def snapshot(self):
        run("tvsnapshot", "-n", "s", f"{self.group}/v")
        self.snapshot_device = self.device_of("s")

    def pid(self):
        return run("tvs", "--noheadings", "-o", "server_pid", f"{self.group}/v")

    def stop(self):
        run("tvchange", "-an", self.group)
        run("tvremove", "-y", f"{self.group}/s", f"{self.group}/v")


class KernelThin:
    name, skips = "dm-thin", ()

    def __init__(self, disk):
        from device_mapper import Device
        self.make = Device
        metadata = Device("tmeta", [(0, 8 * 2048, "linear", f"{disk} 0")])
        with open(metadata.path, "wb") as file:
            file.write(bytes(4096))
        data = Device("tdata", [(0, 400 * 2048, "linear", f"{disk} {8 * 2048}")])
        self.pool = Device("tpool", [(0, 400 * 2048, "thin-pool",
                                      f"{metadata.number} {data.number} {CHUNK // 512} 0")])
        self.id = 0

    def volume(self, name):
        return self.make(name, [(0, SIZE // 512, "thin", f"{self.pool.number} {self.id}")])

    def start(self):
        self.id += 1
        self.pool.message(f"create_thin {self.id}")
        self.volumes = [self.volume("thin")]
        self.device = self.volumes[0].path

    def snapshot(self):
        self.volumes[0].suspend()
        self.pool.message(f"create_snap {self.id + 1} {self.id}")
        self.volumes[0].resume()
        self.id += 1
        self.volumes.append(self.volume("snap"))
        self.snapshot_device = self.volumes[1].path

    def stop(self):
        for volume in self.volumes:
            volume.remove()
        for number in (self.id - 1, self.id):
            self.pool.message(f"delete {number}")

    def pid(self):
        return ""


class Linear(KernelThin):
    name, skips = "dm-linear", NO_SNAPSHOT + NO_FIRST

    def __init__(self, disk):
        from device_mapper import Device
        self.device = Device("lin", [(0, SIZE // 512, "linear", f"{disk} 0")]).path

    def start(self):
        pass

    snapshot = stop = start


class LoopFile(KernelThin):
    """A file on ext4: its blocks are allocated when they are written to."""
    name, skips = "loop on a file", NO_SNAPSHOT

    def __init__(self, disk):
        run("mkfs.ext4", "-q", disk)
        os.mkdir("raw")
        run("mount", disk, "raw")

    def start(self):
        with open("raw/file", "wb") as file:
            file.truncate(SIZE)
        self.device = run("losetup", "-f", "--show", "--direct-io=on", "raw/file")

    def snapshot(self):
        pass

    def stop(self):
        run("losetup", "-d", self.device)
        os.remove("raw/file")


def counters(text):
    """What /proc/stat and a server's /proc/PID/stat said: seconds of processor time."""
    lines = text.splitlines()
    cpu = [int(word) for word in lines[0].split()[1:9]]
    found = {"busy": (sum(cpu) - cpu[3] - cpu[4]) / 100, "server": 0.0}
    for line in lines:
        if line.startswith("ctxt"):
            found["switches"] = int(line.split()[1])
        elif ") " in line and line[0].isdigit():
            words = line.rsplit(") ", 1)[1].split()
            found["server"] = (int(words[11]) + int(words[12])) / 100
    return found


def measure(device, what, seconds, pid):
    """Rates and processor time a request, in microseconds."""
    read = "cat /proc/stat" + (f" /proc/{pid}/stat" if pid else "")
    words = ["fio", "--name=row", f"--filename={device}", "--direct=1", "--ioengine=libaio",
             "--output-format=json", "--output=row.json", "--randrepeat=1", "--norandommap",
             f"--exec_prerun={read}", f"--exec_postrun={read}", *what]
    run(*words, *(["--time_based", f"--runtime={int(seconds * 1e3)}ms"] if seconds else []))
    with open("row.json") as file:
        text = file.read()
    job = json.loads(text[text.index("{"):])["jobs"][0]
    side = job["read"] if job["read"]["total_ios"] else job["write"]
    before, after = (counters(pathlib.Path(f"row.{when}run.txt").read_text())
                     for when in ("pre", "post"))
    spent = {name: after[name] - before[name] for name in before}
    requests = side["total_ios"]
    fio = (job["usr_cpu"] + job["sys_cpu"]) / 100 * job["job_runtime"] / 1e3
    return {"iops": side["iops"], "MiB/s": side["bw_bytes"] / MIB,
            "us": spent["busy"] / requests * 1e6, "server": spent["server"] / requests * 1e6,
            "fio": fio / requests * 1e6, "switches": spent["switches"] / requests}


def in_the_machine(rounds, seconds):
    os.environ |= {"PATH": os.environ["THINVOL_BIN"] + ":" + os.environ["PATH"]} | {
        f"THINVOL_{name}_DIR": os.path.abspath(name.lower())
        for name in ("STATE", "RUN", "CONFIG", "DEVICE")}
    ways = [Ours("/dev/vda", "ublk", "ublk"), Ours("/dev/vdb", "nbd-kernel", "kernel NBD"),
            KernelThin("/dev/vdc"), Linear("/dev/vdd"), LoopFile("/dev/vde")]
    results = {}
    for n in range(rounds):
        for way in ways:
            way.start()
        for m, (row, what, timed) in enumerate(ROWS):
            first = (n + m) % len(ways)
            for way in ways[first:] + ways[:first]:
                print(f"round {n + 1} of {rounds}: {row}, {way.name}", flush=True)
                if what is None:
                    way.snapshot()
                elif row not in way.skips:
                    device = way.snapshot_device if row.endswith("snapshot") else way.device
                    found = measure(device, what, seconds if timed else 0, way.pid())
                    results.setdefault(row, {}).setdefault(way.name, []).append(found)
        for way in ways:
            way.stop()
    pathlib.Path("/vm/results.json").write_text(json.dumps(results))


# --- here ----------------------------------------------------------------------------------------

def median(results, row, way, what):
    found = results[row].get(way)
    return statistics.median(one[what] for one in found) if found else None


def print_tables(results):
    ways = ["ublk", "kernel NBD", "dm-thin", "dm-linear", "loop on a file"]
    print(f"| requests a second, or MiB/s; CPU us each | {' | '.join(ways)} | ublk of dm-thin |")
    print("|---|" + "---:|" * (len(ways) + 1))
    for row in results:
        unit = "MiB/s" if row.startswith("1 MiB") else "iops"
        cells = [""] * len(ways)
        for n, way in enumerate(ways):
            rate = median(results, row, way, unit)
            if rate is not None:
                cells[n] = f"{rate:.0f}; {median(results, row, way, 'us'):.0f}"
        ratio = median(results, row, "ublk", unit) / median(results, row, "dm-thin", unit)
        print(f"| {row} | {' | '.join(cells)} | {ratio:.2f} |")
    print("\n| where the processors are, us | fio | server | kernel's threads, interrupts, rest | "
          "switches |\n|---|---:|---:|---:|---:|")
    for row in ("4 KiB random read", "1 MiB read"):
        for way in ways:
            busy, fio, server, switches = (median(results, row, way, what)
                                           for what in ("us", "fio", "server", "switches"))
            print(f"| {row}, {way} | {fio:.0f} | {server:.0f} | {busy - fio - server:.0f} "
                  f"| {switches:.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each timed row")
    parser.add_argument("--json", help="all that was measured, into this file")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        return in_the_machine(options.rounds, options.seconds)
    with tempfile.TemporaryDirectory() as left:
        subprocess.check_call([TESTS / "vm/boot.sh", "-t", "1800", "-o", left, *["-d", "512"] * 5,
                               pathlib.Path(__file__).resolve(), "--inside",
                               "--rounds", str(options.rounds), "--seconds", str(options.seconds)],
                              stdout=sys.stderr)
        results = json.loads(pathlib.Path(left, "results.json").read_text())
    print_tables(results)
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(results, indent=1))


main()
