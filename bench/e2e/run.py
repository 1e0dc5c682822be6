#!/usr/bin/env python3
"""bench/e2e/run.py - from an event's intended time to its count readable, through a Kafka broker.

    generator ──► user_events ──► engine ──► user_recommendations ──► reader (read_committed)

Open loop: 10,000 users, 4 partitions, JSON, exactly once.  Engines take turns, A B C A B C, on
the same broker; loader, broker and engine share the machine's cores.  Every run is checked: per
user 1, 2, 3 ... once each.  Medians of --runs undisturbed ones.

    bare     the floor: librdkafka alone, counts in memory, nothing restored (bench/e2e/bare.c);
             "+ changelog": it writes one, as every engine must that is to have its state back
    leat     examples/user_counts, RocksDB state
    streams  Kafka Streams, exactly_once_v2, RocksDB state, at commit.interval.ms
    flink    Flink, RocksDB state, exactly-once sink, at its checkpoint interval
"""
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True

from kafka_bench import Load, Running, Wrong, engines  # noqa: E402
from turns import Watch, columns, common_parser, parsed, prepared, take_turns, told  # noqa: E402

GOALS = {1000: {"p50_ms": 10, "p95_ms": 18, "p99_ms": 25, "cores": 0.15},
         20000: {"p50_ms": 12, "p95_ms": 30, "p99_ms": 60, "cores": 0.2}}
# title, format, whether a ratio says something
HEADS = {"p50_ms": ("p50 ms", ".1f", True), "p95_ms": ("p95 ms", ".1f", True),
         "p99_ms": ("p99 ms", ".1f", True), "cores": ("cores", ".2f", True),
         "broker_cores": ("broker", ".2f", True), "load_cores": ("loader", ".2f", False),
         "peak_mb": ("peak MB", ".0f", True), "late_p99_ms": ("late p99", ".1f", False),
         "steal_percent": ("steal %", ".1f", False)}


def run_once(engine, broker, rate, options):
    """One run's figures; raises Wrong where a count is."""
    broker.fresh_topics()
    with Running(engine, broker) as running, \
            Load("live", broker, rate=rate, seconds=options.seconds,
                 warm_up=options.warm_up) as load:
        answered_ns = load.until("answered")
        watch = Watch(running, broker, load.until("measure"))
        figures = watch.figures(load.until("measured"))
        result = load.finish()
        return {**{key: result[key] for key in ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms",
                                                "max_ms", "late_p99_ms", "load_cores")},
                **figures, "peak_mb": running.peak_mb(),
                "first_answer_s": (answered_ns - running.started_ns) / 1e9}


def arguments():
    parser = common_parser("bench/e2e/run.py", __doc__, 3, "e2e.json")
    parser.add_argument("--engines", default="bare,leat,streams,flink",
                        help='"bare,leat,streams,flink"; one setting: "streams 10 ms"; with words '
                             'of its own: "leat --epoch-ms 5", "streams 10 ms '
                             'producer.linger.ms=0 -Xmx1g"')
    parser.add_argument("--rates", default="1000,20000", help="events a second (1000,20000)")
    parser.add_argument("--seconds", type=int, default=20, help="measured (20)")
    parser.add_argument("--warm-up", type=int, default=15,
                        help="seconds of the same load before; Java needs them (15)")
    options = parsed(parser)
    options.rates = [int(rate) for rate in options.rates.split(",")]
    if options.quick:
        options.seconds, options.warm_up = 5, 3
    return options


def table(rate, by_name):
    print(f"{rate} events/s")
    columns(by_name, list(HEADS), HEADS, GOALS.get(rate))


def main():
    options = arguments()
    chosen = {engine.name: engine for engine in
              engines([name.strip() for name in options.engines.split(",")])}
    with prepared(options, "e2e") as (broker, about):
        runs = {rate: take_turns(
            options, rate, chosen,
            lambda rate, name: run_once(chosen[name], broker, rate, options),
            ("p50_ms", "p95_ms", "p99_ms", "cores", "broker_cores", "late_p99_ms"))
            for rate in options.rates}
    told(options, {**about, "users": 10000, "partitions": 4, "seconds": options.seconds,
                   "warm_up_s": options.warm_up, "goals": GOALS}, runs, table)


try:
    main()
except Wrong as wrong:
    sys.exit(f"bench/e2e: {wrong}")
