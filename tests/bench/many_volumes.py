"""ManyVolumes: a group of one sparse file whose pool has any number of volumes, made in seconds:
into the catalog they are put by SQL, and with some mappings each into the pool by tvrestore.
"""

import os
import pathlib
import sqlite3
import subprocess

BIN = pathlib.Path(os.environ.get(
    "THINVOL_BIN", pathlib.Path(__file__).resolve().parents[2] / "build/release/bin"))
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


def write_xml(path, volumes, transaction, pool, chunk, mappings):
    with open(path, "w", encoding="ascii") as xml:
        xml.write(f'<superblock uuid="" time="0" transaction="{transaction}" version="2" '
                  f'data_block_size="{chunk // 512}" nr_data_blocks="{pool // chunk}">\n')
        for n in range(volumes):
            xml.write(f'<device dev_id="{n}" mapped_blocks="{mappings}" transaction="0" '
                      f'creation_time="0" snap_time="0"><range_mapping origin_begin="0" '
                      f'data_begin="{n * mappings}" length="{mappings}" time="0"/></device>\n')
        xml.write("</superblock>\n")


def fill(folder, volumes, pool=POOL, chunk=CHUNK, mappings=MAPPINGS):
    """Every third volume is a snapshot of the one before it."""
    with open(f"{folder}/pv.img", "wb") as file:
        file.truncate(pool + (2 << 30))
    run(folder, ["tvgcreate", "vg0", "pv.img"])
    run(folder, ["tvcreate", "-L", f"{pool}b", "-c", f"{chunk}b", "--poolmetadatasize", "512m",
                 "-T", "vg0/pool0"])
    db = sqlite3.connect(f"{folder}/state/catalog.db")
    vg, = db.execute("SELECT id FROM vg").fetchone()
    pool_id, transaction = db.execute("SELECT id, transaction_id FROM pool").fetchone()
    for n in range(volumes):
        lv = db.execute("INSERT INTO lv(vg_id, uuid, name, kind, created) VALUES(?,?,?,'thin',?)",
                        (vg, f"{n:032x}", f"v{n:06}", 1700000000)).lastrowid
        db.execute("INSERT INTO thin(id, vg_id, pool_id, thin_id, size_bytes, origin_id)"
                   " VALUES(?,?,?,?,?,?)",
                   (lv, vg, pool_id, n, 1 << 30, lv - 1 if n % 3 == 2 else None))
    db.execute("UPDATE pool SET next_thin_id = ?", (volumes,))
    db.commit()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    write_xml(f"{folder}/pool.xml", volumes, transaction, pool, chunk, mappings)
    run(folder, ["tvrestore", "-y", "-i", "pool.xml", "vg0/pool0"])
