"""tests/crash/kafka/run.py [--kind K]... [--job J]... [--rounds N] [--brokers 1|3] [--seed S]
                          [--json FILE] [--quiet]

Crash rounds on a Kafka broker of its own, with all kinds of jobs (works.py) in turn.  A failure
prints the seed (which repeats the settings and the choices, not the instants), the batches about
the wrong record, and keeps the folder with the logs of every process and the broker's data."""
import argparse
import json
import os
import random
import shutil
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "support"))
sys.path.insert(0, HERE)

import faults  # noqa: E402
import kafka  # noqa: E402
import rounds as kinds  # noqa: E402
import tool  # noqa: E402
import works  # noqa: E402
import world as worlds  # noqa: E402

ROUNDS_PER_WORLD = {"kill": 15, "compact": 15, "broker": 5, "stopped": 5, "all": 5, "zombie": 5,
                    "scale": 5}


class TooManyGivenUp(Exception):
    """What the judge saw is too little to say anything."""


class Report:
    """Lines for people, numbers for the summary."""

    def __init__(self, quiet):
        self.quiet, self.kept = quiet, []
        self.rounds, self.records, self.faults, self.worlds = {}, 0, 0, 0
        self.restarts, self.last_words, self.detected = [], [], 0
        self.exposed = self.survived = self.compacted = 0
        self.given_up = []  # what the broker spoilt: {"world", "why"}

    def say(self, line):
        self.kept.append(line)
        if not self.quiet:
            print(line, flush=True)

    def add_world(self, world, count):
        self.worlds += 1
        self.records += count
        self.faults += world.faults
        self.exposed += world.exposed
        self.survived += world.survived
        self.compacted += world.compacted if world.compacting else 0
        for each in world.all_jobs():
            self.restarts += each.ended_by_itself()
            self.last_words += each.last_words # the folder goes, the reason stays

    def give_up(self, name, why):
        """One, and one more for each five that went well."""
        self.given_up.append({"world": name, "why": str(why)})
        self.say(f"  given up, the broker lost markers: {why}")
        # Their rounds are played again elsewhere.  A broker that is alone forgets markers in up to
        # two of five worlds in which it is killed again and again.
        if len(self.given_up) > 1 + self.worlds // 2:
            raise TooManyGivenUp(f"{len(self.given_up)} worlds were given up beside "
                                 f"{self.worlds} that went well")

    def numbers(self):
        return {"rounds": sum(self.rounds.values()), "rounds_of_kinds": self.rounds,
                "records": self.records, "faults": self.faults, "worlds": self.worlds,
                "worlds_given_up": self.given_up, "ended_by_itself": self.restarts,
                "last_words": self.last_words, "tears_detected": self.detected,
                "saw_a_broker_die": self.exposed, "of_these_lived_on": self.survived,
                "compacted_away": self.compacted}


def play(world, kind, count, report):
    """`count` rounds in one world, looked at now and then, and its end."""
    rng, act = world.rng, kinds.KINDS[kind]
    for _ in range(2 if kind in ("zombie", "scale") else rng.choice([1, 2])):
        world.add()
    world.loader.rate(world.rate)
    for number in range(count):
        said = act(world, rng)
        world.check_processes()
        report.rounds[kind] = report.rounds.get(kind, 0) + 1
        looked = ""
        if (number + 1) % kinds.EVERY[kind] == 0:
            looked = f"; {world.check_settled()} outputs right"
            world.loader.rate(world.rate)
        report.say(f"  {kind} {report.rounds[kind]}: {said}{looked}")
    cold_look(world, report)
    world.check_settled()
    world.prove_state()
    report.add_world(world, world.outputs())


def cold_look(world, report):
    """All killed at work: what is committed fits together as it lies, with nobody to repair it."""
    world.wait_for_progress()
    for each in world.jobs.values():
        each.end(worlds.job.signal.SIGKILL)
    count = world.check_frozen()
    report.say(f"  all killed: {count} outputs fit the committed offsets")
    for each in world.jobs.values():
        each.up()


def run_world(broker, folder, kind, work, count, seed, number, report):
    """False: it was given up, and counts for nothing."""
    name = f"{kind}-{work.name.replace('_', '-')}{number}"
    rng = random.Random(f"{seed}/{name}/settings")
    world = worlds.World(broker, folder, name, seed, users=rng.choice([7, 100, 1000]),
                         rate=rng.choice([200, 500, 1000]) // (4 if tool.SANITIZED else 1),
                         memory_only=rng.random() < 0.2, work=work,
                         snapshots=rng.random() < 0.4, compacting=kind == "compact")
    report.say(f"world {name}: {work.name}, {world.loader.users} users, {world.rate} events/s, "
               f"epoch {world.epoch_ms or 'default'} ms, state "
               f"{'in memory' if world.memory_only else 'on disk'}"
               f"{', snapshots' if world.snapshot_dir else ''}")
    rounds_before = dict(report.rounds)
    try:
        play(world, kind, count, report)
        return True
    except worlds.BrokerGaveUp as problem:
        report.rounds = rounds_before
        report.give_up(name, problem)
        return False
    except BaseException as problem:
        found = world.evidence(problem)
        if found:
            report.say(found)
            print(found, flush=True)
        raise
    finally:
        world.close()


