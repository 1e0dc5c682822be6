"""Exported symbols: what libleat.so exports is the checked-in list, and every function that a
public header declares is there.

    tests/lint/lint_symbols.py --update      after `make build`, writes the list anew
"""
import os
import re
import subprocess
import sys

from sources import BIN, ROOT, Problems, files, skip, text

LIST = "tests/lint/symbols.txt"
LIBRARY = os.path.join(os.path.dirname(BIN), "libleat.so")
DECLARED = re.compile(r"^LEAT_API\b[^;{]*?\b(leat_\w+)\s*\(", re.MULTILINE | re.DOTALL)


def exported():
    listing = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True,
                             check=True, text=True).stdout
    names = {line.split()[-1].split("@")[0] for line in listing.splitlines() if " A " not in line}
    return sorted(names)


def check_declared(problems, names):
    for header in files("include/leat/*.h"):
        content = text(header)
        for found in DECLARED.finditer(content):
            if found.group(1) not in names:
                line = content.count("\n", 0, found.start(1)) + 1
                problems.add(header, line, f"{found.group(1)} is declared, but libleat.so has not "
                                           "got it")


def main():
    if not os.path.exists(LIBRARY):
        skip(f"{LIBRARY} is not built")
    names = exported()
    if "--update" in sys.argv:
        with open(os.path.join(ROOT, LIST), "w", encoding="utf-8") as file:
            file.write("".join(name + "\n" for name in names))
    problems = Problems("a function that is not for users is static or has no LEAT_API; if the "
                        "interface did change: tests/lint/lint_symbols.py --update")
    known = text(LIST).split() if LIST in files(LIST) else []
    for name in names:
        if name not in known:
            problems.add(LIST, 1, f"{name} is exported but not in the list")
        if name.startswith("leat__") or not name.startswith("leat_"):
            problems.add(LIST, 1, f"{name} is exported, but is not a public name (leat_x)")
    for number, name in enumerate(known, 1):
        if name not in names:
            problems.add(LIST, number, f"{name} is in the list but no longer exported")
    check_declared(problems, set(names))
    problems.finish(f"{len(names)} symbols")


main()
