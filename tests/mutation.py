#!/usr/bin/python3
"""Mutants of the engine's bookkeeping: which of them does a test notice?

    tests/mutation.py [--sample N] [--seed N] [--list] [FILE...]              ./run mutants

Goal    S50: a changed condition, a number off by one, or a statement left out in the B-tree, the
        space maps, the commit or the allocator makes a test fail. A mutant that lives is a test
        that is missing, or code that does nothing.
Method  a copy of the tree in build/mutation; each mutant of the sample is one line changed there,
        and the unit tests of the engine, then the quick power cuts, are built and run until one
        fails. A mutant that does not end within its time is killed by that. The last line is
        `executed distinct value`: mutants, killed ones, and the percentage.
"""

import argparse
import pathlib
import random
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
HOME = ROOT / "build/mutation"
FILES = ("engine/btree.h", "engine/data_space_map.cc", "engine/metadata_space_map.cc",
         "engine/committer.cc", "engine/transaction_manager.cc", "engine/pending_frees.h",
         "engine/reclaimer.cc", "engine/thin_metadata.cc")
JUDGES = (("engine_tests", "--abort"), ("thinvol-prove", "--quick", "--row", "S1"))
PATIENCE_S = 300

CHANGES = (  # what is done to a line, and to which
    ("condition negated",
     re.compile(r"^(\s*(?:\} else )?if \()(.+)(\)(?: \{| return.*;| continue;)?)$"),
     r"\1!(\2)\3"),
    ("one more", re.compile(r"^(.*[\w\])] )\+ 1\b(.*)$"), r"\1+ 2\2"),
    ("one less", re.compile(r"^(.*[\w\])]) \+ 1\b(.*)$"), r"\1\2"),
    ("bound moved", re.compile(r"^(.* )<( .*)$"), r"\1<=\2"),
    ("bound moved", re.compile(r"^(.* )<=( .*)$"), r"\1<\2"),
    ("bound moved", re.compile(r"^(.* )>( .*)$"), r"\1>=\2"),
    ("bound moved", re.compile(r"^(.* )>=( .*)$"), r"\1>\2"),
    ("equal and not", re.compile(r"^(.* )==( .*)$"), r"\1!=\2"),
    ("or and and", re.compile(r"^(.* )&&( .*)$"), r"\1||\2"),
    ("statement dropped", re.compile(r"^(\s+)((?:TRY\()?[a-z_][\w.>-]*\([^;]*\)\)?;|(?:\+\+|--)\w+;"
                                     r"|[\w.\[\]>-]+ (?:\+=|-=|\|=) [^;]+;)$"), r"\1;"),
)
SPARED = re.compile(r"^\s*(//|ASSERT|DEBUG_ASSERT|static_assert|template|#|return Error|fmt::)")


def mutants(files):
    found = []
    for name in files:
        for number, line in enumerate((ROOT / name).read_text().splitlines(), 1):
            if SPARED.match(line):
                continue
            for what, pattern, instead in CHANGES:
                if pattern.match(line):
                    found.append((name, number, what, pattern.sub(instead, line)))
    return found


def copy_tree():
    shutil.rmtree(HOME / "src", ignore_errors=True)
    (HOME / "src").mkdir(parents=True)
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True,
                           stdout=subprocess.PIPE).stdout
    packed = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=ROOT, input=files, check=True,
                            stdout=subprocess.PIPE).stdout
    (HOME / "src/build").mkdir()
    (HOME / "src/build/peers").symlink_to(ROOT / "build/peers")
    # Times are new, so that no object of an earlier mutant passes for the tree's.
    subprocess.run(["tar", "-xm", "-C", HOME / "src"], input=packed, check=True)
    subprocess.run(["cmake", "-S", HOME / "src", "-B", HOME / "build", "-G", "Ninja",
                    "-DCMAKE_BUILD_TYPE=Release", "-DTHINVOL_BENCH=OFF"], check=True,
                   stdout=subprocess.DEVNULL)


def build(program):
    return subprocess.run(["cmake", "--build", HOME / "build", "--target", program], check=False,
                          stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode == 0


def failing_test(output):
    name = re.search(r"^-{20,}\n(.+)\n-{20,}", output, re.M)
    row = re.search(r"^(S\d+)\b.*FAIL$", output, re.M)
    return name.group(1) if name else row.group(1) if row else "an assertion"


def judged():
    """Who killed it; nothing if it lives."""
    for program, *arguments in JUDGES:
        if not build(program):
            return "the compiler"
        try:
            ended = subprocess.run([HOME / "build/bin" / program, *arguments], check=False,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   errors="replace", timeout=PATIENCE_S, cwd=HOME)
        except subprocess.TimeoutExpired:
            return f"{program}: it does not end"
        if ended.returncode != 0:
            return f"{program}: {failing_test(ended.stdout)}"
    return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    todo = mutants(options.files or FILES)
    if options.list:
        print("\n".join(f"{name}:{number}: {what}: {line.strip()}"
                        for name, number, what, line in todo))
        return
    random.Random(options.seed).shuffle(todo)
    copy_tree()
    if killer := judged():
        sys.exit(f"the tree as it is fails: {killer}")
    tried = killed = 0
    for name, number, what, line in todo:
        if tried == options.sample:
            break
        path = HOME / "src" / name
        sound = path.read_text()
        lines = sound.splitlines()
        lines[number - 1] = line
        path.write_text("\n".join(lines) + "\n")
        killer = judged()
        path.write_text(sound)
        if killer == "the compiler":
            continue
        tried += 1
        killed += bool(killer)
        print(f"{'killed' if killer else 'LIVES ':<6} {name}:{number}: {what}: {line.strip()}"
              f"{' -- ' + killer if killer else ''}", flush=True)
    print(tried, killed, round(100 * killed / max(tried, 1)))


main()
