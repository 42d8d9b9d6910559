#!/usr/bin/python3
"""Fuzzing: runs the targets over their corpora and beyond, and says what it came to.

    tests/fuzz/run.py [--time SECONDS] [--jobs N] [--seed N] [TARGET...]   all targets, or those
    tests/fuzz/run.py --replay FILE TARGET       one input again, with what it does to the target
    tests/fuzz/run.py --minimise TARGET...       what the last runs found goes into the corpora
    tests/fuzz/run.py --row ID --budget SECONDS --seed N       as a row of `./run prove`

Goal    no input makes a target crash, leak, hang, take more memory than it may, or break what the
        target's first lines promise.
Method  libFuzzer under ASan and UBSan (preset fuzz). A corpus is an archive beside its target,
        NAME.tar.xz; what a run finds besides lies in build/fuzz/found/NAME, an input that breaks
        something in build/fuzz/broken/NAME. The time is shared out by weight, in processor
        seconds. Executed counts inputs, distinct the edges of code that they reached.
"""

import argparse
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BUILD = ROOT / "build/fuzz"
SKIPPED = 77
LONGEST_INPUT = 4096
LIMITS = ("-timeout=10", "-rss_limit_mb=1536", "-malloc_limit_mb=256", f"-max_len={LONGEST_INPUT}")
# What a corpus may hold, smallest inputs first.
CORPUS_INPUTS, CORPUS_BYTES = 600, 100000

TARGETS = {  # the row of the scoreboard, and its weight
    "nbd_negotiation": ("S38", 3),
    "nbd_transmission": ("S39", 3),
    "metadata": ("S40", 4),
    "physical_volume": ("S40", 2),
    "xml": ("S41", 2),
    "streams": ("S42", 2),
    "texts": ("S43", 2),
    "command_line": ("S43", 1),
    "control": ("S44", 2),
}


