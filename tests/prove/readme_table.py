#!/usr/bin/python3
"""Puts the figures of `./run prove [--vm] --json FILE` into the README, between the two marks of
their lane.

Goal    what the README says of proofs is what was printed, and when.
Method  readme_table.py FILE [README]
"""

import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def table(result):
    command = {"quick": "--quick", "ci": "--ci", "soak": "--soak", "vm": "--vm"}[result["lane"]]
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
    place = "prove in the kernel" if result["lane"] == "vm" else "prove"
    text, n = re.subn(rf"(<!-- {place} -->\n).*?(<!-- end of {place} -->)",
                      lambda m: m[1] + table(result) + "\n" + m[2], readme.read_text(), flags=re.S)
    if n != 1:
        sys.exit(f"{readme} has {n} places for the table, between <!-- {place} --> and its end")
    readme.write_text(text)


main()
