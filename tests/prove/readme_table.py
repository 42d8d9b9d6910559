#!/usr/bin/python3
"""Puts the figures of `./run prove [--vm|--code] --json FILE` into the README, between the two
marks of their lane.

Goal    what the README says of proofs is what was printed.
Method  readme_table.py FILE [AGAIN...]: rows that were run again, each with a file of its own, take
        the place of what they were, and are named.
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def with_rows_again(result, files):
    again = [row for file in files for row in json.loads(pathlib.Path(file).read_text())["rows"]]
    by_id = {row["id"]: row for row in again}
    result["rows"] = [by_id.get(row["id"], row) for row in result["rows"]]
    result["again"] = [row["id"] for row in result["rows"] if row["id"] in by_id]
    return result


def table(result):
    again = ", ".join(result["again"])
    lines = [f"`./run prove --{result['lane']}`, seed {result['seed']}"
             + (f"; run again after it: {again}:" if again else ":"), "",
             "| row | what | executed | distinct | minimum | value | target | |",
             "|---|---|--:|--:|--:|--:|--:|---|"]
    for row in result["rows"]:
        value = "-" if row["failure"] else row["value"]
        lines.append(f"| {row['id']} | {row['what']} | {row['executed']:,} | {row['distinct']:,} "
                     f"| {row['minimum']:,} | {value} | {row['target']} | {row['verdict']} |")
    return "\n".join(lines)


def main():
    result = with_rows_again(json.loads(pathlib.Path(sys.argv[1]).read_text()), sys.argv[2:])
    readme = ROOT / "README.md"
    place = {"vm": "prove in the kernel", "code": "prove the code"}.get(result["lane"], "prove")
    text, n = re.subn(rf"(<!-- {place} -->\n).*?(<!-- end of {place} -->)",
                      lambda m: m[1] + table(result) + "\n" + m[2], readme.read_text(), flags=re.S)
    if n != 1:
        sys.exit(f"{readme} has {n} places for the table, between <!-- {place} --> and its end")
    readme.write_text(text)


main()
