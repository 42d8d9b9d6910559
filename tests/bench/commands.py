#!/usr/bin/python3
"""What one command costs: medians of the whole process, and flushes, as a markdown table.

    commands.py [--runs N]

Goal    the README's figures; nothing here passes or fails.
Method  the release build on a group of two physical volumes, files under TMPDIR (/var/tmp). Each
        command runs N times, a run of each in turn, so that a machine's moods meet all of them. A
        round of the peers (a bare write and fdatasync; qemu-img making a qcow2 overlay) runs in
        between. Flushes are counted in runs of their own: fsync, fdatasync and writes with
        RWF_DSYNC, of the command and of the pool's server (by strace), and those that the server
        asks of the kernel's ring (by its own counter, server_flushes).
"""

import argparse
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import time

BIN = pathlib.Path(__file__).resolve().parents[2] / "build/release/bin"
FLUSH = re.compile(r"\b(fsync|fdatasync)\(|RWF_DSYNC")


class Bench:
    def __init__(self, folder):
        self.folder = folder
        self.environment = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}")
        for name in ("STATE", "RUN", "CONFIG"):
            self.environment[f"THINVOL_{name}_DIR"] = f"{folder}/{name.lower()}"
        self.n = 0

    def run(self, *line):
        done = subprocess.run(line, env=self.environment, cwd=self.folder, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True)
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(line)}: {done.stderr}")
        return done.stdout

    def prepare(self):
        for pv in ("pv0.img", "pv1.img"):
            with open(f"{self.folder}/{pv}", "wb") as file:
                file.truncate(4 << 30)
        self.run("tvgcreate", "vg0", "pv0.img", "pv1.img")
        self.run("tvcreate", "-L", "2g", "-T", "vg0/busy")
        self.run("tvcreate", "-L", "2g", "-T", "vg0/idle")
        self.run("tvcreate", "-V", "1g", "-T", "vg0/busy", "-n", "origin")
        for n in range(100):
            self.run("tvcreate", "-V", "1g", "-T", "vg0/idle", "-n", f"v{n}")
        self.run("tvchange", "-ay", "vg0/origin")
        self.run("qemu-img", "create", "-q", "-f", "qcow2", "base.qcow2", "4g")
        self.scratch = os.open(f"{self.folder}/scratch", os.O_RDWR | os.O_CREAT, 0o600)
        os.pwrite(self.scratch, bytes(1 << 20), 0)
        os.fsync(self.scratch)

    def dirty(self):
        """Writes to the volume in use, so that a snapshot has something to make durable."""
        uri = self.run("tvs", "--noheadings", "-o", "uri", "vg0/origin").strip()
        self.run("qemu-io", "-f", "raw", "-c", f"write -q {self.n % 1000}M 256k", uri)

    def server(self, field):
        return int(self.run("tvs", "--noheadings", "-o", field, "vg0/origin"))

    def rows(self):
        """Name, command line, and what is done before it outside of the clock."""
        self.n += 1
        return [
            ("tvcreate -V", ["tvcreate", "-V", "1g", "-T", "vg0/idle", "-n", f"n{self.n}"], None),
            ("tvsnapshot, volume in use", ["tvsnapshot", "-n", f"s{self.n}", "vg0/origin"],
             self.dirty),
            ("tvremove", ["tvremove", "-y", f"vg0/n{self.n}"], None),
            ("tvs, 100 volumes", ["tvs"], None),
            ("peer: qemu-img create, overlay",
             ["qemu-img", "create", "-q", "-f", "qcow2", "-b", "base.qcow2", "-F", "qcow2",
              "overlay.qcow2"], None),
        ]

    def timed(self, line):
        began = time.perf_counter()
        self.run(*line)
        return (time.perf_counter() - began) * 1e3

    def bare_flush(self):
        began = time.perf_counter()
        os.pwrite(self.scratch, os.urandom(4096), self.n % 256 * 4096)
        os.fdatasync(self.scratch)
        return (time.perf_counter() - began) * 1e3

    def flushes(self, line):
        pid, before = self.server("server_pid"), self.server("server_flushes")
        trace = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync,pwritev2"]
        watch = subprocess.Popen(trace + ["-p", str(pid), "-o", f"{self.folder}/server.trace"],
                                 stderr=subprocess.DEVNULL)
        while "TracerPid:\t0" in pathlib.Path(f"/proc/{pid}/status").read_text():
            time.sleep(0.01)
        self.run(*trace, "-o", "command.trace", *line)
        watch.terminate()
        watch.wait()
        lines = "".join(pathlib.Path(self.folder, f"{name}.trace").read_text()
                        for name in ("server", "command"))
        return len(FLUSH.findall(lines)) + self.server("server_flushes") - before


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--runs", type=int, default=30)
    runs = arguments.parse_args().runs
    folder = tempfile.mkdtemp(prefix="tvbench.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    bench = Bench(folder)
    times, flushes, bare = {}, {}, []
    try:
        bench.prepare()
        for _ in range(runs):
            for name, line, before in bench.rows():
                if before:
                    before()
                times.setdefault(name, []).append(bench.timed(line))
            bare.append(bench.bare_flush())
        for _ in range(7):
            for name, line, before in bench.rows():
                if before:
                    before()
                flushes.setdefault(name, []).append(bench.flushes(line))
    finally:
        subprocess.run(["tvchange", "-an", "vg0"], env=bench.environment, check=False)
        shutil.rmtree(folder)
    print("| command | median ms | 95 % ms | flushes |\n|---|---:|---:|---:|")
    for name, samples in times.items():
        high = sorted(samples)[int(len(samples) * 0.95)]
        print(f"| {name} | {statistics.median(samples):.1f} | {high:.1f} "
              f"| {statistics.median(flushes[name]):.0f} |")
    print(f"| peer: one write of 4 KiB and fdatasync | {statistics.median(bare):.2f} "
          f"| {sorted(bare)[int(len(bare) * 0.95)]:.2f} | 1 |")


main()
