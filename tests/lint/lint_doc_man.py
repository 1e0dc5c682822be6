"""Manual pages: each renders without a warning, and names every flag that --help does."""
import os
import re
import shutil
import subprocess

from sources import BIN, ROOT, Problems, files, text

COMMANDS = {
    "leat": ("topics", "produce", "consume", "offsets", "state", "operators", "explain", "version"),
    "leat-recommender": ("serve", "replay", "evaluate", "index"),
}


def check_rendering(problems, name):
    if not shutil.which("groff"):
        return
    done = subprocess.run(["groff", "-ww", "-mandoc", "-Tutf8", name], cwd=ROOT,
                          capture_output=True, text=True, check=False)
    for line in done.stderr.splitlines():
        problems.add(name, 1, line)


def check_flags(problems, program):
    page = f"docs/man/{program}.1"
    documented = set(re.findall(r"Fl \\-([a-z-]+)", text(page)))
    for command in COMMANDS[program]:
        done = subprocess.run([os.path.join(BIN, program), command, "--help"],
                              capture_output=True, text=True, check=False)
        if done.returncode != 0:
            problems.add(page, 1, f"{program} {command} --help ends with {done.returncode}")
        for flag in re.findall(r"^ +--([a-z-]+)", done.stdout, re.MULTILINE):
            if flag not in documented | {"help"}:
                problems.add(page, 1, f"--{flag} of {program} {command} is missing")


def main():
    problems = Problems("correct the page")
    pages = files("docs/man/*")
    for name in pages:
        check_rendering(problems, name)
    for program in COMMANDS:
        check_flags(problems, program)
    problems.finish(f"{len(pages)} pages")


main()
