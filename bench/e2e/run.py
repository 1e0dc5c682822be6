#!/usr/bin/env python3
"""bench/e2e/run.py - from an event's intended time to its count readable, through a Kafka broker.

    generator ──► user_events ──► engine ──► user_recommendations ──► reader (read_committed)

Open loop: 10,000 users, 4 partitions, JSON, exactly once.  Engines take turns, A B C A B C, on
the same broker; loader, broker and engine share the machine's cores.  Every run is checked: per
user 1, 2, 3 ... once each.  Medians of --runs.

    bare     the floor: librdkafka alone, counts in memory, nothing restored (bench/e2e/bare.c)
    leat     examples/user_counts, RocksDB state
    streams  Kafka Streams, exactly_once_v2, RocksDB state, at commit.interval.ms
    flink    Flink, RocksDB state, exactly-once sink, at its checkpoint interval
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True

from kafka_bench import (Broker, Load, Running, Wrong, add_common_options,  # noqa: E402
                         engines, machine, medians, write_json)

GOALS = {1000: {"p50_ms": 10, "p95_ms": 18, "p99_ms": 25, "cores": 0.15},
         20000: {"p50_ms": 12, "p95_ms": 30, "p99_ms": 60, "cores": 0.2}}


def run_once(engine, broker, rate, seconds, warm_up):
    """One run's figures; raises Wrong where a count is."""
    broker.fresh_topics()
    with Running(engine, broker) as running, \
            Load("live", broker, rate=rate, seconds=seconds, warm_up=warm_up) as load:
        answered_ns = load.until("answered")
        begin_ns = load.until("measure")
        cpu_s, broker_cpu_s = running.cpu_s(), broker.cpu_s()
        wall_s = (load.until("measured") - begin_ns) / 1e9
        cores = (running.cpu_s() - cpu_s) / wall_s
        broker_cores = (broker.cpu_s() - broker_cpu_s) / wall_s
        result = load.finish()
        return {**{key: result[key] for key in ("p50_ms", "p90_ms", "p95_ms", "p99_ms", "p999_ms",
                                                "max_ms", "late_p99_ms", "load_cores")},
                "cores": cores, "broker_cores": broker_cores, "peak_mb": running.peak_mb(),
                "first_answer_s": (answered_ns - running.started_ns) / 1e9}


def measure(options, broker, chosen):
    """{rate: {engine: [run, ...]}}"""
    runs = {rate: {engine.name: [] for engine in chosen} for rate in options.rates}
    for rate in options.rates:
        for turn in range(options.runs):
            for engine in chosen:
                row = run_once(engine, broker, rate, options.seconds, options.warm_up)
                runs[rate][engine.name].append(row)
                print(f"  {rate}/s, {engine.name}, run {turn + 1}: " + ", ".join(
                    f"{key} {row[key]:.2f}" for key in ("p50_ms", "p95_ms", "p99_ms", "cores",
                                                        "broker_cores", "late_p99_ms")),
                      file=sys.stderr, flush=True)
    return runs


def table(result):
    for rate, rows in result["medians"].items():
        print(f"\n{rate} events/s            p50     p95     p99 ms  late p99   engine  broker   "
              f"loader    peak MB")
        for name, row in rows.items():
            print(f"  {name:<16}{row['p50_ms']:8.1f}{row['p95_ms']:8.1f}{row['p99_ms']:8.1f}"
                  f"{row['late_p99_ms']:13.1f}{row['cores']:9.2f}{row['broker_cores']:8.2f}"
                  f"{row['load_cores']:9.2f}{row['peak_mb']:11.0f}")
        goal = GOALS.get(int(rate))
        if goal:
            print(f"  {'goal of leat':<16}{goal['p50_ms']:8.1f}{goal['p95_ms']:8.1f}"
                  f"{goal['p99_ms']:8.1f}{'':13}{goal['cores']:9.2f}")


def arguments():
    parser = argparse.ArgumentParser(prog="bench/e2e/run.py", epilog=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, 3, "e2e.json")
    parser.add_argument("--engines", default="bare,leat,streams,flink",
                        help='"bare,leat,streams,flink"; one setting: "streams 10 ms"')
    parser.add_argument("--rates", default="1000,20000", help="events a second (1000,20000)")
    parser.add_argument("--seconds", type=int, default=20, help="measured (20)")
    parser.add_argument("--warm-up", type=int, default=15,
                        help="seconds of the same load before; Java needs them (15)")
    options = parser.parse_args()
    options.rates = [int(rate) for rate in options.rates.split(",")]
    if options.quick:
        options.runs, options.seconds, options.warm_up = 1, 5, 3
    return options


def main():
    options = arguments()
    chosen = engines([name.strip() for name in options.engines.split(",")])
    result = {"bench": "e2e", **machine(), "users": 10000, "partitions": 4,
              "seconds": options.seconds, "warm_up_s": options.warm_up, "runs": options.runs}
    with Broker(options.broker, options.broker_pid) as broker:
        result["runs_of_each"] = measure(options, broker, chosen)
    result["medians"] = {rate: {name: medians(rows) for name, rows in by_name.items()}
                         for rate, by_name in result["runs_of_each"].items()}
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
    sys.exit(f"bench/e2e: {wrong}")
