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
import pathlib
import sqlite3
import statistics
import subprocess
import tempfile
import time

BIN = pathlib.Path(__file__).resolve().parents[2] / "build/release/bin"
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
MAPPINGS = 10
POOL = 1 << 40
CHUNK = 1 << 18


def environment(folder):
    values = dict(os.environ, PATH=f"{BIN}:{os.environ['PATH']}")
    for name in ("STATE", "RUN", "CONFIG"):
        values[f"THINVOL_{name}_DIR"] = f"{folder}/{name.lower()}"
    return values


def run(folder, line):
    subprocess.run(line, env=environment(folder), cwd=folder, check=True,
                   stdout=subprocess.DEVNULL)


def write_xml(path, volumes, transaction):
    with open(path, "w", encoding="ascii") as xml:
        xml.write(f'<superblock uuid="" time="0" transaction="{transaction}" version="2" '
                  f'data_block_size="{CHUNK // 512}" nr_data_blocks="{POOL // CHUNK}">\n')
        for n in range(volumes):
            xml.write(f'<device dev_id="{n}" mapped_blocks="{MAPPINGS}" transaction="0" '
                      f'creation_time="0" snap_time="0"><range_mapping origin_begin="0" '
                      f'data_begin="{n * MAPPINGS}" length="{MAPPINGS}" time="0"/></device>\n')
        xml.write("</superblock>\n")


def fill(folder, volumes):
    """Every third volume is a snapshot of the one before it."""
    with open(f"{folder}/pv.img", "wb") as file:
        file.truncate(POOL + (2 << 30))
    run(folder, ["tvgcreate", "vg0", "pv.img"])
    run(folder, ["tvcreate", "-L", f"{POOL}b", "-c", f"{CHUNK}b", "--poolmetadatasize", "512m",
                 "-T", "vg0/pool0"])
    db = sqlite3.connect(f"{folder}/state/catalog.db")
    vg, = db.execute("SELECT id FROM vg").fetchone()
    pool, transaction = db.execute("SELECT id, transaction_id FROM pool").fetchone()
    for n in range(volumes):
        lv = db.execute("INSERT INTO lv(vg_id, uuid, name, kind, created) VALUES(?,?,?,'thin',?)",
                        (vg, f"{n:032x}", f"v{n:06}", 1700000000)).lastrowid
        db.execute("INSERT INTO thin(id, vg_id, pool_id, thin_id, size_bytes, origin_id)"
                   " VALUES(?,?,?,?,?,?)",
                   (lv, vg, pool, n, 1 << 30, lv - 1 if n % 3 == 2 else None))
    db.execute("UPDATE pool SET next_thin_id = ?", (volumes,))
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    write_xml(f"{folder}/pool.xml", volumes, transaction)
    run(folder, ["tvrestore", "-y", "-i", "pool.xml", "vg0/pool0"])


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
