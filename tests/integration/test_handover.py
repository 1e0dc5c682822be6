"""`leat produce` into an embedded log that a running job holds: through the job's process, with
what it promises otherwise; producers and the job are killed at random moments, and the counts are
the fold of what is in the topic."""
import json
import os
import random
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import tool  # noqa: E402

LEAT = os.path.join(tool.BIN, "leat")
COUNTS = os.path.join(tool.BIN, "examples", "user_counts")
LINES = 400
HELD = 83
GONE = 69


def lines(name, count=LINES):
    return "".join(
        json.dumps({"user_id": f"u{n % 7}", "timestamp_ms": n, "id": f"{name}-{n}"}) + "\n"
        for n in range(count))


class Handover(unittest.TestCase):
    def setUp(self):
        self.dir = tempfile.mkdtemp(prefix="leat-handover-")
        self.addCleanup(shutil.rmtree, self.dir, ignore_errors=True)
        self.use(os.path.join(self.dir, "log"))
        self.job = None
        self.addCleanup(self.kill_job)

    def use(self, log_dir):
        self.log_dir, self.log = log_dir, "embedded:" + log_dir
        self.socket = os.path.join(log_dir, "leat.socket")

    def leat(self, *args, text=None, check=True):
        done = subprocess.run([LEAT, args[0], "--log", self.log, *args[1:]], input=text, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False,
                              timeout=120)
        if check:
            self.assertEqual(done.returncode, 0, done.stderr)
        return done

    def start_job(self):
        """The job may find the log held by a producer that was quicker; then it starts again."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            self.job = subprocess.Popen([COUNTS, "--log", self.log, "--state-dir",
                                         os.path.join(self.dir, "state")],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            while self.job.poll() is None:
                if self.answers():
                    return
                time.sleep(0.02)
            self.assertEqual(self.job.returncode, HELD, self.job.stderr.read())
            self.job.stderr.close()
        self.fail("the job does not start")

    def answers(self):
        with socket.socket(socket.AF_UNIX) as one:
            try:
                fd = os.open(self.log_dir, os.O_PATH)
            except FileNotFoundError:
                return False
            try:
                one.connect(f"/proc/self/fd/{fd}/leat.socket")
                return True
            except OSError:
                return False
            finally:
                os.close(fd)

    def kill_job(self, number=signal.SIGKILL):
        if self.job is None:
            return None
        self.job.send_signal(number)
        code = self.job.wait(60)
        self.job.stderr.close()
        self.job = None
        return code

    def values(self, topic):
        return [json.loads(line) for line in
                self.leat("consume", topic, "--until-end").stdout.splitlines()]

    def check_fold(self, events):
        """The job is stopped; it works off what is left, and its last counts are the fold."""
        done = subprocess.run([COUNTS, "--log", self.log, "--state-dir",
                               os.path.join(self.dir, "state"), "--until-end"], check=False,
                              stderr=subprocess.PIPE)
        self.assertEqual(done.returncode, 0, done.stderr)
        counts, best = {}, {}
        for event in events:
            counts[event["user_id"]] = counts.get(event["user_id"], 0) + 1
        results = self.values("user_recommendations")
        for row in results:
            best[row["user_id"]] = max(row["event_count"], best.get(row["user_id"], 0))
        self.assertEqual(best, counts)
        self.assertEqual(len(results), len(events)) # one after each event, none twice

    def test_records_and_topics_go_through_the_job(self):
        self.leat("topics", "--create", "user_events", "--partitions", "4")
        self.start_job()
        self.assertEqual(stat.S_IMODE(os.stat(self.socket).st_mode), 0o600)
        done = self.leat("produce", "user_events", "--key", "user_id", text=lines("a"))
        self.assertIn(f"{LINES} records appended to user_events", done.stderr)
        self.leat("topics", "--create", "other", "--partitions", "3")
        self.assertIn("other", self.leat("topics").stdout)
        again = self.leat("topics", "--create", "other", check=False)
        self.assertEqual((again.returncode, "exists already" in again.stderr), (73, True))
        self.leat("topics", "--delete", "other")
        bad = self.leat("produce", "user_events", "--key", "user_id", text=lines("b", 3) + "{}\n",
                        check=False)
        self.assertEqual(bad.returncode, 66)
        self.assertIn("stdin:4: the key field 'user_id' is missing; the 3 records before it",
                      bad.stderr)
        end = time.monotonic() + 30
        while len(self.values("user_recommendations")) < LINES + 3 and time.monotonic() < end:
            time.sleep(0.1)
        self.assertEqual(self.kill_job(signal.SIGTERM), 0)
        self.assertFalse(os.path.exists(self.socket))
        self.check_fold(self.values("user_events"))

    def test_a_directory_whose_name_is_long(self):
        self.use(os.path.join(self.dir, *["a-folder-with-a-long-name"] * 8, "log"))
        self.start_job()
        self.leat("produce", "user_events", "--key", "user_id", text=lines("a"))
        self.assertEqual(len(self.values("user_events")), LINES)

    def test_a_socket_that_a_killed_job_left(self):
        self.start_job()
        self.kill_job()
        self.assertTrue(os.path.exists(self.socket))
        self.leat("produce", "user_events", "--key", "user_id", text=lines("alone"))
        self.start_job()
        self.leat("produce", "user_events", "--key", "user_id", text=lines("through"))
        self.assertEqual(len(self.values("user_events")), 2 * LINES)

    def test_a_process_without_a_job_takes_nothing(self):
        with subprocess.Popen([LEAT, "produce", "--log", self.log, "user_events", "--quiet"],
                              stdin=subprocess.PIPE) as holder:
            end = time.monotonic() + 20
            while not os.path.exists(os.path.join(self.log_dir, "CURRENT")):
                self.assertLess(time.monotonic(), end)
                time.sleep(0.01)
            refused = self.leat("produce", "user_events", text=lines("a"), check=False)
            self.assertEqual(refused.returncode, HELD)
            self.assertRegex(refused.stderr, r"is held by process \d+ \(leat\); end it first.*; no "
                                             r"job runs in it that records could be handed over to")
            holder.stdin.close()
            self.assertEqual(holder.wait(30), 0)

    def test_what_is_no_request(self):
        """Garbage, half a frame and a silent client: the others go on, nothing is appended."""
        self.start_job()
        ones = []
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"LEAT\x01\x01\x00\x00\xff\xff\xff\x7fabcd",
                     b"LEAT\x01\x01\x00\x00\x20\x00\x00\x00abcdhalf", b"", b"LE"):
            one = socket.socket(socket.AF_UNIX)
            one.connect(self.socket)
            one.sendall(sent)
            ones.append(one)
        self.leat("produce", "user_events", "--key", "user_id", text=lines("a"))
        for one in ones[:2]:
            one.settimeout(20)
            try:
                self.assertEqual(one.recv(10), b"") # cut off
            except ConnectionResetError:
                pass
        for one in ones:
            one.close()
        self.leat("produce", "user_events", "--key", "user_id", text=lines("b"))
        self.assertEqual(len(self.values("user_events")), 2 * LINES)

    def produce_for_ever(self, number, until, acknowledged, errors):
        rng = random.Random(number)
        for n in range(10000):
            if time.monotonic() > until:
                return
            name = f"p{number}-{n}"
            path = os.path.join(self.dir, name) # a file is read at once: one batch
            with open(path, "w", encoding="utf-8") as file:
                file.write(lines(name))
            with subprocess.Popen([LEAT, "produce", "--log", self.log, "user_events", "--key",
                                   "user_id", "--quiet", path], stderr=subprocess.PIPE,
                                  text=True) as one:
                if rng.random() < 0.3:
                    threading.Timer(rng.random() * 0.05, one.kill).start()
                _, said = one.communicate(timeout=60)
                if one.returncode == 0:
                    acknowledged.add(name)
                elif one.returncode not in (HELD, GONE, -signal.SIGKILL):
                    errors.append((one.returncode, said))

    def test_producers_and_the_job_are_killed(self):
        rng = random.Random(7)
        self.leat("topics", "--create", "user_events", "--partitions", "4")
        self.start_job()
        acknowledged, errors = set(), []
        until = time.monotonic() + 15
        producers = [threading.Thread(target=self.produce_for_ever,
                                      args=(number, until, acknowledged, errors))
                     for number in range(3)]
        for one in producers:
            one.start()
        kills = 0
        while time.monotonic() < until - 2:
            time.sleep(rng.uniform(0.2, 1.2))
            self.kill_job()
            kills += 1
            self.start_job()
        for one in producers:
            one.join()
        self.assertEqual(errors, [])
        self.assertEqual(self.kill_job(signal.SIGTERM), 0)
        events = self.values("user_events")
        batches = {}
        for event in events:
            name, _ = event["id"].rsplit("-", 1)
            batches.setdefault(name, []).append(event["id"])
        for name, ids in batches.items(): # 400 lines are one batch: all of it, once
            self.assertEqual(sorted(ids), sorted(f"{name}-{n}" for n in range(LINES)), name)
        self.assertLessEqual(acknowledged, set(batches))
        self.assertGreater(len(acknowledged), 5)
        self.assertGreater(kills, 5)
        self.check_fold(events)


if __name__ == "__main__":
    unittest.main()
