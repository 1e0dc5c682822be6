"""Rule tags: each rule of docs/semantics.md and docs/exactly-once.md that is marked as implemented
has a test that names it, and code names only rules that exist.

A rule is a table row `| N5 | now | ... |`; the mark is `now`, `part` or `later`.

    tests/lint/lint_rule_tags.py --list      every rule, its mark, and who names it
"""
import re
import sys
from collections import defaultdict

from sources import Problems, files, lines, text

DOCUMENTS = ("docs/semantics.md", "docs/exactly-once.md")
ROW = re.compile(r"^\| *([WNTJSGR]\d{1,2}) *\| *(\w+) *\|")
MARKS = ("now", "part", "later")
TAG = re.compile(r"(?<![A-Za-z0-9%@$.])([WNTJSGR][1-9]\d?)(?![A-Za-z0-9@%]|\.\d)")
RANGE = re.compile(r"\b([WNTJSGR])\d+ *(?:-|–|\.\.) *\1\d+\b")
COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)


def documented(problems):
    """{tag: (document, line, mark)}"""
    rules = {}
    for document in DOCUMENTS:
        for number, line in lines(document):
            row = ROW.match(line)
            if not row:
                continue
            tag, mark = row.groups()
            if mark not in MARKS:
                problems.add(document, number, f"{tag}: mark '{mark}' is not one of {MARKS}")
            if tag in rules:
                problems.add(document, number, f"{tag} is listed twice")
            rules[tag] = (document, number, mark)
    return rules


def named_in_tests():
    """{tag: test files that name it}; a range (N1-N8) names a chapter, not its rules."""
    named = defaultdict(set)
    for name in files("tests/*.c", "tests/*.py", "tests/*.txt", "tests/*.h", "apps/*/test*.py"):
        if not name.startswith("tests/lint/"):
            for tag in TAG.findall(RANGE.sub("", text(name).replace("_", " "))):
                named[tag].add(name)
    return named


def named_in_code():
    """[(tag, file, line)], comments only: code may call a variable N1."""
    found = []
    for name in files("src/*.[ch]", "src/*.cc", "apps/*.[ch]", "include/*.h", "examples/*.c"):
        content = text(name)
        for comment in COMMENT.finditer(content):
            for tag in TAG.findall(comment.group()):
                line = content.count("\n", 0, comment.start() + comment.group().find(tag)) + 1
                found.append((tag, name, line))
    return found


def main():
    problems = Problems("name the rule in the test that fails without it (a comment is enough), or "
                        "correct the mark in the document")
    rules = documented(problems)
    tests = named_in_tests()
    code = named_in_code()
    for tag, (document, number, mark) in rules.items():
        if "--list" in sys.argv:
            users = sorted({name for used, name, _ in code if used == tag})
            print(f"{tag:4} {mark:6} tests: {' '.join(sorted(tests[tag])) or '-'}\n"
                  f"            code: {' '.join(users) or '-'}")
        elif mark != "later" and not tests[tag]:
            problems.add(document, number, f"{tag} is marked '{mark}', but no test names it")
    for tag, name, line in code:
        if tag not in rules:
            problems.add(name, line, f"{tag} is in no document")
    problems.finish(f"{len(rules)} rules")


main()
