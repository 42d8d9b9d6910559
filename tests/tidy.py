#!/usr/bin/python3
"""What a reader expects of every file, as a test: each complaint says what to do instead.

Goal    includes go down the layers only; lines, functions, headers and files keep their sizes;
        headers state units, invariants, errors, threads and sources; every command is completed
        and documented.
Method  text patterns over the files that git knows; clang-format keeps their shape predictable.
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BELOW = {  # what a layer may include besides itself
    "engine": (),
    "libvm": ("engine",),
    "commands": ("engine", "libvm"),
    "tests": ("engine", "libvm", "commands"),
}
LINE_MAX, FUNCTION_MAX, HEADER_MAX, FILE_MAX = 100, 70, 200, 800
COMMAND_MAX = 150
HEADER_SAYS = ("Units", "Invariants", "Errors", "Threads", "Source")
LONG_HEADERS = {
    "engine/btree.h": "a template: its declarations and definitions are one",
    "engine/format.h": "one format, whose facts are better seen together",
    "engine/base/units.h": "one family of types",
}
UNTOLD = re.compile(r"\b(FIXME|TODO|XXX|HACK)\b")  # tidy: allow
VAGUE = re.compile(r"(^|_)(utils?|helpers?|misc|common)(_|\.|$)")  # tidy: allow

complaints = []


def complain(path, line, text):
    complaints.append(f"{path}:{line}: {text}")


def files():
    names = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT,
                           check=True, stdout=subprocess.PIPE, text=True).stdout
    return sorted(name for name in names.split("\0") if name and (ROOT / name).is_file())


def check_lines(path, lines):
    for n, line in enumerate(lines, 1):
        if len(line) > LINE_MAX and not path.endswith((".md", ".patch")):
            complain(path, n, f"{len(line)} columns; break the line at {LINE_MAX}")
        if "tidy: allow" not in line and UNTOLD.search(line):
            complain(path, n, "do it now, or open an issue and leave no mark")
        if line != line.rstrip() and not path.endswith(".patch"):
            complain(path, n, "spaces at the end of the line; remove them")
        if "\t" in line and not path.endswith(".patch"):
            complain(path, n, "a tab; use spaces")


def check_includes(path, lines):
    layer = path.split("/")[0]
    for n, line in enumerate(lines, 1):
        found = re.match(r'#include "(\w+)/', line)
        if found and found[1] != layer and found[1] not in BELOW[layer]:
            complain(path, n, f"{layer} does not include {found[1]}; go by a lower layer's header")
        if re.search(r"[{][^(){}]*, *TRY[(]", line):
            complain(path, n, "g++ leaks what the braces have made; give the value a name first")
        if re.match(r'#include "(?!\w+/)', line):
            complain(path, n, "name the header from the root of the repository")


def check_functions(path, lines):
    """A function begins at the left, or one level in within a class, and ends with a lone brace."""
    for indent in ("", "    "):
        begin = None
        for n, line in enumerate(lines, 1):
            if re.match(rf"{indent}[A-Za-z~][^=]*\(", line):
                begin = n
            elif line == indent + "}" and begin is not None and n - begin + 1 > FUNCTION_MAX:
                complain(path, begin, f"{n - begin + 1} lines; a function has {FUNCTION_MAX}")


def check_header(path, lines):
    top = [line for line in lines[:80] if line.startswith("//")]
    for word in HEADER_SAYS:
        if not any(re.match(rf"// {word}\b", line) for line in top):
            complain(path, 1, f"the header does not say its {word}; write \"// {word}  ...\"")
    if len(lines) > HEADER_MAX and path not in LONG_HEADERS:
        complain(path, 1, f"{len(lines)} lines; a header has {HEADER_MAX} at most")


def check_source(path, lines):
    check_includes(path, lines)
    check_functions(path, lines)
    if path.endswith(".h"):
        check_header(path, lines)
    limit = COMMAND_MAX if re.match(r"commands/tv\w+\.cc$", path) else FILE_MAX
    if len(lines) > limit:
        complain(path, 1, f"{len(lines)} lines; split the file below {limit}")
    if path.endswith("_test.cc") and not lines[0].startswith("// Goal: "):
        complain(path, 1, "a test's first lines are its goal and its method")


def check_defects(names):
    """A seeded defect that no longer applies catches nothing."""
    for name in names:
        if name.endswith(".patch"):
            tried = subprocess.run(["patch", "-p1", "--dry-run", "-s", "-i", name], cwd=ROOT)
            if tried.returncode != 0:
                complain(name, 1, "it does not apply any more; make it anew")


def check_commands(names):
    commands = [pathlib.Path(n).stem for n in names if re.match(r"commands/tv\w+\.cc$", n)]
    for other, why in (("README.md", "document it"),):
        text = (ROOT / other).read_text()
        for command in commands:
            if not re.search(rf"\b{command}\b", text):
                complain(other, 1, f"{command} is not there; {why}")


def main():
    names = files()
    for name in names:
        if VAGUE.search(pathlib.Path(name).name):
            complain(name, 1, "the name says nothing; name the one concept that the file holds")
        if name == "LICENSE" or name.endswith(".xz"):
            continue
        lines = (ROOT / name).read_text().split("\n")
        if lines[-1] != "":
            complain(name, len(lines), "no newline at the end of the file")
        check_lines(name, lines)
        if name.endswith((".cc", ".h")):
            check_source(name, lines)
    check_defects(names)
    check_commands(names)
    print("\n".join(complaints))
    sys.exit(1 if complaints else 0)


main()
