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


def drain(name, counts):
    """What load says of these counts: two users, two events each."""
    topic = f"bench-load-{os.getpid()}-{name}"
    subprocess.run([f"{BIN}/leat", "topics", "--log", f"kafka:{BROKER}", "--create", topic,
                    "--partitions", "2"], check=True, stdout=subprocess.DEVNULL)
    lines = "".join(f'{{"user_id":"u{user:08}","event_count":{count}}}\n'
                    for user, count in counts)
    subprocess.run([f"{BIN}/leat", "produce", "--log", f"kafka:{BROKER}", topic, "--key",
                    "user_id"], input=lines, text=True, check=True, stdout=subprocess.DEVNULL)
    return subprocess.run([f"{BIN}/bench/e2e/load", "drain", f"broker={BROKER}", f"output={topic}",
                           "events=4", "users=2", "seed=0", "patience=2"],
                          capture_output=True, text=True, check=False)


def main():
    failed = 0
    for name, (counts, wanted) in CASES.items():
        done = drain(name, counts)
        told = "WRONG RESULT" in done.stderr
        if done.returncode != wanted or told != (wanted != 0):
            print(f"{name}: exit status {done.returncode}, not {wanted}\n{done.stderr}")
            failed += 1
    print(f"{len(CASES) - failed} of {len(CASES)} cases")
    sys.exit(1 if failed else 0)


main()
