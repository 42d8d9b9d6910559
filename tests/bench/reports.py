#!/usr/bin/python3
"""What commands and completion cost in a large group: medians of the whole process, as a markdown
table.

    reports.py [--runs N]

Goal    a report of 100,000 volumes in half a second; one of a single volume, what TAB offers and a
        change of one volume as fast as in a group of ten, or half as fast; a pool of 1 TiB with
        100,000 volumes activated in a second. Nothing here passes or fails.
Method  the release build on a group of one sparse file. Volumes are put into the catalog by SQL,
        and with ten mappings each into the pool by tvrestore. Runs of all commands take turns; what
        a command did is undone outside of its time.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import time

from many_volumes import environment, fill, run

COMMANDS = [
    ("tvs", ["tvs"]),
    ("tvs vg0/v000007", ["tvs", "vg0/v000007"]),
    ("tvs -o +lv_role,lv_tags,lv_ancestors vg0/v000007",
     ["tvs", "-o", "+lv_role,lv_tags,lv_ancestors", "vg0/v000007"]),
    ("tvs vg0/pool0", ["tvs", "-o", "+thin_count", "vg0/pool0"]),
    ("tvs -S lv_name=v000007", ["tvs", "-S", "lv_name=v000007"]),
    ("tvs --tree", ["tvs", "--tree"]),
    ("tvgs", ["tvgs"]),
    ("TAB, tvsnapshot vg0/v", ["thinvol", "complete", "--", "1", "tvsnapshot", "vg0/v"]),
    ("TAB, tvs -o +u", ["thinvol", "complete", "--", "2", "tvs", "-o", "+u"]),
]
# And how each is undone.
CHANGES = [
    ("tvcreate -V", ["tvcreate", "-V", "1g", "-T", "vg0/pool0", "-n", "new"],
     ["tvremove", "-y", "vg0/new"]),
    ("tvsnapshot", ["tvsnapshot", "-n", "new", "vg0/v000007"], ["tvremove", "-y", "vg0/new"]),
    ("tvrename", ["tvrename", "vg0/v000007", "new"], ["tvrename", "vg0/new", "v000007"]),
    ("tvchange -ay vg0/v000007, a server is started", ["tvchange", "-ay", "vg0/v000007"],
     ["tvchange", "-an", "vg0/v000007"]),
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    counts = (10, 1000, 100000)
    times = {}
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR", "/var/tmp")) as top:
        for count in counts:
            os.mkdir(f"{top}/{count}")
            fill(f"{top}/{count}", count)
        for _ in range(runs):
            for count in counts:
                for name, line, *undo in COMMANDS + CHANGES:
                    begin = time.monotonic()
                    run(f"{top}/{count}", line)
                    times.setdefault((name, count), []).append(time.monotonic() - begin)
                    for back in undo:
                        run(f"{top}/{count}", back)
    print("| ms | " + " | ".join(f"{c:,} volumes" for c in counts) + " |")
    print("|---|" + "---:|" * len(counts))
    for name, *_ in COMMANDS + CHANGES:
        cells = (f"{statistics.median(times[name, c]) * 1000:.1f}" for c in counts)
        print(f"| {name} | " + " | ".join(cells) + " |")


main()
