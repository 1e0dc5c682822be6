"""Running the programs of one build: of the version that stored the bytes, or of today."""
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
for folder in ("support", "crash", "integration/recommender"):
    sys.path.insert(0, os.path.join(HERE, "..", folder))

import tool  # noqa: E402


class Programs:
    """`folders` are looked through for a program; `shift_s` is how far its clock is off."""

    def __init__(self, folders, shift_s=0, clock=None):
        self.folders = folders
        self.env = dict(os.environ)
        if clock is not None:
            self.env.update(LD_PRELOAD=clock, LEAT_TEST_CLOCK_SHIFT_S=str(shift_s))
            self.env.setdefault("ASAN_OPTIONS", "verify_asan_link_order=0")

    def path(self, name):
        for folder in self.folders:
            if os.path.exists(os.path.join(folder, name)):
                return os.path.join(folder, name)
        raise tool.Failed(f"{name} is in none of {self.folders}")

    def run(self, name, *arguments, stdin=None, expect=0):
        command = [self.path(name), *map(str, arguments)]
        done = subprocess.run(command, input=stdin, capture_output=True, env=self.env, check=False,
                              timeout=2 * tool.TIMEOUT_S)
        done.stdout, done.stderr = done.stdout.decode(), done.stderr.decode()
        if expect is not None and done.returncode != expect:
            raise tool.Failed(f"{' '.join(command)}\nexit code {done.returncode}, not {expect}\n"
                              f"{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done

    def start(self, name, *arguments, **others):
        others.setdefault("stderr", subprocess.PIPE)
        return subprocess.Popen([self.path(name), *map(str, arguments)], env=self.env, **others)

    # ------------------------------------------------------------ the log

    def produce(self, log, topic, rows, key):
        text = "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)
        self.run("leat", "produce", "--log", log, topic, "--quiet",
                 *(("--key", key) if key else ()), stdin=text.encode())

    def topic(self, log, name):
        """Committed records; none if there is no such topic."""
        done = self.run("leat", "consume", "--log", log, name, "--meta", "--until-end", expect=None)
        if done.returncode not in (0, 72):
            raise tool.Failed(f"leat consume {name}: {done.stderr}")
        return tool.json_lines(done.stdout)

    def offsets(self, log, group):
        done = self.run("leat", "offsets", "--log", log, group, "--json", expect=None)
        return {(row["topic"], row["partition"]): row["offset"]
                for row in tool.json_lines(done.stdout)} if done.returncode == 0 else {}

    # ------------------------------------------------------------ stopping in the middle

    def run_until_read(self, log, group, topic, count, with_signal, command, ready):
        """Runs `command` until the job has committed `count` records of the topic and `ready()`,
        then stops it."""
        job = self.start(*command)
        until = time.monotonic() + 2 * tool.TIMEOUT_S
        while sum(max(offset, 0) for (name, _), offset in self.offsets(log, group).items()
                  if name == topic) < count or not ready():
            if time.monotonic() > until or job.poll() is not None:
                job.kill()
                raise tool.Failed(f"{command}: {count} records of {topic} were not read: "
                                  f"{job.communicate()[1].decode()}")
            time.sleep(0.01)
        code = tool.end(job, with_signal)
        if code not in (0, -signal.SIGKILL):
            raise tool.Failed(f"{command}: ended with {code}")