def run_kinds(plan, jobs, seed, report, folder, brokers=1, transaction_version=2):
    """plan: {kind: rounds}; jobs: names of works"""
    plan = dict(plan)
    faulty = plan.pop("fault", 0)
    if faulty:
        for version in (0, 2):
            shares = works.shared_out((faulty + 1) // 2, jobs, seed + version)
            faults.run(shares, seed, report, folder, version)
        report.say(f"without R1: {faults.show_that_r1_is_needed(seed, report, folder)}")
    for compacting, settings in ((False, worlds.BROKER_SETTINGS), (True, worlds.COMPACTING)):
        these = {kind: rounds for kind, rounds in plan.items()
                 if (kind == "compact") == compacting}
        if these:
            run_beside_brokers(these, jobs, seed, report, os.path.join(folder, f"b{compacting:d}"),
                               brokers=brokers, transaction_version=transaction_version,
                               settings=settings)
    if "compact" in plan and report.compacted == 0:
        raise tool.Failed("the broker compacted nothing: these rounds show nothing")


def run_beside_brokers(plan, jobs, seed, report, folder, **asked):
    with kafka.Broker(os.path.join(folder, "broker"), **asked) as broker:
        for kind, rounds in plan.items():
            for work, left in works.shared_out(rounds, jobs, seed):
                number = 0
                while left > 0:
                    these = min(left, ROUNDS_PER_WORLD[kind])
                    if run_world(broker, folder, kind, work, these, seed, number, report):
                        left -= these
                    number += 1


def run(plan, seed, quiet=False, json_file=None, jobs=tuple(works.WORKS), **cluster):
    """Runs the plan; a failure keeps its folder and ends with exit status 1."""
    started_s, report = time.monotonic(), Report(quiet)
    folder = tempfile.mkdtemp(prefix="leat-crash-kafka-")
    summary = {"plan": plan, "seed": seed, "jobs": list(jobs), **cluster}
    try:
        run_kinds(plan, jobs, seed, report, folder, **cluster)
    except Exception as problem:
        if quiet:
            print("\n".join(report.kept[-25:]))
        asked = " ".join(f"--kind {kind} --rounds {count}" for kind, count in plan.items())
        print(f"FAILED {type(problem).__name__}: {problem}\n"
              f"kept for a look: {folder}\nagain: tests/crash/kafka/run.py {asked} --seed {seed}",
              flush=True)
        write_summary(json_file, {**summary, **report.numbers(), "ok": False,
                                  "problem": str(problem), "folder": folder})
        raise SystemExit(1) from problem
    shutil.rmtree(folder, ignore_errors=True)
    took_s = time.monotonic() - started_s
    summary |= {"ok": True, **report.numbers(), "seconds": round(took_s)}
    write_summary(json_file, summary)
    print(f"ok: {report.rounds}, seed {seed}: {report.records} outputs exactly once, processes "
          f"that ended by themselves and were started again: {report.restarts or 'none'}"
          f"{f', worlds given up: {len(report.given_up)}' if report.given_up else ''} "
          f"({took_s:.0f} s)", flush=True)


def write_summary(path, summary):
    if path:
        with open(path, "w", encoding="utf-8") as file:
            json.dump(summary, file, indent=1)
            file.write("\n")


# Of N rounds; the others take longer than a kill.
SHARES = {"kill": 1, "compact": 3, "broker": 3, "stopped": 3, "all": 3, "zombie": 3, "scale": 3,
          "fault": 2}


def test(*kinds_of_rounds, **cluster):
    """Some kinds, as often as the test run wants them."""
    rounds = int(os.environ.get("LEAT_CRASH_ROUNDS", "20"))
    few = {"kill": rounds * 2 // 5, "fault": rounds // 3}
    run({kind: max(few.get(kind, rounds // 10), 1) for kind in kinds_of_rounds},
        seed_of_environment(), **cluster)


def seed_of_environment():
    return int(os.environ.get("LEAT_CRASH_SEED", "0")) or int.from_bytes(os.urandom(3), "big")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kind", choices=sorted(SHARES), action="append",
                        help="these, --rounds each; without it all: N kills, N/3 of others")
    parser.add_argument("--job", choices=sorted(works.WORKS), action="append",
                        help="these only; without it all")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=seed_of_environment())
    parser.add_argument("--brokers", type=int, choices=(1, 3), default=1)
    parser.add_argument("--json", help="a file for the summary")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    plan = {kind: max(1, options.rounds if options.kind else -(-options.rounds // share))
            for kind, share in SHARES.items() if kind in (options.kind or SHARES)}
    run(plan, options.seed, options.quiet, options.json,
        jobs=options.job or tuple(works.WORKS), brokers=options.brokers)


if __name__ == "__main__":
    main()
