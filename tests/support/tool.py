"""Running leat's programs from tests: where they are, their output as lines, a folder that stays
behind when a test fails."""
import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile

SOURCE = os.environ.get("LEAT_SOURCE_DIR") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BIN = os.environ.get("LEAT_BIN_DIR") or os.path.join(SOURCE, "build", "release", "bin")
SANITIZED = bool(os.environ.get("LEAT_SANITIZE"))
SKIPPED = 77
TIMEOUT_S = 120 if SANITIZED else 30
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1  # linux/prctl.h, linux/capability.h


def program(name):
    """The path of a program or example."""
    for path in (os.path.join(BIN, name), os.path.join(BIN, "examples", name)):
        if os.path.exists(path):
            return path
    print(f"skipped: {name} is not built in {BIN}")
    sys.exit(SKIPPED)


class Failed(Exception):
    """What a program did that it should not have done."""


def run(name, *arguments, stdin=None, expect=0, timeout=TIMEOUT_S, env=None, **others):
    """Runs to the end; `expect` is the exit code it must have (None: any)."""
    command = [program(name), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=timeout, check=False,
                          env=dict(os.environ, **(env or {})), **others)
    done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
    if expect is not None and done.returncode != expect:
        raise Failed(f"{' '.join(command)}\nexit code {done.returncode}, not {expect}\n"
                     f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done


def bound_by_modes():
    """What to hand to `run`, so that the modes of files bind root's child as they bind the owner of
    the files: without the capability to write everywhere.  It still reaches programs below folders
    that only root may enter, as another user would not."""
    if os.geteuid() != 0:
        return {}

    def without_override():
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE)")
    return {"preexec_fn": without_override}


def start(name, *arguments, **others):
    """Starts in the background, with stderr in a pipe unless told otherwise."""
    others.setdefault("stderr", subprocess.PIPE)
    return subprocess.Popen([program(name), *map(str, arguments)], **others)


def ended(process):
    """What `run` would have returned."""
    out, errors = process.communicate(timeout=TIMEOUT_S)
    return subprocess.CompletedProcess(process.args, process.returncode, (out or b"").decode(),
                                       errors.decode())


def end(process, with_signal=signal.SIGTERM, timeout=TIMEOUT_S):
    """Ends it and returns its exit code; a process that does not end is a failure with a trace."""
    if process.poll() is None:
        process.send_signal(with_signal)
    try:
        process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        trace = stack_of(process)
        process.kill()
        process.communicate()
        raise Failed(f"{process.args} did not end within {timeout} s\n{trace}") from None
    return process.returncode


def stack_of(process):
    if not shutil.which("gdb"):
        return "(gdb would show where it stands)"
    command = ["gdb", "-p", str(process.pid), "-batch", "-ex", "thread apply all bt 30"]
    done = subprocess.run(command, capture_output=True, check=False, timeout=60)
    return done.stdout.decode(errors="replace")[-200000:]


def json_lines(text):
    return [json.loads(line) for line in text.splitlines()]


def consume(log, topic, *arguments):
    """The committed records of a topic, with partition, offset, timestamp, key, value."""
    done = run("leat", "consume", "--log", log, topic, "--meta", "--until-end", *arguments)
    return json_lines(done.stdout)


def offsets(log, group):
    """{(topic, partition): committed offset}; empty before the first commit."""
    done = run("leat", "offsets", "--log", log, group, "--json", expect=None)
    if done.returncode == 72:
        return {}
    if done.returncode != 0:
        raise Failed(f"leat offsets: {done.stderr}")
    return {(row["topic"], row["partition"]): row["offset"] for row in json_lines(done.stdout)}


class Folder:
    """A temporary folder, removed unless the block inside failed."""

    def __init__(self, name):
        self.path = tempfile.mkdtemp(prefix=f"leat-{name}-")

    def __enter__(self):
        return self.path

    def __exit__(self, kind, _value, _trace):
        if kind is None:
            shutil.rmtree(self.path, ignore_errors=True)
        else:
            print(f"kept for a look: {self.path}", flush=True)
