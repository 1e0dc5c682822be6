#!/usr/bin/env python3
"""bench/recovery/run.py - kill -9 under load, through a Kafka broker: how long until counts go on?

    kept      the same instance again, its local state kept
    lost      the same instance again, its local state gone: everything comes from the changelog
    takeover  two instances; one is killed, the other takes its partitions over

First every one of --users has an event, so that the state holds them all; then an open loop of
1,000 events a second, and the kill in its midst.  Time: from the new process's exec (takeover: from
the kill) to the first count in the partition that waited longest.  Every run is checked: each
user's counts go on without a gap or a repeat.
"""
import argparse
import json
import os
import shutil
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True

from kafka_bench import (Broker, Load, Running, Wrong, add_common_options,  # noqa: E402
                         engines, machine, medians, write_json)

SESSION_S = 10  # session and transaction time-out of leat
GOALS = {"kept": {"recovered_s": 3}, "lost": {"restored_per_s": 300_000},
         "takeover": {"recovered_s": SESSION_S + 2}}
RATE, BEFORE_KILL_S, AFTER_KILL_S = 1000, 3, 5


def folder_mb(folder):
    return sum(os.path.getsize(os.path.join(where, name))
               for where, _, names in os.walk(folder) for name in names) / 1e6


def fill(options, broker):
    """All users once, through the engine; returns the events per second."""
    begin = time.monotonic()
    with Load("drain", broker, events=options.users, users=options.users, seed=0,
              user_bytes=options.user_bytes) as load:
        load.until("drained")
        seconds = time.monotonic() - begin
        load.finish()
    return options.users / seconds


def live(options, broker):
    return Load("live", broker, rate=RATE, users=options.users, user_bytes=options.user_bytes,
                counted_before=1, from_end=1, warm_up=1, patience=120,
                seconds=BEFORE_KILL_S + AFTER_KILL_S + options.longest_s)


def start(engine, broker, base, instance, name):
    return Running(engine, broker, os.path.join(base, instance), name, instance)


def outage(load):
    result = load.finish()
    return result["gap_from_ns"], result["gap_until_ns"]


def kill_and_return(options, broker, base, keep):
    """kept and lost: one instance, killed and started again."""
    name = f"bench-{time.monotonic_ns()}"
    with start(options.engine, broker, base, "one", name) as running:
        fill_per_s = fill(options, broker)
        state_mb = folder_mb(running.folder)
        with live(options, broker) as load:
            load.until("measure")
            time.sleep(BEFORE_KILL_S)
            running.kill()
            if not keep:
                shutil.rmtree(running.folder)
            with start(options.engine, broker, base, "one", name) as again:
                gap_from_ns, gap_until_ns = outage(load)
                recovered_s = (gap_until_ns - again.started_ns) / 1e9
                row = {"recovered_s": recovered_s, "outage_s": (gap_until_ns - gap_from_ns) / 1e9,
                       "state_mb": state_mb, "fill_per_s": fill_per_s, "peak_mb": again.peak_mb()}
                return row if keep else {**row, "restored_per_s": options.users / recovered_s}


def take_over(options, broker, base):
    name = f"bench-{time.monotonic_ns()}"
    with start(options.engine, broker, base, "one", name) as one, \
            start(options.engine, broker, base, "two", name) as two:
        fill_per_s = fill(options, broker)
        state_mb = folder_mb(one.folder) + folder_mb(two.folder)
        with live(options, broker) as load:
            load.until("measure")
            time.sleep(BEFORE_KILL_S)
            killed_ns = time.monotonic_ns()
            one.kill()
            gap_from_ns, gap_until_ns = outage(load)
            return {"recovered_s": (gap_until_ns - killed_ns) / 1e9,
                    "outage_s": (gap_until_ns - gap_from_ns) / 1e9, "state_mb": state_mb,
                    "fill_per_s": fill_per_s, "peak_mb": two.peak_mb()}


CASES = {"kept": lambda *args: kill_and_return(*args, keep=True),
         "lost": lambda *args: kill_and_return(*args, keep=False),
         "takeover": take_over}


def run_once(case, options, broker):
    broker.fresh_topics()
    with Load("fill", broker, events=options.users, users=options.users, seed=0,
              user_bytes=options.user_bytes) as load:
        load.finish()
    base = tempfile.mkdtemp(prefix="leat-bench-recovery-")
    try:
        return CASES[case](options, broker, base)
    finally:
        shutil.rmtree(base, ignore_errors=True)


def arguments():
    parser = argparse.ArgumentParser(prog="bench/recovery/run.py", epilog=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 3, "recovery.json")
    parser.add_argument("--engine", default="leat", help='leat, "streams 100 ms" (leat)')
    parser.add_argument("--users", type=int, default=8_000_000,
                        help="keys in the state (8000000: about 1 GB)")
    parser.add_argument("--user-bytes", type=int, default=50, help="length of a key (50)")
    parser.add_argument("--longest-s", type=int, default=40,
                        help="how long a recovery may take and still be measured (40)")
    parser.add_argument("--cases", default="kept,takeover,lost", help="kept,takeover,lost")
    options = parser.parse_args()
    options.cases = options.cases.split(",")
    if options.quick:
        options.runs, options.users, options.longest_s = 1, 100_000, 15
    return options


def table(result):
    for case, row in result["medians"].items():
        goals = ", ".join(f"{key} {value}" for key, value in GOALS[case].items())
        print(f"\n{case:<10}" + ", ".join(f"{key} {value:.1f}" for key, value in row.items()))
        print(f"{'  goal':<10}{goals}")


def main():
    options = arguments()
    options.engine = engines([options.engine])[0]
    runs = {case: [] for case in options.cases}
    result = {"bench": "recovery", **machine(), "engine": options.engine.name,
              "users": options.users, "user_bytes": options.user_bytes, "runs": options.runs}
    with Broker(options.broker, options.broker_pid) as broker:
        for _ in range(options.runs):
            for case in options.cases:
                row = run_once(case, options, broker)
                runs[case].append(row)
                print(f"  {case}: " + ", ".join(f"{key} {value:.2f}" for key, value in
                                                row.items()), file=sys.stderr, flush=True)
    result.update(runs_of_each=runs, goals=GOALS,
                  medians={case: medians(rows) for case, rows in runs.items()})
    write_json(options.out, result)
    if options.json:
        print(json.dumps(result))
        return
    print("machine: " + ", ".join(f"{key} {result[key]}" for key in (
        "machine", "load_before", "commit", "kafka", "librdkafka")))
    table(result)


try:
    main()
except Wrong as wrong:
    sys.exit(f"bench/recovery: {wrong}")
