"""Excerpts in documents are the source's own lines: a ```c block that follows the line
<!-- from FILE --> stands in FILE, line by line, so that it cannot go stale."""
import os
import re

from sources import ROOT, Problems, files, lines, text

MARK = re.compile(r"^<!-- from (\S+) -->$")


def excerpts(name):
    """[(file, line of the mark, block)]"""
    found, source, start, body = [], None, 0, None
    for number, line in lines(name):
        mark = MARK.match(line.strip())
        if body is not None and line.strip() == "```":
            found.append((source, start, "\n".join(body) + "\n"))
            source, body = None, None
        elif body is not None:
            body.append(line)
        elif mark:
            source, start = mark.group(1), number
        elif source and line.startswith("```"):
            body = []
        elif line.strip():
            source = None
    return found


def main():
    problems = Problems("copy the lines from the file again")
    count = 0
    for name in files("*.md"):
        for source, number, block in excerpts(name):
            count += 1
            if not os.path.isfile(os.path.join(ROOT, source)):
                problems.add(name, number, f"there is no {source}")
            elif "\n" + block not in "\n" + text(source):
                problems.add(name, number, f"these lines are not in {source} (any more)")
    problems.finish(f"{count} excerpts")


main()
