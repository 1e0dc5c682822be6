"""Reads gcov's JSON (one object a line) and prints the share of executed lines per folder."""
import json
import os
import sys
from collections import defaultdict

FOLDERS = ("src/", "apps/")


def executed_lines(stream):
    """{file: {line: times executed}}; a header or file seen in several objects is summed."""
    lines = defaultdict(lambda: defaultdict(int))
    for text in stream:
        for entry in json.loads(text)["files"]:
            path = os.path.relpath(entry["file"])
            if path.startswith(FOLDERS):
                for line in entry["lines"]:
                    lines[path][line["line_number"]] += line["count"]
    return lines


def main():
    totals = defaultdict(lambda: [0, 0])
    for path, counts in executed_lines(sys.stdin).items():
        for name in (os.path.dirname(path), "all"):
            totals[name][0] += sum(1 for count in counts.values() if count)
            totals[name][1] += len(counts)
    for name in sorted(totals, key=lambda name: (name == "all", name)):
        done, known = totals[name]
        print(f"{name:32} {100 * done / max(known, 1):6.1f} %  {done} of {known} lines")


if __name__ == "__main__":
    main()
