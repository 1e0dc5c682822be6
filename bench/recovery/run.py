#!/usr/bin/env python3
"""bench/recovery/run.py - kill -9 under load, through a Kafka broker: how long until counts go on?

    takeover        two instances of a job with 10,000 users; one is killed
    kept            the same instance again, its local state kept
    lost            the same instance again, its local state gone: all comes from the changelog
    takeover_large  as takeover, with the state of kept and lost: half of it has to be restored

           fill --users            1,000 events/s            kill -9         again
    ──────────────────────────┬──────────────────────────────────┼─────────────┬─────────────► time
     once, epochs of a second │ every user's 2nd, 3rd ... count  │   outage    │ counts go on

Time: from the new process's exec (takeover: from the kill) to the first count in the partition
that waited longest.  Every run is checked: each user's counts go on without a gap or a repeat.
Kept, lost and takeover_large share one state, which is loaded once; each run takes users of its
own from it.  --max-steal does not apply: recoveries are seconds.
"""
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True

from kafka_bench import Engine, Load, Running, Wrong, engines, leat_command  # noqa: E402
from machine import Steal  # noqa: E402
from turns import common_parser, parsed, prepared, told  # noqa: E402

SESSION_S = 10  # session and transaction time-out of leat
GOALS = {"kept": {"recovered_s": 3}, "lost": {"restored_per_s": 300_000},
         "takeover": {"recovered_s": SESSION_S + 2},
         "takeover_large": {"recovered_s": SESSION_S + 2}}
RATE, BEFORE_KILL_S, AFTER_KILL_S, PATIENCE_S = 1000, 3, 10, 180
SMALL_USERS = 10_000
USERS_A_RUN = 10_000  # whose counts go on in one run
STRIDE = 7919  # they do not lie together
RESTORED = r"(\d+) records restored in (\d+) ms"
READY = r"\d+ partitions ready"


def folder_mb(folder):
    sizes = 0
    for where, _, names in os.walk(folder):
        for name in names:
            try:
                sizes += os.path.getsize(os.path.join(where, name))
            except FileNotFoundError:
                continue  # RocksDB has just removed it
    return sizes / 1e6


class State:
    """Every one of --users has one event, counted by instance "one"; loaded once."""

    def __init__(self, options, broker, base):
        self.options, self.broker, self.base = options, broker, base
        self.name = f"bench-{time.monotonic_ns()}"
        self.runs = 0
        self.users = {"users": options.users, "user_bytes": options.user_bytes}

    def start(self, instance):
        return Running(self.options.engine, self.broker, os.path.join(self.base, instance),
                       self.name, instance)

    def fill(self):
        """Returns figures; in epochs of a second where the engine is leat: nobody waits here."""
        began = time.monotonic()
        everything = {"events": self.options.users, "seed": 0, **self.users}
        bulk = self.options.engine
        if bulk.kind == "leat":
            bulk = Engine("leat", "bulk", leat_command("--epoch-ms", "1000"))
        with Running(bulk, self.broker, os.path.join(self.base, "one"), self.name, "one"), \
                Load("drain", self.broker, patience=PATIENCE_S, **everything) as drain:
            drain.until("open")
            with Load("fill", self.broker, **everything) as load:
                load.finish()
            drain.finish()
        return {"loaded_s": time.monotonic() - began,
                "state_mb": folder_mb(os.path.join(self.base, "one"))}

    def live(self):
        """Users that had no event but the first."""
        first = self.runs * USERS_A_RUN
        self.runs += 1
        if self.runs * USERS_A_RUN > self.options.users:
            raise SystemExit("there are not enough --users for so many --runs")
        return Load("live", self.broker, rate=RATE, seed=0, first_user=first,
                    user_range=USERS_A_RUN, stride=STRIDE, counted_before=1, from_end=1, warm_up=1,
                    patience=PATIENCE_S, seconds=BEFORE_KILL_S + AFTER_KILL_S, **self.users)


class SmallState(State):
    """10,000 users without a past, as in bench/e2e."""

    def live(self):
        return Load("live", self.broker, rate=RATE, warm_up=1, patience=PATIENCE_S,
                    users=SMALL_USERS, seconds=BEFORE_KILL_S + AFTER_KILL_S)


def outage(load, running, since_ns):
    result = load.finish()
    return {"recovered_s": (result["gap_until_ns"] - since_ns) / 1e9,
            "outage_s": (result["gap_until_ns"] - result["gap_from_ns"]) / 1e9,
            "peak_mb": running.peak_mb()}


def restored(running):
    """What leat says of it: records, and how fast; nothing of other engines."""
    found = running.said(RESTORED)
    if found is None:
        return {}
    records, seconds = int(found.group(1)), int(found.group(2)) / 1e3
    return {"restored_records": records, "restore_s": seconds,
            "restored_per_s": records / max(seconds, 1e-3)}


