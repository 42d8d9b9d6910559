#!/usr/bin/python3
"""Which branches, and which conditions of decisions, the tests take.

    tests/coverage.py [--missing] [TEST]        ./run coverage

Goal    S49: what is not taken by any test is known, for the engine and for what recovers.
Method  all of `./run test` and some rows of `./run prove --ci`, or what ctest calls TEST, built by
        clang 19 with its coverage (preset coverage); llvm-cov counts branches and MC/DC, a
        condition that was shown to decide by itself. A process that is killed says nothing of
        what it did. With --missing also each line that has a branch never taken.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
BUILD = ROOT / "build/coverage"
PROGRAMS = ("thinvol", "thinvold", "engine_tests", "libvm_tests", "commands_tests",
            "thinvol-prove")
ALL = "."
# Of `./run prove --ci`: faults, damage, and what is made of them.
ROWS = ("S11", "S12", "S13", "S15", "S16", "S17", "S18", "S26", "S33", "S36", "S56", "S61", "S65")
PROFILES_MAX = 8  # of each program: processes that end at once wait for one of these
RECOVERY = re.compile(r"engine/(repair|node_survey|count_repair|check|metadata_walk|superblock)|"
                      r"libvm/(pool_owner|pool_operations|rebuild|reconcile|group_rows|pv_log|"
                      r"metadata_swap|merges|pool_differences)")
AREAS = {"engine": re.compile(r"engine/"), "recovery": RECOVERY,
         "libvm": re.compile(r"libvm/"), "commands": re.compile(r"commands/")}


def build():
    quiet = {"stdout": subprocess.DEVNULL, "cwd": ROOT}
    subprocess.run(["cmake", "--preset", "coverage", "-DTHINVOL_TESTS=ON", "-DTHINVOL_BENCH=OFF"],
                   check=True, **quiet)
    subprocess.run(["cmake", "--build", BUILD], check=True, **quiet)


def run_tests(test, profiles):
    environment = {**os.environ, "LLVM_PROFILE_FILE": f"{profiles}/%{PROFILES_MAX}m.profraw"}
    jobs = str(len(os.sched_getaffinity(0)))
    ended = subprocess.run(["ctest", "-j", jobs, "--timeout", "900", "-R", test], cwd=BUILD,
                           env=environment, text=True, stdout=subprocess.PIPE, check=False)
    told = ended.stdout.splitlines()
    print(*(line for line in told if "tests passed" in line or "***" in line), sep="\n")
    if test == ALL:
        rows = [word for row in ROWS for word in ("--row", row)]
        subprocess.run([BUILD / "bin/thinvol-prove", "--ci", *rows], env=environment, check=False)


def export(profiles):
    merged = f"{profiles}/merged.profdata"
    raw = [str(p) for p in pathlib.Path(profiles).glob("*.profraw")]
    subprocess.run(["llvm-profdata-19", "merge", "-sparse", "-o", merged, *raw], check=True)
    objects = [word for p in PROGRAMS[1:] for word in ("-object", str(BUILD / "bin" / p))]
    told = subprocess.run(["llvm-cov-19", "export", "-instr-profile", merged,
                           str(BUILD / "bin" / PROGRAMS[0]), *objects, "-ignore-filename-regex",
                           "/usr/|tests/"], check=True, stdout=subprocess.PIPE)
    return json.loads(told.stdout)["data"][0]["files"]


def sums(files):
    """Of each area: what of lines, branches and MC/DC is covered, and how much there is."""
    found = {}
    for area, pattern in AREAS.items():
        found[area] = {kind: [0, 0] for kind in ("lines", "branches", "mcdc")}
        for file in files:
            if not pattern.match(os.path.relpath(file["filename"], ROOT)):
                continue
            for kind, total in found[area].items():
                summary = file["summary"].get(kind, {"covered": 0, "count": 0})
                total[0] += summary["covered"]
                total[1] += summary["count"]
    return found


def percent(covered, count):
    return f"{100 * covered / count:6.2f}" if count else "     -"


def print_areas(files):
    print(f"{'area':<10} {'lines %':>8} {'branches %':>11} {'of':>7} {'MC/DC %':>8} {'of':>6}")
    for area, found in sums(files).items():
        print(f"{area:<10} {percent(*found['lines']):>8} {percent(*found['branches']):>11} "
              f"{found['branches'][1]:>7} {percent(*found['mcdc']):>8} {found['mcdc'][1]:>6}")


def print_missing(files):
    for file in files:
        name = os.path.relpath(file["filename"], ROOT)
        if not any(p.match(name) for p in (AREAS["engine"], RECOVERY)):
            continue
        taken = {}
        for line, column, *_rest in file.get("branches", []):
            yes, no = _rest[2], _rest[3]
            seen = taken.setdefault((line, column), [0, 0])
            seen[0] += yes
            seen[1] += no
        for (line, column), (yes, no) in sorted(taken.items()):
            if yes == 0 or no == 0:
                print(f"{name}:{line}:{column}: never {'true' if yes == 0 else 'false'}")


def lines_of(*patterns):
    return sum(len(path.read_text(errors="replace").splitlines())
               for pattern in patterns for path in ROOT.glob(pattern))


def assertions():
    """Of the engine: assertions, functions, and checks of what a disk says."""
    source = "".join(path.read_text() for path in (ROOT / "engine").rglob("*.cc"))
    source += "".join(path.read_text() for path in (ROOT / "engine").rglob("*.h"))
    functions = re.findall(r"^(?:    )?[A-Za-z~][^=;\n]*\)(?: const)?(?: override)? \{", source,
                           re.M)
    # An error that says what contradicts what is an assertion about somebody else's bytes.
    return (len(re.findall(r"\b(?:static_assert|DEBUG_ASSERT|ASSERT)\(", source)),
            len(functions), len(re.findall(r"\bErrc::corrupt\b", source)))


def lines_of_tests():
    """Lines of tests, and of the product."""
    return (lines_of("tests/**/*.cc", "tests/**/*.h", "tests/**/*.py", "tests/**/*.sh"),
            lines_of("engine/**/*.cc", "engine/**/*.h", "libvm/*.cc", "libvm/*.h",
                     "commands/*.cc", "commands/*.h"))


def counted(test=ALL):
    """What llvm-cov says of each file after the tests."""
    build()
    with tempfile.TemporaryDirectory(dir=BUILD) as profiles:
        run_tests(test, profiles)
        return export(profiles)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("test", nargs="?", default=ALL, help="as for ctest -R")
    options = parser.parse_args()
    files = counted(options.test)
    print_areas(files)
    if options.missing:
        print_missing(files)


if __name__ == "__main__":
    main()
