"""Links: what a document points to inside the repository exists, headings included."""
import os
import re

from sources import ROOT, Problems, files, lines, text

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^\s*```")


def anchors(name):
    """GitHub's rule: lower case, blanks to hyphens, everything but letters, digits, - _ goes."""
    found = set()
    for heading in re.findall(r"^#+ (.*)$", text(name), re.MULTILINE):
        plain = re.sub(r"[^\w\- ]", "", heading.strip().lower())
        found.add(plain.replace(" ", "-"))
    return found


def check_link(problems, name, number, link):
    if re.match(r"[a-z]+:", link):
        return
    path, _, anchor = link.partition("#")
    target = os.path.normpath(os.path.join(os.path.dirname(name), path)) if path else name
    if not os.path.exists(os.path.join(ROOT, target)):
        problems.add(name, number, f"{link}: there is no {target}")
    elif anchor and target.endswith(".md") and anchor not in anchors(target):
        problems.add(name, number, f"{link}: {target} has no such heading")


def main():
    problems = Problems("correct the link")
    documents = files("*.md")
    for name in documents:
        fenced = False
        for number, line in lines(name):
            if FENCE.match(line):
                fenced = not fenced
            for link in [] if fenced else LINK.findall(re.sub(r"`[^`]*`", "", line)):
                check_link(problems, name, number, link)
    problems.finish(f"{len(documents)} documents")


main()
