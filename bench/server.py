#!/usr/bin/env python3
"""bench/server.py - leat-recommender as its users get it: size, start, memory, ingest.

    size      the stripped program
    start     from exec to the ready line, empty directory (median of 5)
    idle      resident memory 2 s after the start
    ingest    the shipped clicks, each durable, in its session, answered with a recommendation,
              learnt from; events per CPU second of the whole process; checked: as many
              recommendations as events

Run by bench/run.sh. Prints a table, with --json one line of JSON.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
BIN = os.environ.get("LEAT_BIN_DIR", os.path.join(ROOT, "build", "release", "bin"))
SERVER = os.path.join(BIN, "leat-recommender")
CLICKS = os.path.join(ROOT, "data", "serenade_bolcom_example", "train.txt.zst")
GOALS = {"size_mb": 11, "idle_mb": 64, "ready_s": 0.3, "ingest_per_cpu_s": 50_000}


def start_once(folder):
    """Seconds from exec to the ready line, and resident megabytes 2 s later."""
    begin = time.monotonic()
    server = subprocess.Popen([SERVER, "serve", "--data-dir", folder, "--listen", "127.0.0.1:0"],
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    line = server.stdout.readline()
    ready = time.monotonic() - begin
    if not line.startswith("ready"):
        sys.exit(f"{SERVER}: not ready: {line!r}")
    time.sleep(2)
    with open(f"/proc/{server.pid}/status", encoding="ascii") as status:
        kilobytes = next(int(row.split()[1]) for row in status if row.startswith("VmRSS"))
    server.terminate()
    if server.wait() != 0:
        sys.exit(f"{SERVER}: exit status {server.returncode} after SIGTERM")
    return ready, kilobytes / 1024


def committed(folder, topic):
    """Records of the topic that a reader sees."""
    done = subprocess.run([os.path.join(BIN, "leat"), "consume", "--log", f"embedded:{folder}/log",
                           topic, "--until-end"], stdout=subprocess.PIPE, check=True)
    return done.stdout.count(b"\n")


def ingest(folder):
    """Events, wall seconds and CPU seconds of one replay into an empty directory."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.monotonic()
    done = subprocess.run([SERVER, "replay", CLICKS, "--data-dir", folder, "--quiet"],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    wall = time.monotonic() - begin
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    events = json.loads(done.stdout)["events"]
    answered = committed(folder, "recommendations") + committed(folder, "late-events")
    if answered != events:
        sys.exit(f"WRONG RESULT: {events} events, {answered} recommendations and late events")
    return events, wall, cpu


def measure():
    """All figures as a dictionary."""
    starts = []
    for _ in range(5):
        with tempfile.TemporaryDirectory(prefix="leat-bench-") as folder:
            starts.append(start_once(folder))
    runs = []
    for _ in range(3):
        with tempfile.TemporaryDirectory(prefix="leat-bench-") as folder:
            runs.append(ingest(folder))
    return {
        "size_mb": os.path.getsize(SERVER) / 1e6,
        "ready_s": statistics.median(ready for ready, _ in starts),
        "idle_mb": statistics.median(megabytes for _, megabytes in starts),
        "ingest_per_s": statistics.median(events / wall for events, wall, _ in runs),
        "ingest_per_cpu_s": statistics.median(events / cpu for events, _, cpu in runs),
    }


def main():
    """Prints the figures beside their goals."""
    figures = measure()
    if "--json" in sys.argv[1:]:
        print(json.dumps({"bench": "server", **{k: round(v, 4) for k, v in figures.items()}}))
        return
    print("leat-recommender                                figure       goal")
    print(f"  program, stripped                        {figures['size_mb']:8.1f} MB    <= 11 MB")
    print(f"  exec to ready, empty directory           {figures['ready_s']:8.3f} s     <= 0.3 s")
    print(f"  resident when idle                       {figures['idle_mb']:8.1f} MB    <= 64 MB")
    print(f"  ingest, events per second                {figures['ingest_per_s']:8.0f}")
    print(f"  ingest, events per CPU second            {figures['ingest_per_cpu_s']:8.0f}       "
          f">= {GOALS['ingest_per_cpu_s']}")


main()
