"""tests/crash/run.py [--rounds N] [--seed S] [--target NAME] [--json FILE] [--quiet] - kills and
checks.  FILE gets the number of rounds, of records judged and of faults (soak.py).

A failure prints its seed, which repeats the same input and the same settings (not the same instant
of the kill), and keeps the folder."""
import argparse
import json
import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import count_rounds  # noqa: E402
import recommender_rounds  # noqa: E402

TARGETS = {"user_counts": count_rounds.run_rounds, "recommender": recommender_rounds.run_rounds}


def run(target, rounds, seed, quiet):
    """Returns the records judged and the faults."""
    started = time.monotonic()
    kept = []

    def say(line):
        kept.append(line)
        if not quiet:
            print(line, flush=True)

    try:
        records, faults, summary = TARGETS[target](rounds, seed, say)
    except Exception as problem:
        print("\n".join(kept[-25:]) if quiet else "")
        print(f"FAILED {target}: {type(problem).__name__}: {problem}\n"
              f"again: tests/crash/run.py --target {target} --rounds {rounds} --seed {seed}")
        raise SystemExit(1) from problem
    print(f"ok: {target}, {rounds} rounds of kill -9, seed {seed}: {summary} "
          f"({time.monotonic() - started:.0f} s)", flush=True)
    return records, faults


def main(targets=tuple(TARGETS)):
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int,
                        default=int(os.environ.get("LEAT_CRASH_ROUNDS", "50")))
    parser.add_argument("--seed", type=int, default=int(os.environ.get("LEAT_CRASH_SEED", "0"))
                        or int.from_bytes(os.urandom(3), "big"))
    parser.add_argument("--target", choices=sorted(TARGETS), action="append")
    parser.add_argument("--json", help="a file for the summary")
    parser.add_argument("--quiet", action="store_true")
    options = parser.parse_args()
    done = [run(target, options.rounds, options.seed, options.quiet)
            for target in options.target or targets]
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump({"rounds": options.rounds * len(done), "seed": options.seed,
                       "records": sum(records for records, _ in done),
                       "faults": sum(faults for _, faults in done)}, file)


if __name__ == "__main__":
    main()
