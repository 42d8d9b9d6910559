#!/usr/bin/python3
"""A command, or its server, that gets no memory ends; what it began, the next command settles.

    tests/faults/failing_new.py [--budget SECONDS] [--seed N]        with THINVOL_BIN set

Goal    S54: whichever allocation of a command fails, nothing is left half done: given again, it
        comes to the same end, and the metadata are sound.
Method  each command that changes something is run with a library preloaded that lets the n-th
        operator new fail; n is drawn from as many as the command has. It is given again, then
        another change. Before it, everything is as it was: a copy. The last line is `executed
        distinct failures`.
"""

import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

BIN = pathlib.Path(os.environ["THINVOL_BIN"])
LIBRARY = BIN / "failing_new.so"
MIB = 1 << 20
COMMANDS = (
    ("tvcreate", "-V", "8m", "-T", "vg0/pool0", "-n", "new"),
    ("tvcreate", "-L", "8m", "-T", "vg0/pool1"),
    ("tvsnapshot", "-n", "snap", "vg0/v"),
    ("tvremove", "-y", "vg0/s"),
    ("tvremove", "-y", "vg0/pool0"),
    ("tvrename", "vg0/v", "vg0/w"),
    ("tvextend", "-L", "16m", "vg0/v"),
    ("tvreduce", "-y", "-L", "4m", "vg0/v"),
    ("tvextend", "-L", "28m", "vg0/pool0"),
    ("tvconvert", "--merge", "vg0/s"),
    ("tvchange", "--addtag", "t", "vg0/v"),
    ("tvchange", "-p", "r", "vg0/v"),
    ("tvgextend", "vg0", "more.img"),
    ("tvgcreate", "vg1", "more.img"),
    ("tvgrename", "vg0", "vg2"),
    ("tvpvmove", "pv.img", "other.img"),
    ("tvimport", "-y", "disk.raw", "vg0/v"),
    ("tvchange", "-ay", "vg0/v"),
)


class Home:
    def __init__(self, folder):
        self.folder = folder
        self.place = folder / "now"  # the same for each copy: paths are in the catalog
        self.place.mkdir()
        for name in ("pv.img", "other.img", "more.img"):
            (self.place / name).touch()
            os.truncate(self.place / name, 64 * MIB)
        (self.place / "disk.raw").write_bytes(os.urandom(1 * MIB))
        for words in (("tvgcreate", "-s", "1m", "vg0", "pv.img", "other.img"),
                      ("tvcreate", "-L", "24m", "-V", "8m", "-T", "vg0/pool0", "-n", "v"),
                      ("tvsnapshot", "-n", "s", "vg0/v")):
            self.must(*words)
        self.begin = folder / "begin"
        self.copy(self.place, self.begin)

    @staticmethod
    def copy(source, target):
        subprocess.run(["cp", "-a", "--sparse=always", "--reflink=auto", source, target],
                       check=True)

    def restore(self):
        shutil.rmtree(self.place)
        self.copy(self.begin, self.place)

    def run(self, *words, **environment):
        places = {f"THINVOL_{n}_DIR": str(self.place / n.lower()) for n in
                  ("STATE", "RUN", "CONFIG")}
        return subprocess.run([BIN / words[0], *words[1:]], cwd=self.place, check=False,
                              env={**os.environ, "LC_ALL": "C", **places, **environment},
                              stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              timeout=120)

    def must(self, *words):
        ended = self.run(*words)
        if ended.returncode != 0:
            raise AssertionError(f"{' '.join(words)}: {ended.stderr}")
        return ended.stdout

    def state(self):
        """Settled, sound, and as names, sizes and flags tell it."""
        for group in self.must("tvgs", "--noheadings", "-o", "vg_name").split():
            self.must("tvgchange", "--addtag", "settled", group)
            self.must("tvchange", "-an", group)
            self.must("tvgck", group)
        pools = [line.split()[0] for line in self.must(
            "tvs", "--noheadings", "-o", "lv_full_name,lv_attr").splitlines()
            if line.split()[1].startswith("t")]
        for pool in pools:
            self.must("tvcheck", pool)
        return (self.must("tvs", "-a", "--noheadings", "-o",
                          "lv_full_name,lv_size,lv_attr,lv_tags,origin"),
                self.must("tvgs", "--noheadings", "-o", "vg_name,pv_count,vg_free_count"),
                self.must("tvpvs", "--noheadings", "-o", "pv_name,vg_name,pv_used"))


def count_and_result(home, words):
    """How many allocations there are, and what there is afterwards."""
    home.restore()
    counter = home.folder / "count"
    ended = home.run(*words, LD_PRELOAD=str(LIBRARY), THINVOL_COUNT_NEW=str(counter))
    if ended.returncode != 0:
        raise AssertionError(f"{' '.join(words)}: {ended.stderr}")
    return int(counter.read_text()), home.state()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--budget", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    end = time.monotonic() + options.budget
    draw = random.Random(options.seed)
    executed, ended_how, failures = 0, set(), 0
    base = os.environ.get("TMPDIR", "/var/tmp")
    with tempfile.TemporaryDirectory(prefix="tv.", dir=base) as name:
        home = Home(pathlib.Path(name))
        known = {}
        while time.monotonic() < end:
            words = COMMANDS[executed % len(COMMANDS)]
            if words not in known:
                known[words] = count_and_result(home, words)
            count, wanted = known[words]
            number = draw.randrange(count) + 1
            home.restore()
            how = home.run(*words, LD_PRELOAD=str(LIBRARY), THINVOL_FAIL_NEW=str(number))
            executed += 1
            ended_how.add((words, how.returncode))
            try:
                home.run(*words)
                found = home.state()
                trouble = "" if found == wanted else f"{found}, not {wanted}"
            except AssertionError as error:
                trouble = str(error)
            if trouble:
                failures += 1
                print(f"{' '.join(words)}, allocation {number} of {count}, status "
                      f"{how.returncode}: {trouble}", file=sys.stderr)
        home.run("tvchange", "-an", "vg0")
    print(executed, len(ended_how), failures)
    sys.exit(1 if failures else 0)


main()
