"""The demo that the README promises: ends with 0 within a minute, shows all its parts, and leaves
nothing running and nothing behind."""
import os
import subprocess
import sys
import tempfile
import time

from sources import BIN, ROOT

PARTS = ("1. A month of clicks", "Next was in truth", "HR@20", "p95", "Exactly once", "demo: ok")
SECONDS = 60


def processes_in(folder):
    """Those whose command line names the folder: the demo's data lies in it."""
    found = []
    for number in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{number}/cmdline", "rb") as file:
                if folder.encode() in file.read():
                    found.append(number)
        except OSError:
            pass
    return found


def main():
    with tempfile.TemporaryDirectory(prefix="leat-demo-test-") as folder:
        started = time.monotonic()
        environment = dict(os.environ, TMPDIR=folder, LEAT_BIN_DIR=BIN)
        done = subprocess.run([os.path.join(ROOT, "tools", "demo.sh")], env=environment,
                              capture_output=True, text=True, check=False)
        seconds = time.monotonic() - started
        problems = [f"'{part}' is missing" for part in PARTS if part not in done.stdout]
        if done.returncode != 0:
            problems.append(f"exit status {done.returncode}")
        if seconds > SECONDS:
            problems.append(f"took {seconds:.0f} s, at most {SECONDS} are promised")
        if "\033" in done.stdout:
            problems.append("colour codes where no terminal is")
        problems += [f"left behind: {name}" for name in os.listdir(folder)]
        problems += [f"left running: process {number}" for number in processes_in(folder)]
    if problems:
        print(done.stdout, done.stderr, *problems, sep="\n")
        sys.exit(1)
    print(f"ok: {seconds:.0f} s")


main()
