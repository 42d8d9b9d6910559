#!/usr/bin/python3
"""Mutants of the engine's bookkeeping: which of them does a test notice?

    tests/mutation.py [--sample N] [--seed N] [--list] [FILE...]              ./run mutants

Goal    S50: a changed condition, a number off by one, or a statement left out in the B-tree, the
        space maps, the commit or the allocator makes a test fail. A mutant that lives is a test
        that is missing, or code that does nothing.
Method  a copy of the tree in build/mutation with all mutants of the sample built in, each switched
        on by its number in THINVOL_MUTANT; what the compiler does not take that way is left out.
        For each, the unit tests of the engine, then the quick rows about power cuts, errors and
        space, run until one fails. A mutant that does not end within its time is killed by that.
"""

import argparse
import concurrent.futures
import os
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
PROGRAMS = ("engine_tests", "thinvol-prove")
ROWS = ("S1", "S4", "S7", "S11", "S16", "S17", "S19")
JUDGES = (("engine_tests", "--abort"),
          ("thinvol-prove", "--quick", "--jobs", "1", *(w for row in ROWS for w in ("--row", row))))
PATIENCE_S = 600
SWITCH = """#pragma once
#include <cstdlib>
inline bool mutant(int number) {
    static const char* const wanted = std::getenv("THINVOL_MUTANT");
    static const int is = wanted == nullptr ? 0 : std::atoi(wanted);
    return is == number;
}
"""

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
DECLARATION = re.compile(r"^\s*(?!return |else |throw |delete )(?:static |const |constexpr )*"
                         r"[\w:<>,]+(?: const)?[&*]* \w+(?: = |\(|\{)")


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


# --- a line with all its mutants ------------------------------------------------------------------

def closing(text, at):
    """Where the parenthesis is closed that is open before `at`; -1: not on this line."""
    depth = 1
    for n in range(at, len(text)):
        depth += {"(": 1, ")": -1}.get(text[n], 0)
        if depth == 0:
            return n
    return -1


def expression(line):
    """Of a line its condition, or what it initialises by, between what is around that."""
    head = re.match(r"^\s*(?:\} )?(?:else )?(?:if|while) \(", line)
    if head:
        end = closing(line, head.end())
        return head.end(), end if ";" not in line[head.end():end] else -1
    head = re.match(r"^\s*for \(", line)
    if head:
        end = closing(line, head.end())
        parts = line[head.end():end].split("; ")
        begin = head.end() + len(parts[0]) + 2
        return begin, begin + len(parts[1]) if len(parts) == 3 else -1
    if DECLARATION.match(line) and " = " in line and line.endswith(";"):
        return line.index(" = ") + 3, len(line) - 1
    return 0, -1


def chosen_expression(line, changed):
    begin, end = expression(line)
    if end < 0:
        return None
    chosen, tail = line[begin:end], len(line) - end
    for number, text in changed.items():
        if text[:begin] != line[:begin] or text[len(text) - tail:] != line[end:]:
            return None
        chosen = f"mutant({number}) ? ({text[begin:len(text) - tail]}) : ({chosen})"
    return line[:begin] + chosen + line[end:]


def chosen_statement(line, changed):
    if not line.endswith(";") or DECLARATION.match(line) or line.count("(") != line.count(")"):
        return None
    chosen = line.strip()
    for number, text in changed.items():
        chosen = f"if (mutant({number})) {{ {text.strip()} }} else {{ {chosen} }}"
    return chosen


def choice(line, changed):
    """The line with `changed`, its mutants by number, in it; nothing where that cannot be."""
    line, *_comment = line.split("  //")
    changed = {number: text.split("  //")[0] for number, text in changed.items()}
    return chosen_expression(line, changed) or chosen_statement(line, changed)


def by_line(numbered):
    lines = {}
    for number, (name, line, _what, text) in numbered.items():
        lines.setdefault((name, line), {})[number] = text
    return lines


