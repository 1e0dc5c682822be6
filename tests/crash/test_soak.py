"""The driver of `make soak`: a line per kind, and a kind that shows nothing has failed."""
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import unittest

import soak

# A kind of round that does what its first argument says.
KIND = """
import json, subprocess, sys, time
how, *rest = sys.argv[1:]
rounds, summary = int(rest[rest.index("--rounds") + 1]), rest[rest.index("--json") + 1]
if how == "hang":
    subprocess.Popen(["sleep", "1000"]) # which keeps our output open
    time.sleep(1000)
if how == "silent":
    sys.exit(0)
done = {"rounds": rounds - (how == "lazy"), "records": 0 if how == "blind" else 7 * rounds,
        "faults": 0 if how == "harmless" else rounds}
with open(summary, "w") as file:
    json.dump(done | ({"problem": "a record twice"} if how == "wrong" else {}), file)
sys.exit(how == "wrong")
"""


class Driver(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="leat-soak-test-")
        self.addCleanup(folder.cleanup)
        self.program = os.path.join(folder.name, "kind.py")
        self.json = os.path.join(folder.name, "out", "soak.json")
        with open(self.program, "w", encoding="ascii") as file:
            file.write(KIND)
        self.addCleanup(setattr, soak, "START_S", soak.START_S)

    def run_kinds(self, *hows, rounds=5, each=2, round_s=30):
        """(exit status, the lines at the end, the JSON file)"""
        kinds = [soak.Kind(how, each, round_s, (self.program, how)) for how in hows]
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            status = soak.run(kinds, rounds, 0, self.json)
        with open(self.json, encoding="utf-8") as file:
            return status, said.getvalue().partition("\n\n")[2].splitlines(), json.load(file)

    def test_a_line_for_each_kind_with_what_it_did(self):
        status, lines, told = self.run_kinds("good", "better")
        self.assertEqual(status, 0)
        self.assertRegex(lines[0], r"^good +3 rounds +21 records +3 faults +\d+ s  ok$")
        self.assertRegex(lines[1], r"^better .* ok$")
        self.assertRegex(lines[2], r"^soak: 2 kinds ok, 0 failed, [\d.]+ minutes$")
        self.assertTrue(told["ok"])
        self.assertEqual([kind["records"] for kind in told["kinds"]], [21, 21])

    def test_one_that_fails_or_shows_nothing_fails_all_and_the_others_are_run(self):
        for how, words in (("wrong", "a record twice"), ("silent", "left no summary"),
                           ("lazy", "2 rounds of 3"), ("blind", "nothing was judged"),
                           ("harmless", "nothing went wrong")):
            status, lines, told = self.run_kinds(how, "good")
            self.assertEqual(status, 1, how)
            self.assertRegex(lines[0], f"^{how} .*FAILED: .*{words}")
            self.assertRegex(lines[1], "^good .* ok$")
            self.assertFalse(told["ok"])
            self.assertEqual([kind["ok"] for kind in told["kinds"]], [False, True])

    def test_one_that_hangs_is_ended_with_all_that_it_started(self):
        soak.START_S = 2
        started_s = time.monotonic()
        status, lines, _ = self.run_kinds("hang", round_s=0)
        self.assertEqual(status, 1)
        self.assertRegex(lines[0], "FAILED: it took longer than it may")
        self.assertLess(time.monotonic() - started_s, 50)

    def test_the_command_line(self):
        program = soak.__file__
        listed = subprocess.run([sys.executable, program, "--list", "--rounds", "10"], text=True,
                                capture_output=True, check=True).stdout.splitlines()
        self.assertEqual(len(listed), len(soak.KINDS))
        self.assertRegex(listed[0], r"^counts-kill +10 rounds, at most \d+ minutes$")
        for wrong in (("--rounds", "0"), ("--kind", "none")):
            done = subprocess.run([sys.executable, program, *wrong], capture_output=True,
                                  check=False)
            self.assertEqual(done.returncode, 64, wrong)

    def test_the_kinds_of_the_table_really_run(self):
        for name in ("counts-kill", "recommender-kill"):
            done = subprocess.run([sys.executable, soak.__file__, "--rounds", "2", "--kind", name,
                                   "--json", self.json], text=True, capture_output=True,
                                  check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            self.assertRegex(done.stdout, rf"(?m)^{name} +2 rounds +[1-9]\d* records .* ok$")


if __name__ == "__main__":
    unittest.main()
