#!/usr/bin/env python3
"""bench/cost/run.py - what an engine costs: a backlog, a start, a trickle, through a Kafka broker.

    backlog  --events are in user_events before the engine starts: CPU seconds and peak memory of
             its process, from exec to the last count readable; the start is part of it
    start    1,000 events wait: from exec to the first count readable
    trickle  100 events a second: resident memory and cores

Every run is checked: per user 1, 2, 3 ... once each.  Engines take turns; medians of --runs.
`bench/e2e/run.py --help` says what the engines are; each runs with one setting here, its own
cheapest (--engines for others).
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True

from kafka_bench import (Broker, Load, Running, Wrong, add_common_options,  # noqa: E402
                         engines, machine, medians, write_json)

GOALS = {"backlog": {"cpu_s_per_million": 1.5, "peak_mb": 100},
         "start": {"first_count_s": 0.3}, "trickle": {"resident_mb": 25}}
START_EVENTS = 1000
TRICKLE_PER_S, TRICKLE_S = 100, 10


def drain(engine, broker, events):
    """Fills the input, then lets the engine catch up."""
    broker.fresh_topics()
    with Load("fill", broker, events=events) as load:
        load.finish()
    with Load("drain", broker, events=events) as load:
        load.until("open")
        broker_cpu_s = broker.cpu_s()
        with Running(engine, broker) as running:
            answered_ns = load.until("answered")
            drained_ns = load.until("drained")
            cpu_s = running.cpu_s()
            load.finish()
            return {"wall_s": (drained_ns - running.started_ns) / 1e9, "cpu_s": cpu_s,
                    "cpu_s_per_million": cpu_s / events * 1e6,
                    "broker_cpu_s": broker.cpu_s() - broker_cpu_s,
                    "peak_mb": running.peak_mb(),
                    "first_count_s": (answered_ns - running.started_ns) / 1e9}


def trickle(engine, broker):
    broker.fresh_topics()
    with Running(engine, broker) as running, \
            Load("live", broker, rate=TRICKLE_PER_S, seconds=TRICKLE_S, warm_up=5) as load:
        begin_ns = load.until("measure")
        cpu_s = running.cpu_s()
        wall_s = (load.until("measured") - begin_ns) / 1e9
        cores = (running.cpu_s() - cpu_s) / wall_s
        result = load.finish()
        return {"cores": cores, "resident_mb": running.resident_mb(), "p50_ms": result["p50_ms"],
                "p95_ms": result["p95_ms"]}


def start(engine, broker):
    row = drain(engine, broker, START_EVENTS)
    return {key: row[key] for key in ("first_count_s", "cpu_s", "peak_mb")}


CASES = {"backlog": lambda options, engine, broker: drain(engine, broker, options.events),
         "start": lambda _, engine, broker: start(engine, broker),
         "trickle": lambda _, engine, broker: trickle(engine, broker)}


def measure(options, broker, chosen):
    """{case: {engine: [run, ...]}}"""
    runs = {case: {engine.name: [] for engine in chosen} for case in options.cases}
    for case in options.cases:
        for turn in range(options.runs):
            for engine in chosen:
                row = CASES[case](options, engine, broker)
                runs[case][engine.name].append(row)
                print(f"  {case}, {engine.name}, run {turn + 1}: " + ", ".join(
                    f"{key} {value:.2f}" for key, value in row.items()), file=sys.stderr,
                      flush=True)
    return runs


def table(result):
    for case, rows in result["medians"].items():
        keys = list(next(iter(rows.values())))
        print(f"\n{case:<18}" + "".join(f"{key:>19}" for key in keys))
        for name, row in rows.items():
            print(f"  {name:<16}" + "".join(f"{row[key]:19.2f}" for key in keys))
        goals = GOALS[case]
        print(f"  {'goal of leat':<16}" + "".join(f"{goals.get(key, ''):>19}" for key in keys))


def arguments():
    parser = argparse.ArgumentParser(prog="bench/cost/run.py", epilog=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 3, "cost.json")
    parser.add_argument("--engines", default="bare 10 ms,leat,streams 100 ms,flink 1000 ms",
                        help='as in bench/e2e/run.py ("bare 10 ms,leat,streams 100 ms,'
                             'flink 1000 ms")')
    parser.add_argument("--events", type=int, default=2_000_000, help="of the backlog (2000000)")
    parser.add_argument("--cases", default="backlog,start,trickle", help="backlog,start,trickle")
    options = parser.parse_args()
    options.cases = options.cases.split(",")
    if options.quick:
        options.runs, options.events = 1, 200_000
    return options


def main():
    options = arguments()
    chosen = engines([name.strip() for name in options.engines.split(",")])
    result = {"bench": "cost", **machine(), "users": 10000, "partitions": 4,
              "events": options.events, "runs": options.runs}
    with Broker(options.broker, options.broker_pid) as broker:
        result["runs_of_each"] = measure(options, broker, chosen)
    result["medians"] = {case: {name: medians(rows) for name, rows in by_name.items()}
                         for case, by_name in result["runs_of_each"].items()}
    result["goals"] = GOALS
    write_json(options.out, result)
    if options.json:
        print(json.dumps(result))
        return
    print("machine: " + ", ".join(f"{key} {result[key]}" for key in (
        "machine", "load_before", "commit", "java", "kafka", "kafka_streams", "flink",
        "librdkafka")))
    table(result)


try:
    main()
except Wrong as wrong:
    sys.exit(f"bench/cost: {wrong}")
