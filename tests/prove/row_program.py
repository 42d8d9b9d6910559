"""RowProgram: what the rows share that are programs over the real commands.

A row is a function of (row, home): row counts cases and knows when its time is over; home is an
Installation of its own. It prints `executed distinct value` last; what it raises is its failure.
"""

import argparse
import hashlib
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

TESTS = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "nbd"))
import installation  # noqa: E402

MIB = 1 << 20


class Row:
    def __init__(self, options):
        self.seed = options.seed
        self.end = time.monotonic() + options.budget
        self.budget = options.budget
        self.executed = 0
        self.kinds = set()

    def over(self):
        return time.monotonic() > self.end

    def count(self, kind, executed=1):
        self.executed += executed
        self.kinds.add(kind)


def check(holds, text):
    if not holds:
        raise AssertionError(text)


class Home(installation.Installation):
    """An installation in memory, whose group's physical volumes are files of that size."""

    def __init__(self, bin_dir, seed, where="/dev/shm"):
        tempfile.tempdir = where
        super().__init__(bin_dir, seed)

    def begin_with(self, size, *names):
        self.pvs = [self.file(name) for name in names]
        for path in self.pvs:
            with open(path, "wb") as file:
                file.truncate(size)
        self.command("tvgcreate", "-s", "1m", "vg0", *self.pvs)

    def fails(self, words, *parts, status=5):
        """The command ends with that status, and says so; what it wrote."""
        done = self.run(os.path.join(self.bin_dir, words[0]), *words[1:])
        said = done.stdout + done.stderr
        check(done.returncode == status, f"{words} ended with {done.returncode}: {said}")
        for part in parts:
            check(part in said, f"{words} does not say {part!r}: {said}")
        return said

    def lines(self, *words):
        return [line.strip() for line in self.command(*words).splitlines()]

    def volumes(self):
        return [name for name, kind in (line.split() for line in self.lines(
            "tvs", "--noheadings", "-o", "lv_name,lv_attr", "vg0")) if kind[0] == "V"]

    def content(self, name):
        """What a volume holds, in few bytes, whatever size it has."""
        command = [os.path.join(self.bin_dir, "tvexport"), f"vg0/{name}", "-"]
        with subprocess.Popen(command, env=self.environment, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE) as export:
            image, said = export.communicate()
        check(export.returncode == 0, f"{command}: {said.decode()}")
        return hashlib.sha256(image.rstrip(b"\0")).hexdigest()

    def contents(self):
        return {name: self.content(name) for name in self.volumes()}

    def fill(self, name, image, *options):
        """The volume's content is this, from its beginning."""
        path = self.file("image")
        with open(path, "wb") as file:
            file.write(image)
        self.command("tvimport", "-y", path, f"vg0/{name}", *options)


def main(run, purpose, budget):
    parser = argparse.ArgumentParser(description=purpose)
    parser.add_argument("--budget", type=int, default=budget)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    row = Row(options)
    value = "0"
    try:
        value = run(row, os.environ["THINVOL_BIN"]) or value
    except Exception:  # whatever it is, the row fails with it
        traceback.print_exc(limit=-3)
        value = "1"
    print(row.executed, len(row.kinds), value)
    sys.exit(value == "1")
