"""Documents' commands work.  A ```sh block that follows the line <!-- test --> is run by bash -e;
a ```text block that follows <!-- output --> is what the last such block printed, where `...` in a
line stands for anything and a line `...` for any lines.

The blocks of a document run in order in one new folder.  There, as in a checkout, are
build/release/bin (also on PATH, with bin/examples), data/ and examples/.  What a block starts ends
with its document.
"""
import os
import re
import shutil
import signal
import subprocess
import tempfile

from sources import BIN, ROOT, Problems, files, lines

TIMEOUT_S = 120
MARK = re.compile(r"^<!-- (test|output) -->$")


def blocks(name):
    """[(kind, line of its first command, text)]"""
    found, kind, start, body = [], None, 0, None
    for number, line in lines(name):
        if body is not None:
            if line.strip() == "```":
                found.append((kind, start, "\n".join(body) + "\n"))
                kind, body = None, None
            else:
                body.append(line)
        elif kind and line.startswith("```"):
            start, body = number + 1, []
        elif line.strip():
            mark = MARK.match(line.strip())
            kind = mark.group(1) if mark else None
    return found


def matches(expected, printed):
    pattern = ""
    for line in expected.rstrip("\n").split("\n"):
        if line.strip() in ("...", "…"):
            pattern += r"(?:.*\n)*"
        else:
            pattern += ".*".join(re.escape(part) for part in re.split(r"\.\.\.|…", line)) + r"\n"
    return re.fullmatch(pattern, printed.rstrip("\n") + "\n") is not None


def make_folder():
    folder = tempfile.mkdtemp(prefix="leat-docs-")
    os.makedirs(os.path.join(folder, "build"))
    os.symlink(os.path.dirname(BIN), os.path.join(folder, "build", "release"))
    for name in ("data", "examples"):
        if os.path.isdir(os.path.join(ROOT, name)):
            os.symlink(os.path.join(ROOT, name), os.path.join(folder, name))
    return folder


def run_block(folder, commands, groups):
    """(exit status, what was printed); output goes to files, so that a server left running in the
    background does not hold a pipe open."""
    environment = dict(os.environ, PATH=f"{BIN}:{BIN}/examples:{os.environ['PATH']}", HOME=folder)
    with open(os.path.join(folder, ".out"), "w+", encoding="utf-8") as out, \
            open(os.path.join(folder, ".err"), "w+", encoding="utf-8") as err:
        shell = subprocess.Popen(["bash", "-euo", "pipefail", "-c", commands], cwd=folder,
                                 env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=err,
                                 start_new_session=True)
        groups.append(shell.pid)
        try:
            status = shell.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            status = f"none within {TIMEOUT_S} s"
        out.seek(0)
        err.seek(0)
        return status, out.read(), err.read()


def check_document(problems, name):
    found = blocks(name)
    if not found:
        return 0
    folder, groups, printed = make_folder(), [], ""
    try:
        for kind, line, body in found:
            if kind == "test":
                status, printed, errors = run_block(folder, body, groups)
                if status != 0:
                    problems.add(name, line, f"exit status {status}\n{printed[-2000:]}"
                                             f"{errors[-2000:]}")
                    break
            elif not matches(body, printed):
                problems.add(name, line, f"printed instead:\n{printed[:4000]}")
    finally:
        for group in groups:
            try:
                os.killpg(group, signal.SIGKILL)
            except ProcessLookupError:
                pass
        shutil.rmtree(folder, ignore_errors=True)
    return len(found)


def main():
    problems = Problems("make the document say what works")
    count = sum(check_document(problems, name) for name in files("*.md"))
    problems.finish(f"{count} blocks")


main()
