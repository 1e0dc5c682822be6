"""kill -9 of user_counts at random moments, again and again, on the same log.

    round   produce (itself killed now and then) ─► user_counts ─► kill -9 ─► check ─► ...
    world   a log and a state directory; each has its own partitions, users and share of bad
            records; rounds differ in workers, epoch length, and whether state is on disk, in
            memory, or wiped
"""
import json
import os
import random
import shutil
import signal
import subprocess
import tempfile
import time

import count_check
import tool

ROUNDS_PER_WORLD = 10
START_S, EVENTS_PER_S = 0.03, 400_000 # about; where in its life a job is hit
INPUT, OUTPUT = "user_events", "user_recommendations"


class World:
    def __init__(self, folder, rng):
        self.rng = rng
        self.log = "embedded:" + os.path.join(folder, "log")
        self.state = os.path.join(folder, "state")
        self.partition_count = rng.choice([1, 2, 3, 4, 8])
        self.user_count = rng.choice([1, 7, 100, 5000])
        self.bad_share = rng.choice([0, 0, 0.01])
        self.events_per_round = rng.choice([500, 5000, 20000, 20000])
        self.backlog = 0
        self.next_line = 0
        self.acknowledged, self.attempted = set(), set()
        self.memory_only = rng.random() < 0.2
        self.faults = 0 # kills that happened
        tool.run("leat", "topics", "--log", self.log, "--create", INPUT, "--partitions",
                 self.partition_count)

    # ------------------------------------------------------------ input

    def lines(self, count):
        rng, rows, numbers = self.rng, [], []
        for _ in range(count):
            row = {"user_id": f"u{rng.randrange(self.user_count)}", "product_id": self.next_line,
                   "category": "é\"\\", "event_type": "view",
                   "timestamp_ms": 1_700_000_000_000 + self.next_line + rng.randrange(-9000, 9000)}
            if rng.random() < self.bad_share:
                row["timestamp_ms"] = rng.choice(["soon", None, 1.5])
            rows.append(json.dumps(row))
            numbers.append(self.next_line)
            self.next_line += 1
        return "\n".join(rows).encode(), set(numbers)

    def produce(self):
        text, numbers = self.lines(self.rng.randrange(1, self.events_per_round))
        arguments = ("produce", "--log", self.log, INPUT, "--key", "user_id", "--quiet")
        if self.rng.random() < 0.8:
            tool.run("leat", *arguments, stdin=text)
            self.acknowledged |= numbers
            self.backlog += len(numbers)
            return
        producer = tool.start("leat", *arguments, stdin=subprocess.PIPE)
        after_s = self.rng.uniform(0, 0.05)
        try:
            producer.stdin.write(text[:len(text) // 2])
            producer.stdin.flush()
            time.sleep(after_s)
        except BrokenPipeError:
            pass
        tool.end(producer, signal.SIGKILL)
        self.attempted |= numbers

    def clean(self):
        """Compacts the changelogs; it, too, may be killed in the middle."""
        cleaner = tool.start("leat", "topics", "--log", self.log, "--clean")
        if self.rng.random() < 0.5:
            time.sleep(self.rng.uniform(0, 0.05))
            self.faults += tool.end(cleaner, signal.SIGKILL) == -signal.SIGKILL
        elif tool.ended(cleaner).returncode != 0:
            raise tool.Failed("leat topics --clean fails")

    # ------------------------------------------------------------ the job

    def job_arguments(self):
        rng = self.rng
        arguments = ["--log", self.log, "--input", INPUT, "--output", OUTPUT,
                     "--workers", rng.choice([1, 2, 3])]
        if rng.random() < 0.6:
            arguments += ["--epoch-ms", rng.choice([1, 3, 20, 200])]
        if not self.memory_only and rng.random() < 0.9:
            arguments += ["--state-dir", self.state]
        if rng.random() < 0.1: # state is only a copy of the log: it may be lost
            shutil.rmtree(self.state, ignore_errors=True)
        return arguments

    def marks(self):
        """Changes with each commit; says nothing about what was committed."""
        try:
            with open(os.path.join(self.log.removeprefix("embedded:"), "leat.mark"), "rb") as file:
                return file.read()
        except OSError:
            return b""

    def wait_for_moment(self):
        """Mostly between commits, now and then while the job starts or waits for more input."""
        started, slower = time.monotonic(), 8 if tool.SANITIZED else 1
        kind = self.rng.random()
        if kind < 0.15:
            time.sleep(self.rng.uniform(0, START_S) * slower)
        elif kind < 0.3:
            time.sleep(START_S + self.rng.uniform(0, 0.3) * slower)
        else:
            before = self.marks()
            while self.marks() == before and time.monotonic() < started + 0.15 * slower:
                time.sleep(0.0005)
            time.sleep(self.rng.uniform(0, 0.9) * self.backlog / EVENTS_PER_S * slower)
        return time.monotonic() - started

    def run_and_kill(self):
        """One life of the job; returns how it ended, and what a reader beside it has seen."""
        job = tool.start("user_counts", *self.job_arguments())
        follower, seen_file = None, tempfile.TemporaryFile()
        if self.rng.random() < 0.3:
            follower = tool.start("leat", "consume", "--log", self.log, OUTPUT, "--meta",
                                  stdout=seen_file)
        after_s = self.wait_for_moment()
        gently = self.rng.random() < 0.1
        ended_before = job.poll()
        code = tool.end(job, signal.SIGTERM if gently else signal.SIGKILL)
        self.faults += code == -signal.SIGKILL
        if follower is not None:
            tool.end(follower)
        seen_file.seek(0)
        seen = tool.json_lines(seen_file.read().decode())
        seen_file.close()
        if ended_before is not None or (gently and code not in (0, -signal.SIGTERM)):
            raise tool.Failed(f"user_counts ended by itself with {code} after {after_s:.3f} s")
        return f"{'TERM' if gently else 'KILL'} after {after_s * 1000:.0f} ms", seen

    def finish(self):
        arguments = ["--log", self.log, "--until-end"]
        tool.run("user_counts", *arguments,
                 *([] if self.memory_only else ["--state-dir", self.state]))

    # ------------------------------------------------------------ the check

    def topic(self, name):
        done = tool.run("leat", "consume", "--log", self.log, name, "--meta", "--until-end",
                        expect=None)
        if done.returncode == 72: # killed before the topic was made
            return []
        if done.returncode != 0:
            raise tool.Failed(f"leat consume {name}: {done.stderr}")
        return tool.json_lines(done.stdout)

    def check(self, seen=()):
        events, output = self.topic(INPUT), self.topic(OUTPUT)
        count_check.check_produced(events, self.acknowledged, self.attempted)
        count_check.check_seen(seen, output)
        counted, bad = count_check.check(events, output, self.topic("dead-letters"),
                                         tool.offsets(self.log, "user-counts"),
                                         self.partition_count, INPUT)
        self.backlog = len(events) - counted - bad
        return counted, bad, len(events)


def run_world(folder, rng, rounds, say):
    world = World(folder, rng)
    say(f"{world.partition_count} partitions, {world.user_count} users, up to "
        f"{world.events_per_round} events a round, state "
        f"{'in memory' if world.memory_only else 'on disk'}")
    for number in range(rounds):
        while world.backlog < world.events_per_round / 2 and rng.random() < 0.9:
            world.produce()
        if rng.random() < 0.3:
            world.clean()
        how, seen = world.run_and_kill()
        counted, bad, there = world.check(seen)
        say(f"  {how}: {counted} of {there} counted, {bad} dead letters")
    world.finish()
    counted, bad, there = world.check()
    if counted + bad != there:
        raise count_check.Violation(f"--until-end has read {counted + bad} of {there} events")
    return counted, world.faults


def run_rounds(rounds, seed, say):
    """Raises what went wrong; returns the records judged, the faults, and a line about both."""
    counted = faults = worlds = 0
    while rounds > 0:
        these = min(rounds, ROUNDS_PER_WORLD)
        say(f"user_counts, world {worlds}, seed {seed}")
        with tool.Folder("crash-counts") as folder:
            done = run_world(folder, random.Random(f"{seed}/{worlds}"), these, say)
        counted, faults = counted + done[0], faults + done[1]
        rounds -= these
        worlds += 1
    return counted, faults, f"{counted} events counted exactly once in {worlds} worlds"
