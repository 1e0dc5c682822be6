"""docs/exit-codes.md lists each status of include/leat/base.h with its exit code, and no others."""
import re

from sources import Problems, lines, text

ENTRY = re.compile(r'^\s+X\((\w+), "[^"]*", (\d+)\)', re.MULTILINE)
ROW = re.compile(r"^\| (\d+) \| ([^|]*) \|")


def main():
    problems = Problems("make the table say what LEAT_STATUS_MAP says")
    wanted = {f"LEAT_{name}": code for name, code in ENTRY.findall(text("include/leat/base.h"))}
    found = {}
    for number, line in lines("docs/exit-codes.md"):
        row = ROW.match(line)
        for status in re.findall(r"`(LEAT_\w+)`", row.group(2)) if row else []:
            found[status] = row.group(1)
            if wanted.get(status) != row.group(1):
                problems.add("docs/exit-codes.md", number,
                             f"{status}: {row.group(1)}, in the code {wanted.get(status)}")
    for status in wanted:
        if status not in found:
            problems.add("docs/exit-codes.md", 1, f"{status} ({wanted[status]}) is missing")
    problems.finish(f"{len(wanted)} statuses")


main()
