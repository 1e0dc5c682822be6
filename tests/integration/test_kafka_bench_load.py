"""bench/e2e/load finds what is wrong in an engine's counts: a benchmark that cannot fail measures
nothing."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.join(os.environ["LEAT_SOURCE_DIR"], "tests", "support"))
sys.dont_write_bytecode = True

import kafka  # noqa: E402

BIN = os.environ["LEAT_BIN_DIR"]
BROKER = kafka.shared()
RIGHT = [(0, 1), (1, 1), (0, 2), (1, 2)]
CASES = {
    "right": (RIGHT, 0),
    "repeated": (RIGHT[:3] + [(0, 2), (1, 2)], 1),
    "missing": (RIGHT[:3], 1),
    "skipped": ([(0, 2), (1, 1), (0, 1), (1, 2)], 1),
    "one-too-many": (RIGHT + [(1, 3)], 1),
    "of-nobody": (RIGHT + [(7, 1)], 1),
}


# Of eight users those after the second, three apart, take turns: 2 * 3 and 3 * 3 modulo 8. Each
# had one event before.
IN_TURN = ["users=8", "first_user=2", "user_range=2", "stride=3", "counted_before=1"]
TURN_CASES = {
    "in-turn": ([(6, 2), (1, 2), (6, 3), (1, 3)], 0),
    "in-turn-from-one": ([(6, 1), (1, 2), (6, 2), (1, 3)], 1),
    "in-turn-others": ([(2, 2), (3, 2), (2, 3), (3, 3)], 1),
}


def drain(name, counts, settings):
    """What load says of these counts: two users, two events each."""
    topic = f"bench-load-{os.getpid()}-{name}"
    subprocess.run([f"{BIN}/leat", "topics", "--log", f"kafka:{BROKER}", "--create", topic,
                    "--partitions", "2"], check=True, stdout=subprocess.DEVNULL)
    lines = "".join(f'{{"user_id":"u{user:08}","event_count":{count}}}\n'
                    for user, count in counts)
    subprocess.run([f"{BIN}/leat", "produce", "--log", f"kafka:{BROKER}", topic, "--key",
                    "user_id"], input=lines, text=True, check=True, stdout=subprocess.DEVNULL)
    return subprocess.run([f"{BIN}/bench/e2e/load", "drain", f"broker={BROKER}", f"output={topic}",
                           "events=4", "seed=0", "patience=2", *settings],
                          capture_output=True, text=True, check=False)


def main():
    failed = 0
    cases = [(name, *case, ["users=2"]) for name, case in CASES.items()] + [
        (name, *case, IN_TURN) for name, case in TURN_CASES.items()]
    for name, counts, wanted, settings in cases:
        done = drain(name, counts, settings)
        told = "WRONG RESULT" in done.stderr
        if done.returncode != wanted or told != (wanted != 0):
            print(f"{name}: exit status {done.returncode}, not {wanted}\n{done.stderr}")
            failed += 1
    print(f"{len(cases) - failed} of {len(cases)} cases")
    sys.exit(1 if failed else 0)


main()
