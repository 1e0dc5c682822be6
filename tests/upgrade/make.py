"""make.py SOURCE VERSION [CASE...] - makes tests/upgrade/data/VERSION/: bytes as that version
writes them, for the tests of all later ones. SOURCE is a checkout of it, built (build/release).

    one archive per case and way to be stopped: log/ (of Kafka topics.json), state/, snapshots/,
    rest.jsonl (the input that the version has not seen), expected.json (the fold of all input),
    about.json (made when)"""
import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

from programs import HERE, Programs
import cases
import kafka
import kafka_records
from count_check import Violation

STOPS = {"kill": signal.SIGKILL, "term": signal.SIGTERM}
TRIES = 20 # until something was in flight


def build_shop(source, folder):
    build = os.path.join(source, "build", "release")
    subprocess.run(["cc", "-std=gnu17", "-O1", "-I", os.path.join(source, "include"),
                    os.path.join(HERE, "shop.c"), "-o", os.path.join(folder, "upgrade_shop"),
                    "-L", build, "-lleat", f"-Wl,-rpath,{build}"], check=True)


def add_bytes(archive, name, data):
    entry = tarfile.TarInfo(name)
    entry.size = len(data)
    archive.addfile(entry, io.BytesIO(data))


def pack(world, target):
    """In an order of its own, without times and owners; RocksDB's own log text is of no use."""
    with tarfile.open(target, "w:xz", preset=9) as archive:
        for name, value in (("expected.json", world.expected), ("about.json", world.about)):
            add_bytes(archive, name, json.dumps(value, indent=1).encode())
        lines = [row if isinstance(row, str) else json.dumps(row) for row in world.rest]
        add_bytes(archive, "rest.jsonl", ("\n".join(lines) + "\n").encode())
        for folder, folders, names in os.walk(world.folder):
            folders.sort()
            for name in sorted(names):
                path = os.path.join(folder, name)
                if name == "LOG" or name.startswith("LOG.old"):
                    continue
                with open(path, "rb") as file:
                    add_bytes(archive, os.path.relpath(path, world.folder), file.read())


def make_on_kafka(name, how, programs, version, target):
    case = cases.CASES[name]
    for attempt in range(TRIES):
        with kafka.Broker() as broker, tempfile.TemporaryDirectory(prefix="leat-up-") as folder:
            world = cases.World(folder, broker.log)
            world.plan(name, version)
            world.about = {"version": version, "stopped": how, "made_s": int(time.time())}
            world.rest = case.make(programs, world, STOPS[how])
            stored = kafka_records.dump(programs, broker.bootstrap, case.group)
            world.about["in_flight"] = kafka_records.under_way(stored, "shop-visit-repartition")
            if name == "shop-log" and how == "kill" and world.about["in_flight"] == 0:
                print(f"kafka-{name}-{how}: again: nothing was in flight")
                continue
            with open(world.path("topics.json"), "w", encoding="ascii") as file:
                json.dump(stored, file)
            pack(world, target)
            print(f"kafka-{name}-{how}: {os.path.getsize(target)} bytes {world.about}")
            return
    raise SystemExit(f"kafka-{name}-{how}: {TRIES} tries in vain")


def make(name, how, programs, version, target):
    case = cases.CASES[name]
    for attempt in range(TRIES):
        with tempfile.TemporaryDirectory(prefix="leat-upgrade-") as folder:
            world = cases.World(folder)
            world.plan(name, version)
            world.about = {"version": version, "stopped": how}
            try:
                world.rest = case.make(programs, world, STOPS[how])
            except Violation as problem:
                print(f"{name}-{how}: again: {problem}")
                continue
            world.about["made_s"] = int(time.time())
            pack(world, target)
            print(f"{name}-{how}: {os.path.getsize(target)} bytes {world.about}")
            return
    raise SystemExit(f"{name}-{how}: {TRIES} tries in vain")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source")
    parser.add_argument("version")
    parser.add_argument("case", nargs="*")
    options = parser.parse_args()
    target = os.path.join(HERE, "data", options.version)
    os.makedirs(target, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="leat-upgrade-bin-") as folder:
        source = os.path.abspath(options.source)
        build_shop(source, folder)
        built = os.path.join(source, "build", "release", "bin")
        programs = Programs([built, os.path.join(built, "examples"), folder])
        for name in options.case or [*cases.CASES, *(f"kafka-{name}" for name in cases.ON_KAFKA)]:
            for how in STOPS:
                made = make_on_kafka if name.startswith("kafka-") else make
                made(name.removeprefix("kafka-"), how, programs, options.version,
                     os.path.join(target, f"{name}-{how}.tar.xz"))


if __name__ == "__main__":
    sys.exit(main())
