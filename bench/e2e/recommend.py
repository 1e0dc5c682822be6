#!/usr/bin/env python3
"""bench/e2e/recommend.py - an event produced to Kafka, its recommendation readable.

    generator ──► user-interactions ──► leat-recommender ──► recommendations ──► reader

The index learns the shipped clicks first (replayed over HTTP); then an open loop of held-out
clicks, --rate a second, by their sessions as users.  Checked: an answer to each event_id, once.
Latency goes from the event's intended time until a read_committed reader holds the answer.
"""
import argparse
import ctypes
import ctypes.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True

from kafka_bench import BIN, Engine, Load, Running, Wrong  # noqa: E402
from machine import ROOT  # noqa: E402
from turns import Watch, columns, common_parser, parsed, prepared, take_turns, told  # noqa: E402

SERVER = os.path.join(BIN, "leat-recommender")
DATA = os.path.join(ROOT, "data", "serenade_bolcom_example")
GOAL = {"p95_ms": 75, "aim_p95_ms": 30}
READY_S, SETTLED_S = 30, 3
COMMITTED = "leat_recommender_accepted_to_committed_seconds_count"
NAME = "leat-recommender"
HEADS = {"p50_ms": ("p50 ms", ".1f", True), "p95_ms": ("p95 ms", ".1f", True),
         "p99_ms": ("p99 ms", ".1f", True), "cores": ("cores", ".2f", True),
         "broker_cores": ("broker", ".2f", True), "load_cores": ("loader", ".2f", False),
         "peak_mb": ("peak MB", ".0f", True), "late_p99_ms": ("late p99", ".1f", False),
         "steal_percent": ("steal %", ".1f", False)}


def unpacked(path):
    """zstd through the library that the build needs anyway."""
    library = ctypes.CDLL(ctypes.util.find_library("zstd") or "libzstd.so.1")
    library.ZSTD_getFrameContentSize.restype = ctypes.c_ulonglong
    library.ZSTD_decompress.restype = ctypes.c_size_t
    with open(path, "rb") as file:
        packed = file.read()
    size = library.ZSTD_getFrameContentSize(packed, ctypes.c_size_t(len(packed)))
    out = ctypes.create_string_buffer(size)
    if library.ZSTD_decompress(out, ctypes.c_size_t(size), packed,
                               ctypes.c_size_t(len(packed))) != size:
        raise Wrong(f"{path} does not unpack")
    return out.raw.decode()


def write_clicks(path):
    """USER ITEM a line, in the order of time."""
    rows = [line.split("\t") for line in
            unpacked(os.path.join(DATA, "test.txt.zst")).splitlines()[1:]]
    with open(path, "w", encoding="utf-8") as file:
        for _, session, item in sorted((float(when), session, item) for session, item, when in
                                       rows):
            file.write(f"s{session} {item}\n")


def command(broker, folder, _name, instance):
    return [SERVER, "serve", "--log", f"kafka:{broker}", "--data-dir", os.path.join(folder, "data"),
            "--instance", instance, "--listen", "127.0.0.1:0"]


def wait_ready(running):
    """The URL of its first line."""
    until = time.monotonic() + READY_S
    while time.monotonic() < until and running.child.poll() is None:
        with open(running.words, encoding="utf-8", errors="replace") as words:
            lines = [line for line in words if line.startswith("ready ")]
        if lines:
            return lines[0].split()[1]
        time.sleep(0.01)
    raise Wrong("leat-recommender does not become ready")


def settled(url):
    """Waits until what was replayed is committed: their number no longer grows."""
    before, since = -1, time.monotonic()
    while time.monotonic() - since < SETTLED_S:
        with urllib.request.urlopen(url + "/metrics") as answer:
            now = next((float(line.split()[-1]) for line in answer.read().decode().splitlines()
                        if line.startswith(COMMITTED)), 0)
        if now != before:
            before, since = now, time.monotonic()
        time.sleep(0.1)


def run_once(options, broker, clicks):
    broker.fresh_topics()
    with Running(Engine(NAME, "", command), broker) as running:
        url = wait_ready(running)
        subprocess.run([SERVER, "replay", os.path.join(DATA, "train.txt.zst"), "--to", url,
                        "--quiet"], check=True, stdout=subprocess.DEVNULL)
        settled(url)
        with Load("live", broker, input="user-interactions", output="recommendations",
                  clicks=clicks, rate=options.rate, seconds=options.seconds, from_end=1,
                  warm_up=5) as load:
            watch = Watch(running, broker, load.until("measure"))
            figures = watch.figures(load.until("measured"))
            return {**load.finish(), **figures, "peak_mb": running.peak_mb()}


def arguments():
    parser = common_parser("bench/e2e/recommend.py", __doc__, 3, "recommend_kafka.json")
    parser.add_argument("--rate", type=int, default=200, help="events a second (200)")
    parser.add_argument("--seconds", type=int, default=20, help="measured (20)")
    options = parsed(parser)
    if options.quick:
        options.seconds = 5
    return options


def table(rate, by_name):
    print(f"{rate} events/s, produced -> recommendation readable")
    columns(by_name, list(HEADS), HEADS, GOAL)


def main():
    options = arguments()
    folder = tempfile.mkdtemp(prefix="leat-bench-clicks-")
    try:
        clicks = os.path.join(folder, "clicks")
        write_clicks(clicks)
        with prepared(options, "recommend_kafka") as (broker, about):
            runs = take_turns(options, options.rate, [NAME],
                              lambda *_: run_once(options, broker, clicks),
                              ("p50_ms", "p95_ms", "p99_ms", "cores", "late_p99_ms"))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    told(options, {**about, "rate": options.rate, "seconds": options.seconds, "goal": GOAL},
         {options.rate: runs}, table)


try:
    main()
except Wrong as wrong:
    sys.exit(f"bench/e2e: {wrong}")
