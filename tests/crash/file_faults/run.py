"""tests/crash/file_faults/run.py [--rounds N | --all] [--seed S] [--scene NAME]... [--kind NAME]...
                               [--json FILE] [--quiet]

The programs run while the n-th call on a file of the log or the state goes wrong (faults.c): it
fails, the disk is full, a write is torn, the power goes. Then they are started again, and an
independent judge looks: nothing lost, nothing twice, no other exit code than docs/exit-codes.md has
for it, and a line that names the place. --rounds takes N pairs of a kind and an n, spread over all
scenes; --all takes every n of every kind. A failure prints what repeats it."""
import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

from scenes import HERE, SCENES, count_check, tool

LIBRARY = os.path.join(os.environ.get("LEAT_TEST_DIR") or os.path.join(tool.BIN, "..", "tests"),
                       "libfile_faults.so")
REPORT_BYTES = 4096
KILLED = -signal.SIGKILL
# What a program may end with: docs/exit-codes.md. 0: the call was one that it can do without.
ALLOWED = {"eio": (0, 74), "full": (0, 28), "short": (0, 74, 28), "torn": (KILLED, 0),
           "power": (KILLED, 0), "ragged": (KILLED, 0), "read": (0, 74)}
READS_OF_ITS_OWN = ("read",)
ALSO_AT_THE_END = ("power", "ragged")


class Round:
    def __init__(self, scene, kind, at):
        self.scene, self.kind, self.at = scene, kind, at

    def __str__(self):
        return f"--scene {self.scene} --kind {self.kind} --at {self.at}"


def faulty(world, folder, kind, at):
    """Runs the scene's program with the library: what came of it, calls seen, what went wrong."""
    report, spare = os.path.join(folder, "report"), os.path.join(folder, "spare")
    os.makedirs(spare, exist_ok=True)
    with open(report, "wb") as file:
        file.write(bytes(REPORT_BYTES))
    done = world.run({
        "LD_PRELOAD": LIBRARY, "FILE_FAULTS_DIR": world.world, "FILE_FAULTS_KIND": kind,
        "FILE_FAULTS_AT": str(at), "FILE_FAULTS_SPARE": spare, "FILE_FAULTS_REPORT": report})
    with open(report, "rb") as file:
        told = file.read()
    return done, int.from_bytes(told[:8], "little"), told[8:].split(b"\0")[0].decode()


def judge_ending(world, kind, done, what):
    if done.returncode not in ALLOWED[kind]:
        raise tool.Failed(f"it ended with {done.returncode} after {what}\n{done.stderr[-1500:]}")
    if done.returncode > 0 and world.world not in done.stderr:
        raise tool.Failed(f"no line names a place below {world.world}\n{done.stderr[-1500:]}")


class Stage:
    """A scene whose beginning is made once and copied for each round."""

    def __init__(self, name, folder):
        self.name, self.folder = name, os.path.join(folder, name)
        self.template = os.path.join(self.folder, "template")
        os.makedirs(self.folder)
        world = SCENES[name](self.folder)
        world.prepare()
        os.rename(world.world, self.template)
        self.expected = None
        self.calls = {}
        self.rounds = self.records = self.faults = self.failed = 0

    def world(self):
        world = SCENES[self.name](self.folder)
        shutil.rmtree(world.world, ignore_errors=True)
        shutil.rmtree(os.path.join(self.folder, "spare"), ignore_errors=True)
        shutil.copytree(self.template, world.world)
        world.expected = self.expected
        return world

    def count(self, kind):
        """How many calls there are without a fault; the first time it is also what is expected."""
        reads = kind if kind in READS_OF_ITS_OWN else "eio"
        if reads not in self.calls:
            world = self.world()
            done, self.calls[reads], _ = faulty(world, self.folder, reads, 0)
            if done.returncode != 0 or self.calls[reads] < 5:
                raise tool.Failed(f"{self.name} without a fault: {done.returncode}, "
                                  f"{self.calls[reads]} calls\n{done.stderr[-1500:]}")
            if hasattr(world, "learn"):
                self.expected = world.learn()
        return self.calls[reads]

    def play(self, kind, at):
        """(records judged, whether the fault happened, a line about it)."""
        self.count(kind)
        world = self.world()
        done, _, what = faulty(world, self.folder, kind, at)
        judge_ending(world, kind, done, what)
        world.go_on(done.returncode)
        records = world.judge(done.returncode)
        return records, bool(what), f"{what or 'not reached'}: {done.returncode}"


    def line(self):
        calls, reads = self.calls.get("eio", 0), self.calls.get("read", 0)
        return (f"{self.name:<12} {calls:>5} calls {reads:>5} reads "
                f"{self.rounds:>6} rounds {self.faults:>6} faults {self.failed:>4} failed")