def wait_restored(running):
    """CPU seconds of the process when it says that it is ready."""
    until = time.monotonic() + PATIENCE_S
    while running.said(READY) is None:
        if time.monotonic() > until or running.child.poll() is not None:
            raise Wrong("the restore does not end")
        time.sleep(0.02)
    return {"restore_cpu_s": running.cpu_s()}


def kill_and_return(state, keep):
    """kept and lost: one instance, killed and started again."""
    with state.start("one") as running, state.live() as load:
        load.until("measure")
        time.sleep(BEFORE_KILL_S)
        running.kill()
        if not keep:
            shutil.rmtree(running.folder)
        steal = Steal()
        with state.start("one") as again:
            told_leat = state.options.engine.kind == "leat" and not keep
            cpu = wait_restored(again) if told_leat else {}
            row = outage(load, again, again.started_ns)
            return {**row, **restored(again), **cpu, "steal_percent": steal.percent()}


def take_over(state):
    with state.start("one") as one, state.start("two") as two, state.live() as load:
        load.until("measure")
        time.sleep(BEFORE_KILL_S)
        restored_before = two.said(RESTORED)
        killed_ns, steal = time.monotonic_ns(), Steal()
        one.kill()
        row = outage(load, two, killed_ns)
        if restored_before is None:
            row.update(restored(two))
        return {**row, "steal_percent": steal.percent()}


CASES = {"takeover": take_over, "kept": lambda state: kill_and_return(state, keep=True),
         "lost": lambda state: kill_and_return(state, keep=False), "takeover_large": take_over}


def say(what, row):
    print(f"  {what}: " + ", ".join(f"{key} {value:,.2f}" for key, value in row.items()),
          file=sys.stderr, flush=True)


def run_cases(state, names, rows):
    for name in names:
        row = CASES[name](state)
        row["disturbed"] = False
        rows.setdefault(name, []).append(row)
        say(name, row)


def with_state(kind, options, broker, work):
    """work(state) with a fresh broker folder; returns what it returns."""
    base = tempfile.mkdtemp(prefix="leat-bench-recovery-", dir=options.dir)
    try:
        broker.fresh_topics()
        return work(kind(options, broker, base))
    finally:
        shutil.rmtree(base, ignore_errors=True)


def measure(options, broker):
    """({case: {engine: [row, ...]}}, what loading was)"""
    rows, loading = {}, {}
    for _ in range(options.runs if "takeover" in options.cases else 0):
        with_state(SmallState, options, broker, lambda state: run_cases(state, ["takeover"], rows))
    large = [name for name in options.cases if name != "takeover"]

    def all_large(state):
        loading.update(state.fill())
        say("loaded", loading)
        for _ in range(options.runs):
            run_cases(state, large, rows)
    if large:
        with_state(State, options, broker, all_large)
    return {case: {options.engine.name: of} for case, of in rows.items()}, loading


def arguments():
    parser = common_parser("bench/recovery/run.py", __doc__, 3, "recovery.json")
    parser.add_argument("--engine", default="leat", help='leat, "streams 100 ms" (leat)')
    parser.add_argument("--users", type=int, default=8_000_000, help="keys in the state (8000000)")
    parser.add_argument("--user-bytes", type=int, default=110,
                        help="length of a key (110: about 1 GB in all)")
    parser.add_argument("--dir", help="a folder for the state (that of temporary files)")
    parser.add_argument("--cases", default=",".join(CASES), help=",".join(CASES))
    options = parsed(parser)
    options.cases = [case for case in options.cases.split(",") if case]
    if unknown := [case for case in options.cases if case not in CASES]:
        parser.error(f"there is no case {unknown}; there are {list(CASES)}")
    if options.quick:
        options.users = 100_000
    options.broker_warm_up = min(options.broker_warm_up, 20)  # milliseconds do not matter here
    return options


def table(case, by_name):
    for name, row in by_name.items():
        goals = ", ".join(f"{key} {value:,}" for key, value in GOALS[case].items())
        print(f"{case:<16}{name:<16}" + ", ".join(
            f"{key} {value:,.2f}" for key, value in row.items() if key not in
            ("rejected", "disturbed")) + f"; goal: {goals}")


def main():
    options = arguments()
    options.engine = engines([options.engine])[0]
    with prepared(options, "recovery") as (broker, about):
        runs, loading = measure(options, broker)
    print("loaded: " + ", ".join(f"{key} {value:,.1f}" for key, value in loading.items()),
          file=sys.stderr)
    told(options, {**about, "engine": options.engine.name, "users": options.users,
                   "user_bytes": options.user_bytes, "loading": loading, "goals": GOALS},
         runs, table, about_disturbed=False)


try:
    main()
except Wrong as wrong:
    sys.exit(f"bench/recovery: {wrong}")
