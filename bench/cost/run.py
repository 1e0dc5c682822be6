#!/usr/bin/env python3
"""bench/cost/run.py - what an engine costs: a backlog, a start, a trickle, through a Kafka broker.

    backlog  --events are in user_events before the engine starts: CPU seconds and peak memory of
             its process, from exec to the last count readable; the start is part of it
    start    1,000 events wait: from exec to the first count readable
    trickle  100 events a second: resident memory and cores

Every run is checked: per user 1, 2, 3 ... once each.  Engines take turns; medians of --runs
undisturbed ones.  `bench/e2e/run.py --help` says what the engines are; each runs with one setting
here, its own cheapest (--engines for others).
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True

from kafka_bench import Load, Running, Wrong, engines  # noqa: E402
from machine import Steal  # noqa: E402
from turns import Watch, columns, common_parser, parsed, prepared, take_turns, told  # noqa: E402

DEFAULT_ENGINES = "bare 10 ms,bare pipelined + changelog,leat,streams 100 ms,flink 1000 ms"
GOALS = {"backlog": {"cpu_s_per_million": 1.5, "peak_mb": 100},
         "start": {"first_count_s": 0.3}, "trickle": {"resident_mb": 25}}
# title, format, whether a ratio says something
HEADS = {"cpu_s_per_million": ("CPU s per M", ".2f", True), "wall_s": ("wall s", ".1f", True),
         "cpu_s": ("CPU s", ".2f", True), "peak_mb": ("peak MB", ".0f", True),
         "first_count_s": ("first count s", ".2f", True),
         "broker_cpu_s": ("broker CPU s", ".1f", True), "cores": ("cores", ".3f", True),
         "resident_mb": ("resident MB", ".0f", True), "p50_ms": ("p50 ms", ".1f", True),
         "p95_ms": ("p95 ms", ".1f", True), "late_p99_ms": ("late p99", ".1f", False),
         "steal_percent": ("steal %", ".1f", False)}
SHOWN = {"backlog": ("cpu_s_per_million", "wall_s", "peak_mb", "first_count_s", "broker_cpu_s",
                     "steal_percent"),
         "start": ("first_count_s", "cpu_s", "peak_mb", "steal_percent"),
         "trickle": ("resident_mb", "cores", "p50_ms", "p95_ms", "late_p99_ms", "steal_percent")}
START_EVENTS = 1000
TRICKLE_PER_S, TRICKLE_S = 100, 10


def drain(engine, broker, events):
    """Fills the input, then lets the engine catch up."""
    broker.fresh_topics()
    with Load("fill", broker, events=events) as load:
        load.finish()
    with Load("drain", broker, events=events) as load:
        load.until("open")
        broker_cpu_s, steal = broker.cpu_s(), Steal()
        with Running(engine, broker) as running:
            answered_ns = load.until("answered")
            drained_ns = load.until("drained")
            cpu_s, steal_percent = running.cpu_s(), steal.percent()
            load.finish()
            return {"wall_s": (drained_ns - running.started_ns) / 1e9, "cpu_s": cpu_s,
                    "cpu_s_per_million": cpu_s / events * 1e6,
                    "broker_cpu_s": broker.cpu_s() - broker_cpu_s,
                    "peak_mb": running.peak_mb(), "steal_percent": steal_percent,
                    "first_count_s": (answered_ns - running.started_ns) / 1e9}


def trickle(engine, broker):
    broker.fresh_topics()
    with Running(engine, broker) as running, \
            Load("live", broker, rate=TRICKLE_PER_S, seconds=TRICKLE_S, warm_up=5) as load:
        watch = Watch(running, broker, load.until("measure"))
        figures = watch.figures(load.until("measured"))
        result = load.finish()
        return {**figures, "resident_mb": running.resident_mb(), "p50_ms": result["p50_ms"],
                "p95_ms": result["p95_ms"], "late_p99_ms": result["late_p99_ms"]}


CASES = {"backlog": lambda options, engine, broker: drain(engine, broker, options.events),
         "start": lambda _, engine, broker: drain(engine, broker, START_EVENTS),
         "trickle": lambda _, engine, broker: trickle(engine, broker)}


def arguments():
    parser = common_parser("bench/cost/run.py", __doc__, 3, "cost.json")
    parser.add_argument("--engines", default=DEFAULT_ENGINES,
                        help=f'as in bench/e2e/run.py ("{DEFAULT_ENGINES}")')
    parser.add_argument("--events", type=int, default=2_000_000, help="of the backlog (2000000)")
    parser.add_argument("--cases", default="backlog,start,trickle", help="backlog,start,trickle")
    options = parsed(parser)
    options.cases = options.cases.split(",")
    if options.quick:
        options.events = 200_000
    return options


def table(case, by_name):
    print(case)
    columns(by_name, SHOWN[case], HEADS, GOALS[case])


def main():
    options = arguments()
    chosen = {engine.name: engine for engine in
              engines([name.strip() for name in options.engines.split(",")])}
    with prepared(options, "cost") as (broker, about):
        runs = {case: take_turns(
            options, case, chosen,
            lambda case, name: CASES[case](options, chosen[name], broker), SHOWN[case])
            for case in options.cases}
    told(options, {**about, "users": 10000, "partitions": 4, "events": options.events,
                   "goals": GOALS}, runs, table)


try:
    main()
except Wrong as wrong:
    sys.exit(f"bench/cost: {wrong}")