def build(targets):
    if shutil.which("clang++-19") is None:
        print("clang++-19 is not installed: ./run deps fuzz", file=sys.stderr)
        sys.exit(SKIPPED)
    programs = [f"{name}_fuzz" for name in targets]
    for step in (["--preset", "fuzz", "-DTHINVOL_BENCH=OFF"],
                 ["--build", BUILD, "--target", *programs]):
        done = subprocess.run(["cmake", *step], cwd=ROOT, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        if done.returncode != 0:
            sys.exit(f"{done.stdout[-4000:]}\nthe fuzz targets cannot be built")


def command(name, *arguments):
    dictionary = HERE / f"{name}.dict"
    words = [BUILD / "bin" / f"{name}_fuzz", *LIMITS, *arguments]
    return words + ([f"-dict={dictionary}"] if dictionary.exists() else [])


def environment():
    # Large allocations that wait in quarantine cost more than they find.
    sanitizer = "quarantine_size_mb=8:detect_leaks=1"
    return {**os.environ, "ASAN_OPTIONS": sanitizer,
            "ASAN_SYMBOLIZER_PATH": shutil.which("llvm-symbolizer-19") or ""}


def unpack(name, into):
    archive = HERE / f"{name}.tar.xz"
    if archive.exists():
        with tarfile.open(archive) as tar:
            tar.extractall(into)


class Run:
    """One target for its share of the time."""

    def __init__(self, name, seconds, seed):
        self.name, self.row = name, TARGETS[name][0]
        self.executed = self.edges = self.began_with = self.peak = 0
        self.trouble = ""
        found = BUILD / "found" / name
        self.broken = BUILD / "broken" / name
        for folder in (found, self.broken):
            folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as corpus:
            unpack(name, corpus)
            process = subprocess.run(
                command(name, f"-max_total_time={seconds}", f"-seed={seed}", "-len_control=20",
                        "-print_final_stats=1", f"-artifact_prefix={self.broken}/", found, corpus),
                env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                text=True, errors="replace")
        self.read(process)

    def read(self, process):
        edges = [int(n) for n in re.findall(r"\bcov: (\d+)", process.stderr)]
        self.began_with, self.edges = (edges[0], edges[-1]) if edges else (0, 0)
        for number in re.findall(r"number_of_executed_units: (\d+)", process.stderr):
            self.executed = int(number)
        for number in re.findall(r"peak_rss_mb: +(\d+)", process.stderr):
            self.peak = int(number)
        if process.returncode == 0:
            return
        said = re.findall(r"^(?:broken: .*|.*ERROR: .*|.*runtime error: .*)", process.stderr, re.M)
        kept = re.findall(r"Test unit written to (\S+)", process.stderr)
        self.trouble = "; ".join(said[:2]) or f"exit status {process.returncode}"
        if kept:
            self.trouble += f"\n    tests/fuzz/run.py --replay {kept[-1]} {self.name}"


def fuzz(options):
    names = options.targets or list(TARGETS)
    build(names)
    total = sum(TARGETS[name][1] for name in names)
    share = {name: max(1, options.time * options.jobs * TARGETS[name][1] // total)
             for name in names}
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        # The longest first, so that they end together.
        order = sorted(names, key=lambda name: -share[name])
        runs = list(pool.map(lambda name: Run(name, share[name], options.seed), order))
    return sorted(runs, key=lambda run: (run.row, run.name))


def print_table(runs):
    print(f"{'row':<4} {'target':<18} {'executed':>9} {'edges before':>12} {'after':>6} "
          f"{'peak MB':>8}")
    for run in runs:
        verdict = "FAIL" if run.trouble else "PASS"
        print(f"{run.row:<4} {run.name:<18} {run.executed:>9} {run.began_with:>12} "
              f"{run.edges:>6} {run.peak:>8}  {verdict}")
        if run.trouble:
            print(f"    {run.trouble}")


def replay(name, file):
    build([name])
    print(" ".join(map(str, command(name, file))), file=sys.stderr)
    sys.exit(subprocess.run(command(name, file), env=environment()).returncode)


def minimise(name):
    """The smallest inputs that reach what all there are reach, and the archive of them."""
    build([name])
    with tempfile.TemporaryDirectory() as before, tempfile.TemporaryDirectory() as after:
        unpack(name, before)
        found = BUILD / "found" / name
        found.mkdir(parents=True, exist_ok=True)
        subprocess.run(command(name, "-set_cover_merge=1", after, before, found),
                       env=environment(), stderr=subprocess.DEVNULL, check=True)
        files = sorted(pathlib.Path(after).iterdir(), key=lambda f: (f.stat().st_size, f.name))
        size, kept = 0, []
        for file in files[:CORPUS_INPUTS]:
            size += file.stat().st_size
            if size > CORPUS_BYTES:
                break
            kept.append(file)
        archive = HERE / f"{name}.tar.xz"
        with tarfile.open(archive, "w:xz", preset=9, format=tarfile.USTAR_FORMAT) as tar:
            for number, file in enumerate(kept):
                info = tarfile.TarInfo(f"{number:03}")  # the same inputs make the same archive
                info.size = file.stat().st_size
                with file.open("rb") as content:
                    tar.addfile(info, content)
    print(f"{name}: {len(kept)} inputs of {len(files)}, {archive.stat().st_size} bytes packed")


def as_row(options):
    options.targets = [name for name, (row, _) in TARGETS.items() if row == options.row]
    options.jobs = 1
    runs = fuzz(options)
    print_table(runs)
    for run in runs:
        if run.trouble:
            print(f"{run.name}: {run.trouble}", file=sys.stderr)
    broken = sum(1 for run in runs if run.trouble)
    print(sum(run.executed for run in runs), sum(run.edges for run in runs), broken)
    sys.exit(1 if broken else 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--time", "--budget", type=int, default=180)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--seed", type=int, default=int(time.time()) % 100000 + 1)
    parser.add_argument("--row")
    parser.add_argument("--replay", metavar="FILE")
    parser.add_argument("--minimise", action="store_true")
    options = parser.parse_args()
    for name in options.targets:
        if name not in TARGETS:
            parser.error(f"no target {name}: there are {', '.join(TARGETS)}")
    if options.row:
        as_row(options)
    if options.replay:
        replay(options.targets[0], options.replay)
    if options.minimise:
        for name in options.targets or TARGETS:
            minimise(name)
        return
    runs = fuzz(options)
    print(f"seed {options.seed}")
    print_table(runs)
    sys.exit(1 if any(run.trouble for run in runs) else 0)


main()
