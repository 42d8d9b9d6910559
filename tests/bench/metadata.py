#!/usr/bin/python3
"""The metadata tools beside thin-provisioning-tools, as a markdown table.

    metadata.py [--runs N] [ROW]...

Goal    our time over that of the newest thin-provisioning-tools is at most 0.7 where those take
        over half a second, at most 1 where they do not. A target that is missed is printed as
        missed, and so is one whose peer could not be run. The exit status says nothing about speed.
Method  whole processes on one image (metadata_image makes it), a file under TMPDIR (/var/tmp) that
        was read once before: warm. The two take turns, N times; medians of the wall clock. What is
        installed of an older generation is timed once, for comparison.
"""

import argparse
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
OURS = ROOT / "build/release/bin"
NEWEST = ROOT / "build/peers/trixie/usr/sbin"  # where ./run deps bench unpacks it

# Name: our command line, theirs, and whether the older generation can do that too (it rejects what
# volumes share, and takes many minutes for a repair). {image} is the metadata device, {folder} a
# place to write, with shared.xml, our dump, and out, a device for the result.
ROWS = {
    "check": ("tvcheck -q --device {image}", "thin_check -q {image}", True),
    "dump": ("tvdump --format xml-shared --device {image} -o {folder}/ours.xml",
             "thin_dump {image} -o {folder}/theirs.xml", True),
    "restore": ("tvrestore -q -y -i {folder}/shared.xml -o {folder}/out",
                "thin_restore -q -i {folder}/shared.xml -o {folder}/out", False),
    "repair": ("tvrepair -q -y -i {image} -o {folder}/out",
               "thin_repair -q -i {image} -o {folder}/out", False),
    "ls": ("tvls -o DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_BLOCKS --device {image}",
           "thin_ls -o DEV,MAPPED_BLOCKS,EXCLUSIVE_BLOCKS,SHARED_BLOCKS {image}", True),
    "delta": ("tvdelta --thin1 0 --thin2 4 --device {image}",
              "thin_delta --thin1 0 --thin2 4 {image}", True),
}


def seconds(folder, line):
    """None if the program is not there; a failing one ends the benchmark."""
    if not pathlib.Path(line[0]).exists():
        return None
    began = time.perf_counter()
    done = subprocess.run(line, cwd=folder, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, line))}: {done.stderr}")
    return time.perf_counter() - began


def command(folder, where, line):
    words = line.format(image=f"{folder}/metadata", folder=folder).split()
    return [f"{where}/{words[0]}"] + words[1:] if where else [shutil.which(words[0])] + words[1:]


def version(folder, program):
    if not program or not pathlib.Path(program).exists():
        return None
    return subprocess.run([program, "-V"], cwd=folder, text=True, capture_output=True,
                          check=True).stdout.strip()


def measure(folder, row, runs):
    ours, theirs, _ = ROWS[row]
    samples = {OURS: [], NEWEST: []}
    for _ in range(runs):
        for where, line in ((OURS, ours), (NEWEST, theirs)):
            samples[where].append(seconds(folder, command(folder, where, line)))
    return [statistics.median(s) if s[0] is not None else None for s in samples.values()]


def shown(value, digits=3):
    return "n/a" if value is None else f"{value:.{digits}f}"


def main():
    arguments = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    arguments.add_argument("--runs", type=int, default=9)
    arguments.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    given = arguments.parse_args()
    if unknown := set(given.rows) - set(ROWS):
        arguments.error(f"no such row: {', '.join(sorted(unknown))}")
    os.environ["PATH"] += ":/usr/sbin:/sbin"
    folder = tempfile.mkdtemp(prefix="tvbench.", dir=os.environ.get("TMPDIR", "/var/tmp"))
    try:
        print(subprocess.run([OURS / "metadata_image", f"{folder}/metadata"], check=True,
                             text=True, capture_output=True).stdout)
        subprocess.run([OURS / "tvdump", "--format", "xml-shared", "--device", f"{folder}/metadata",
                        "-o", f"{folder}/shared.xml"], check=True)
        with open(f"{folder}/out", "wb") as out:
            out.truncate(os.path.getsize(f"{folder}/metadata"))
        newest = version(folder, f"{NEWEST}/thin_check")
        old = version(folder, shutil.which("thin_check"))
        print(f"| | ours s | {newest or 'newest'} s | ratio | target | | {old or 'older'} s |")
        print("|---|---:|---:|---:|---:|---|---:|")
        for row in given.rows or ROWS:
            ours, theirs = measure(folder, row, given.runs)
            target = 0.7 if theirs and theirs > 0.5 else 1.0
            ratio = ours / theirs if theirs else None
            verdict = "met" if ratio is not None and ratio <= target else "missed"
            before = None
            if old and old != newest and ROWS[row][2]:
                before = seconds(folder, command(folder, None, ROWS[row][1]))
            print(f"| {row} | {shown(ours)} | {shown(theirs)} | {shown(ratio, 2)} | {target} "
                  f"| {verdict} | {shown(before, 1)} |", flush=True)
    finally:
        shutil.rmtree(folder)


main()
