"""What the lint tests share: which files there are, and how problems are told."""
import fnmatch
import os
import subprocess
import sys

ROOT = os.environ.get("LEAT_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("LEAT_BIN_DIR") or os.path.join(ROOT, "build", "release", "bin")
SKIPPED = 77


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def _listed():
    """Files that git tracks: what else lies in somebody's checkout is theirs, not the project's."""
    try:  # safe.directory: root may build what a user cloned
        names = subprocess.run(
            ["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-z", "--cached"],
            capture_output=True, check=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        names = []
    found = sorted(name for name in names if name and os.path.isfile(os.path.join(ROOT, name)))
    if not found:
        skip("git tracks nothing here, so nothing says which files are the project's")
    return found


_FILES = _listed()


def files(*patterns):
    """Paths relative to the root that match one of the patterns; `*` also crosses folders."""
    return [name for name in _FILES if any(fnmatch.fnmatch(name, p) for p in patterns)]


def text(name):
    with open(os.path.join(ROOT, name), encoding="utf-8", errors="replace") as file:
        return file.read()


def lines(name):
    """(number from 1, line without its end)"""
    return enumerate(text(name).splitlines(), 1)


class Problems:
    """Collects `file:line: what is wrong; the remedy` and ends the test."""

    def __init__(self, remedy):
        self.remedy = remedy
        self.found = []

    def add(self, name, line, message):
        self.found.append(f"{name}:{line}: {message}")

    def finish(self, checked):
        for problem in self.found:
            print(problem)
        if self.found:
            print(f"{len(self.found)} problems. Remedy: {self.remedy}")
            sys.exit(1)
        print(f"ok: {checked}")
        sys.exit(0)
