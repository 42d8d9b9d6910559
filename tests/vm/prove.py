#!/usr/bin/python3
"""The rows that need a real kernel: each job in a virtual machine of its own, a line a row.

    prove.py [--json FILE] [--jobs N] [JOB|ID]...        with THINVOL_BIN set

Goal    the scoreboard of `./run prove`, with a real kernel as judge.
Method  a job (tests/vm/jobs) says in its first lines what row it is, as tests/prove/rows.d does:

            # Row: S30 a pool goes to the kernel and back
            # Minimum: 10           executed
            # Seconds: 200          about; the longest begin first

        Its last line is `executed distinct value`, unless tests/vm/compare has a program of its
        name: that part of a comparison needs no kernel, is given what the job left, and has the
        last word. Exit status 0 passes if enough was executed. What a job left that fails is kept.
"""

import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
LIMIT = 1800  # seconds in the machine
LINE = "{:<5} {:<52} {:>9} {:>9} {:>9}  {:>7} {:>7}"


class Row:
    def __init__(self, path):
        head = path.read_text()[:600]
        found = [re.search(rf"^# {key}: *(.+)$", head, re.M)
                 for key in ("Row", "Minimum", "Seconds")]
        if not all(found):
            sys.exit(f"{path}: its first lines want `# Row: ID TEXT`, `# Minimum: N`, "
                     "`# Seconds: N`")
        self.job = path.name
        self.id, self.what = found[0][1].split(" ", 1)
        self.minimum, self.seconds = (int(match[1]) for match in found[1:])
        self.executed = self.distinct = 0
        self.value, self.failure, self.took, self.lost = "-", "", 0, []

    def order(self):
        number, rest = re.fullmatch(r"S(\d+)(.*)", self.id).groups()
        return int(number), rest

    def verdict(self):
        return "PASS" if not self.failure and self.executed >= self.minimum else "FAIL"

    def run(self):
        began = time.monotonic()
        left = tempfile.mkdtemp(prefix="thinvol-vm.", dir=os.environ.get("TMPDIR", "/var/tmp"))
        ok, text = said(HERE / "boot.sh", "-t", str(LIMIT), "-o", left, HERE / "jobs" / self.job)
        compare = HERE / "compare" / self.job
        if ok and compare.exists():
            ok, text = said(compare, left)
        lines = text.splitlines()
        self.lost = [lines[n + 1] for n, line in enumerate(lines[:-1])
                     if line.endswith("ended without a result: its kernel was lost")]
        found = re.fullmatch(r"(\d+) (\d+) (\S+)", lines[-1] if lines else "")
        if ok and found:
            self.executed, self.distinct, self.value = int(found[1]), int(found[2]), found[3]
        else:
            self.failure = "\n".join(lines[-60:]) + f"\nwhat it left is in {left}"
        if not self.failure:
            shutil.rmtree(left)
        self.took = time.monotonic() - began
        print(f"{self.job}: {self.took:.0f} s", file=sys.stderr)
        return self

    def print(self):
        print(LINE.format(self.id, self.what, self.executed, self.distinct, self.minimum,
                          self.value, 0), "", self.verdict())
        for why in self.lost:
            print(f"      begun again: the emulated machine's kernel was lost: {why}")
        if self.failure:
            print("      " + self.failure.replace("\n", "\n      "))
        sys.stdout.flush()


def said(*words):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          errors="replace")
    return done.returncode == 0, done.stdout


def chosen(names):
    rows = [Row(path) for path in sorted((HERE / "jobs").iterdir())]
    unknown = set(names) - {row.job for row in rows} - {row.id for row in rows}
    if unknown:
        sys.exit(f"no job or row {' '.join(unknown)}; there are: "
                 + " ".join(f"{row.job} ({row.id})" for row in rows))
    return [row for row in rows if not names or row.job in names or row.id in names]


def write_json(path, rows):
    columns = ("id", "what", "executed", "distinct", "minimum", "value", "failure", "lost")
    told = [{name: getattr(row, name) for name in columns}
            | {"target": "0", "verdict": row.verdict(), "skipped": "", "seconds": row.took}
            for row in rows]
    pathlib.Path(path).write_text(json.dumps({"lane": "vm", "seed": 1, "rows": told}, indent=1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*", metavar="JOB|ID")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--jobs", type=int, default=len(os.sched_getaffinity(0)))
    options = parser.parse_args()
    rows = sorted(chosen(options.names), key=Row.order)
    subprocess.check_output([HERE / "fetch_kernel.sh"])
    print(LINE.format("id", "what", "executed", "distinct", "minimum", "value", "target"),
          flush=True)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        longest_first = sorted(rows, key=lambda row: -row.seconds)
        running = {row: pool.submit(row.run) for row in longest_first}
        for row in rows:
            running[row].result().print()
    if options.json:
        write_json(options.json, rows)
    return all(row.verdict() == "PASS" for row in rows)


sys.exit(0 if main() else 1)
