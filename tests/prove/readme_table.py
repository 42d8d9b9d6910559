#!/usr/bin/python3
"""Puts the figures of `./run prove --json FILE` into the README, between its two marks.

Goal    what the README says of proofs is what was printed, and when.
Method  readme_table.py FILE [README]
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def table(result):
    command = {"quick": "--quick", "ci": "--ci", "soak": "--soak"}[result["lane"]]
    lines = [f"`./run prove {command}`, seed {result['seed']}:", "",
             "| row | what | executed | distinct | minimum | value | target | |",
             "|---|---|--:|--:|--:|--:|--:|---|"]
    for row in result["rows"]:
        value = "-" if row["failure"] else row["value"]
        lines.append(f"| {row['id']} | {row['what']} | {row['executed']:,} | {row['distinct']:,} "
                     f"| {row['minimum']:,} | {value} | {row['target']} | {row['verdict']} |")
    return "\n".join(lines)


def main():
    result = json.loads(pathlib.Path(sys.argv[1]).read_text())
    readme = pathlib.Path(sys.argv[2]) if len(sys.argv) > 2 else ROOT / "README.md"
    text, n = re.subn(r"(<!-- prove -->\n).*?(\n<!-- end of prove -->)",
                      lambda m: m[1] + table(result) + m[2], readme.read_text(), flags=re.S)
    if n != 1:
        sys.exit(f"{readme} has {n} places for the table, between <!-- prove --> and its end")
    readme.write_text(text)


main()
