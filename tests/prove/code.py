#!/usr/bin/python3
"""The rows about the code itself: what the tests reach, notice and assert.

    code.py [--sample N] [--seed N] [--json FILE]        ./run prove --code

Goal    S49 to S52: a target that is missed is printed as missed.
Method  all tests under llvm-cov, then a sample of mutants (two minutes each); what the rest counts
        is in tests/coverage.py. A row passes when its value reaches its target.
"""

import argparse
import json
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import coverage  # noqa: E402
import mutation  # noqa: E402

LINE = "{:<5} {:<52} {:>9} {:>9} {:>9}  {:>7} {:>7}"


def row(name, what, executed, distinct, minimum, value, target):
    reached = executed >= minimum and value >= target
    return {"id": name, "what": what, "executed": executed, "distinct": distinct,
            "minimum": minimum, "value": f"{value:.3g}", "target": str(target), "failure": "",
            "verdict": "PASS" if reached else "FAIL"}


def share(name, what, found, minimum, target):
    taken, count = found
    return row(name, what, count, taken, minimum, 100 * taken / max(count, 1), target)


def rows(sample, seed):
    sums = coverage.sums(coverage.counted())
    yield share("S49", "branches of the engine that a test takes, %",
                sums["engine"]["branches"], 1, 95)
    yield share("S49r", "branches of what recovers, %", sums["recovery"]["branches"], 1, 95)
    yield share("S49m", "conditions of what recovers that decide (MC/DC), %",
                sums["recovery"]["mcdc"], 1, 90)
    built, killed = mutation.tried(sample, seed, [])
    yield share("S50", "mutants of the engine that a test notices, %", (killed, built), 200, 85)
    assertions, functions, _ = coverage.assertions()
    yield row("S51", "assertions for each function of the engine", functions, assertions, 1,
              assertions / functions, 2)
    tests, product = coverage.lines_of_tests()
    yield row("S52", "lines of tests for each line of the product", product, tests, 1,
              tests / product, 3)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--sample", type=int, default=200, metavar="N", help="mutants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE")
    options = parser.parse_args()
    print(LINE.format("id", "what", "executed", "distinct", "minimum", "value", "target"),
          flush=True)
    told = []
    for one in rows(options.sample, options.seed):
        told.append(one)
        print(LINE.format(*(one[name] for name in ("id", "what", "executed", "distinct", "minimum",
                                                   "value", "target"))), "", one["verdict"],
              flush=True)
    if options.json:
        pathlib.Path(options.json).write_text(
            json.dumps({"lane": "code", "seed": options.seed, "rows": told}, indent=1))
    return all(one["verdict"] == "PASS" for one in told)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
