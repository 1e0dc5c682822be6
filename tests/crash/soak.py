#!/usr/bin/env python3
"""soak.py [--rounds N] [--kind NAME]... [--seed S] [--json FILE] [--list]

All kinds of crash rounds, one after the other, each as often as its line in KINDS says, and at the
end one line per kind: rounds, records judged, faults that happened, ok or FAILED, seconds.  A kind
that fails, or takes longer than it may, does not keep the others from running; the exit status is 1
then, 64 for a wrong command line.  The summary is a JSON file, too.

A kind is a program that takes --rounds N and --json FILE, prints what it does, ends with 0 if all
was right, and leaves {"rounds": n, "records": n, "faults": n, ...} in FILE: records are what its
judge has looked at, faults are kills, stops and broken requests that really happened.  A further
kind is a line in KINDS."""
import argparse
import collections
import json
import os
import signal
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
EMBEDDED, KAFKA = os.path.join(HERE, "run.py"), os.path.join(HERE, "kafka", "run.py")
FILES = os.path.join(HERE, "file_faults", "run.py")
DEFAULT_ROUNDS = 100 # about an hour on two cores
END_S = 60  # from an interrupt to the end
START_S = 300  # a kind may take this long beside its rounds: brokers, and what a judge reads last

# `each`: it has one round for so many of --rounds, at least one.  `round_s`: at most, on average.
Kind = collections.namedtuple("Kind", "name each round_s command")
KINDS = (
    Kind("counts-kill", 1, 15, (EMBEDDED, "--target", "user_counts")),
    Kind("recommender-kill", 1, 15, (EMBEDDED, "--target", "recommender")),
    Kind("file-faults", 1, 30, (FILES, "--quiet", "--pairs", "20")),
    Kind("kafka-kill", 1, 30, (KAFKA, "--kind", "kill")),
    Kind("kafka-compact", 3, 60, (KAFKA, "--kind", "compact")),
    Kind("kafka-broker", 3, 60, (KAFKA, "--kind", "broker")),
    Kind("kafka-stopped", 3, 90, (KAFKA, "--kind", "stopped")),
    Kind("kafka-all", 3, 60, (KAFKA, "--kind", "all")),
    Kind("kafka-all-of-3", 10, 90, (KAFKA, "--kind", "all", "--brokers", "3")),
    Kind("kafka-zombie", 3, 90, (KAFKA, "--kind", "zombie")),
    Kind("kafka-scale", 3, 60, (KAFKA, "--kind", "scale")),
    Kind("kafka-fault", 2, 60, (KAFKA, "--kind", "fault")),
)


def rounds_of(kind, rounds):
    return max(1, -(-rounds // kind.each))


def may_take_s(kind, rounds):
    return START_S + rounds_of(kind, rounds) * kind.round_s


def interruptible():
    """A shell that starts something in the background lets it ignore SIGINT."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def end(process):
    """The kind, which ends its brokers when it is interrupted, and what is left in its session."""
    if process.poll() is None:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(END_S)
        except subprocess.TimeoutExpired:
            pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def run_kind(kind, rounds, seed):
    """What its line at the end says, as a dictionary."""
    started_s, result = time.monotonic(), {"kind": kind.name, "rounds": 0, "records": 0,
                                           "faults": 0, "ok": False}
    print(f"== {kind.name}: {rounds_of(kind, rounds)} rounds, at most "
          f"{may_take_s(kind, rounds) / 60:.0f} minutes", flush=True)
    with tempfile.TemporaryDirectory(prefix="leat-soak-") as folder:
        summary = os.path.join(folder, "summary.json")
        process = subprocess.Popen(
            [sys.executable, *kind.command, "--rounds", str(rounds_of(kind, rounds)),
             "--json", summary, *(["--seed", str(seed)] if seed else [])],
            start_new_session=True, preexec_fn=interruptible)
        try:
            status = process.wait(may_take_s(kind, rounds))
        except subprocess.TimeoutExpired:
            result["problem"] = "it took longer than it may"
            status = None
        finally:
            end(process)
        try:
            with open(summary, encoding="utf-8") as file:
                result |= json.load(file)
        except (OSError, ValueError) as problem:
            result.setdefault("problem", f"it left no summary: {problem}")
    result["seconds"] = round(time.monotonic() - started_s)
    return result | judged(status, result, rounds_of(kind, rounds))


def judged(status, result, wanted):
    """A kind that says ok, but did or judged too little, has shown nothing."""
    too_little = "nothing was judged, or nothing went wrong: this shows nothing"
    for wrong, problem in ((result.get("problem"), result.get("problem")),
                           (status != 0, f"exit status {status}"),
                           (result["rounds"] < wanted, f"{result['rounds']} rounds of {wanted}"),
                           (not result["records"] or not result["faults"], too_little)):
        if wrong:
            return {"ok": False, "problem": problem}
    return {"ok": True}


def line_of(result):
    ending = "ok" if result["ok"] else f"FAILED: {result['problem']}"
    if result.get("worlds_given_up"):  # what a broker spoilt, and was played again (hanging.py)
        ending += f", worlds given up: {len(result['worlds_given_up'])}"
    return (f"{result['kind']:<20} {result['rounds']:>6} rounds {result['records']:>10} records "
            f"{result['faults']:>6} faults {result['seconds']:>6} s  {ending}")


def run(kinds, rounds, seed, json_file):
    started_s, results = time.monotonic(), []
    print(f"soak: {len(kinds)} kinds, at most "
          f"{sum(may_take_s(kind, rounds) for kind in kinds) / 60:.0f} minutes", flush=True)
    for kind in kinds:
        results.append(run_kind(kind, rounds, seed))
    ok = all(result["ok"] for result in results)
    seconds = round(time.monotonic() - started_s)
    if json_file:
        os.makedirs(os.path.dirname(os.path.abspath(json_file)), exist_ok=True)
        with open(json_file, "w", encoding="utf-8") as file:
            json.dump({"ok": ok, "rounds": rounds, "seconds": seconds, "kinds": results}, file,
                      indent=1)
            file.write("\n")
    print("\n" + "\n".join(map(line_of, results)))
    failed = [result["kind"] for result in results if not result["ok"]]
    print(f"soak: {len(results) - len(failed)} kinds ok, {len(failed)} failed, "
          f"{seconds / 60:.1f} minutes", flush=True)
    return 0 if ok else 1


def positive(text):
    if not text.isdigit() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"'{text}' is no number of rounds")
    return int(text)


def main(kinds=KINDS):
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=positive, default=DEFAULT_ROUNDS)
    parser.add_argument("--kind", action="append", choices=[kind.name for kind in kinds])
    parser.add_argument("--seed", type=int, default=0, help="of all kinds; 0: each its own")
    parser.add_argument("--json", help="a file for the summary")
    parser.add_argument("--list", action="store_true", help="the kinds, and nothing is run")
    try:
        options = parser.parse_args()
    except SystemExit as ended:
        return 64 if ended.code else 0  # argparse would say 2
    chosen = [kind for kind in kinds if kind.name in (options.kind or [kind.name])]
    if options.list:
        for kind in chosen:
            print(f"{kind.name:<20} {rounds_of(kind, options.rounds):>4} rounds, at most "
                  f"{may_take_s(kind, options.rounds) / 60:.0f} minutes")
        return 0
    return run(chosen, options.rounds, options.seed, options.json)


if __name__ == "__main__":
    sys.exit(main())