def last_of(stage, kind):
    return stage.count(kind) + (20 if kind in ALSO_AT_THE_END else 0) # threads: not always as many


def rounds_of(options, stages):
    kinds = options.kind or list(ALLOWED)
    if options.at:
        return [Round(name, kind, options.at) for name in stages for kind in kinds]
    everything = [Round(name, kind, at) for name, stage in stages.items() for kind in kinds
                  for at in range(1, last_of(stage, kind) + 1)]
    if options.all:
        return everything
    rng, chosen = random.Random(options.seed), []
    groups = [(name, kind) for name in stages for kind in kinds]
    rng.shuffle(groups)
    for number in range(options.rounds * options.pairs):
        name, kind = groups[number % len(groups)]
        chosen.append(Round(name, kind, rng.randrange(last_of(stages[name], kind)) + 1))
    return chosen


def play_all(options, folder):
    stages = {name: Stage(name, folder) for name in options.scene or SCENES}
    rounds = rounds_of(options, stages)
    failures = []
    for each in rounds:
        stage = stages[each.scene]
        stage.rounds += 1
        try:
            judged, happened, line = stage.play(each.kind, each.at)
            stage.records, stage.faults = stage.records + judged, stage.faults + happened
            if not options.quiet:
                print(f"{each}: {line}", flush=True)
        except (tool.Failed, count_check.Violation, subprocess.TimeoutExpired) as problem:
            failures.append(each)
            stage.failed += 1
            print(f"FAILED {each}: {type(problem).__name__}: {problem}\nagain: "
                  f"{os.path.relpath(HERE, tool.SOURCE)}/run.py {each}", flush=True)
            if not options.keep_going:
                break
    return rounds, list(stages.values()), failures


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=100)
    parser.add_argument("--pairs", type=int, default=1, help="so many make a round")
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--at", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scene", action="append", choices=list(SCENES))
    parser.add_argument("--kind", action="append", choices=list(ALLOWED))
    parser.add_argument("--json", help="a file for the summary")
    parser.add_argument("--quiet", action="store_true")
    parser.add_argument("--keep-going", action="store_true")
    options = parser.parse_args(arguments)
    options.seed = options.seed or int.from_bytes(os.urandom(3), "big")
    started_s = time.monotonic()
    with tool.Folder("file-faults") as folder:
        rounds, stages, failures = play_all(options, folder)
        print("\n".join(stage.line() for stage in stages))
        if failures:
            raise SystemExit(f"{len(failures)} of {len(rounds)} failed, seed {options.seed}")
    unreached = [each.name for each in stages if each.faults == 0]
    if unreached and len(rounds) >= len(stages) * len(options.kind or ALLOWED):
        raise SystemExit(f"no fault happened in {', '.join(unreached)}: this shows nothing")
    records, faults = sum(each.records for each in stages), sum(each.faults for each in stages)
    print(f"ok: file faults, {len(rounds)} rounds, {faults} faults, {records} records judged, "
          f"seed {options.seed} ({time.monotonic() - started_s:.0f} s)", flush=True)
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"rounds": len(rounds) // options.pairs, "seed": options.seed,
                       "records": records, "faults": faults,
                       "faults_of": {each.name: each.faults for each in stages}}, file)


if __name__ == "__main__":
    sys.exit(main())