def plant(numbered):
    """Puts the mutants into the copy; those that have no place in it are forgotten."""
    for name in {name for name, *_rest in numbered.values()}:
        lines = (ROOT / name).read_text().splitlines()
        for (of, line), changed in by_line(numbered).items():
            if of != name:
                continue
            planted = choice(lines[line - 1], changed)
            if planted:
                lines[line - 1] = planted
            else:
                for number in changed:
                    del numbered[number]
        (HOME / "src" / name).write_text("\n".join(lines) + "\n")


# --- building and judging -------------------------------------------------------------------------

def copy_tree():
    shutil.rmtree(HOME / "src", ignore_errors=True)
    (HOME / "src/build").mkdir(parents=True)
    (HOME / "src/build/peers").symlink_to(ROOT / "build/peers")
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True,
                           stdout=subprocess.PIPE).stdout
    packed = subprocess.run(["tar", "-c", "--null", "-T", "-"], cwd=ROOT, input=files, check=True,
                            stdout=subprocess.PIPE).stdout
    # Times are new, so that no object of an earlier sample passes for this one's.
    subprocess.run(["tar", "-xm", "-C", HOME / "src"], input=packed, check=True)
    (HOME / "switch.h").write_text(SWITCH)
    subprocess.run(["cmake", "-S", HOME / "src", "-B", HOME / "build", "-G", "Ninja",
                    "-DCMAKE_BUILD_TYPE=Release", "-DTHINVOL_BENCH=OFF", "-DTHINVOL_TESTS=ON",
                    f"-DCMAKE_CXX_FLAGS=-w -include {HOME}/switch.h"],
                   check=True, stdout=subprocess.DEVNULL)


def build(numbered):
    """Builds the copy, without the mutants that the compiler refuses."""
    while True:
        plant(numbered)
        ended = subprocess.run(["cmake", "--build", HOME / "build", "--target", *PROGRAMS, "--",
                                "-k", "0"], check=False, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True, errors="replace")
        if ended.returncode == 0:
            return
        places = set(re.findall(r"/src/(engine/\w+\.\w+):(\d+):\d+: error", ended.stdout))
        refused = [number for number, (name, line, *_rest) in numbered.items()
                   if (name, str(line)) in places]
        if not refused:
            sys.exit(f"the copy does not build:\n{ended.stdout[-3000:]}")
        for number in refused:
            del numbered[number]


def failing_test(output):
    name = re.search(r"^-{20,}\n(.+)\n-{20,}", output, re.M)
    row = re.search(r"^(S\d+)\b.*FAIL$", output, re.M)
    return name.group(1) if name else row.group(1) if row else "an assertion"


def judged(number):
    """Who killed it; nothing if it lives."""
    environment = {**os.environ, "THINVOL_MUTANT": str(number)}
    for program, *arguments in JUDGES:
        try:
            ended = subprocess.run([HOME / "build/bin" / program, *arguments], check=False,
                                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   errors="replace", timeout=PATIENCE_S, cwd=HOME,
                                   env=environment)
        except subprocess.TimeoutExpired:
            return f"{program}: it does not end"
        if ended.returncode != 0:
            return f"{program}: {failing_test(ended.stdout)}"
    return ""


def tried(sample, seed, files):
    """How many mutants were built, and how many of them a test noticed."""
    todo = mutants(files or FILES)
    random.Random(seed).shuffle(todo)
    numbered = dict(enumerate(todo[:sample], 1))
    copy_tree()
    build(numbered)
    if killer := judged(0):
        sys.exit(f"the tree as it is fails: {killer}")
    killed = 0
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        for number, killer in zip(numbered, pool.map(judged, numbered)):
            name, line, what, text = numbered[number]
            killed += bool(killer)
            print(f"{'killed' if killer else 'LIVES ':<6} {name}:{line}: {what}: {text.strip()}"
                  f"{' -- ' + killer if killer else ''}", file=sys.stderr, flush=True)
    return len(numbered), killed


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--sample", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("files", nargs="*")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name}:{number}: {what}: {line.strip()}"
                        for name, number, what, line in mutants(options.files or FILES)))
        return
    built, killed = tried(options.sample, options.seed, options.files)
    print(f"{killed} of {built} mutants were noticed")


if __name__ == "__main__":
    main()
