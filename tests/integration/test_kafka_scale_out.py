"""Three recommender processes on one broker: joined one after another under load, asked for the
same users, one of them killed.  What comes out is judged by the checker of tests/crash.

    client threads ─ POST /v1/events ─► A, B or C ─► broker ─► who owns the user's partition
    50 users       ─ GET ─► A and B and C: the same answer, or popular items and why
"""
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import time
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, os.path.join(HERE, "..", "crash"))

import kafka  # noqa: E402
import recommender_check  # noqa: E402
import recommender_rounds as rounds  # noqa: E402
import tool  # noqa: E402

BROKER = kafka.shared()
# The group notices after the one, and the broker ends what was left open after the other.
SESSION_TIMEOUT_S, TRANSACTION_TIMEOUT_S = 6, 10
PATIENCE_S = 120 if tool.SANITIZED else 60
USERS_PER_CLIENT, CLIENTS = 25, 2
# The mark of a transaction's end may stand behind the last record of each partition.
TABLE_MARKS = 2 * rounds.PARTITIONS
# For a machine that does other things too: the group waits for the slowest of its members.
SLACK_S = 2 + 3 * min(1, os.getloadavg()[0] / (os.cpu_count() or 1) / 4)
USERS = [f"u{client}-{user}" for client in range(CLIENTS) for user in range(USERS_PER_CLIENT)]


class Client(rounds.Client):
    """Sends to any process; what got no answer is sent again, to another one perhaps."""

    def run(self):
        try:
            while not self.world.quiet.is_set():
                self.unanswered = self.unanswered or self.batch()[:20]
                connection = http.client.HTTPConnection("127.0.0.1", self.world.any_port(),
                                                        timeout=60)
                if self.send(connection, self.unanswered):
                    self.unanswered = None
                    self.world.clock.answered(self.number)
                connection.close()
                time.sleep(0.05)
        except Exception as problem:  # told by the main thread
            self.problem = problem

    def again(self):
        next_one = Client(self.number, self.world, self.rng.random())
        next_one.next_event, next_one.unanswered = self.next_event, self.unanswered
        next_one.acknowledged, next_one.attempted = self.acknowledged, self.attempted
        return next_one


class Process:
    def __init__(self, world, name):
        self.name, self.errors_path = name, os.path.join(world.dir, name + ".stderr")
        with open(self.errors_path, "ab") as errors:
            self.running = tool.start("leat-recommender", "serve", "--data-dir",
                                      os.path.join(world.dir, name), "--log", world.url,
                                      "--listen", "127.0.0.1:0", "--instance", name,
                                      "--debug-endpoints",
                                      stdout=subprocess.PIPE, stderr=errors)
        line = self.running.stdout.readline().decode()
        if not line.startswith("ready http://"):
            raise tool.Failed(f"{name} is not ready: {line!r} {self.errors()}")
        self.port = int(line.split()[1].rsplit(":", 1)[1])

    def get(self, path):
        """(status, text, headers)"""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text, answer.headers

    def errors(self):
        with open(self.errors_path, encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def metric(self, name):
        for line in self.get("/metrics")[1].splitlines():
            if line.startswith(name + " "):
                return float(line.rsplit(" ", 1)[1])
        raise tool.Failed(f"no metric {name}")

    def end(self, with_signal=signal.SIGKILL):
        code = tool.end(self.running, with_signal)
        self.running.stdout.close()
        return code


class World(rounds.World):
    """recommender_rounds' load and checks, with several processes and a broker."""

    def __init__(self, folder):
        super().__init__(folder, random.Random(11))
        self.dir = folder
        self.url = (f"kafka:{BROKER}?leat.prefix=scale-{uuid.uuid4().hex[:12]}."
                    f"&session.timeout.ms={SESSION_TIMEOUT_S * 1000}")
        self.log = self.url
        self.users_per_client = USERS_PER_CLIENT
        self.clients = [Client(number, self, number) for number in range(CLIENTS)]
        self.processes = []

    def any_port(self):
        return random.choice(self.processes).port

    @property
    def port(self):
        return self.any_port()

    @port.setter
    def port(self, _none):
        pass

    def join(self, name):
        self.processes.append(Process(self, name))
        return self.processes[-1]

    def topic(self, name):
        """Offsets counted anew: the marks of transactions leave gaps."""
        rows, counts = super().topic(name), {}
        for row in rows:
            row["offset"] = counts.get(row["partition"], 0)
            counts[row["partition"]] = row["offset"] + 1
        return rows

    def close(self):
        self.quiet.set()
        for client in self.clients:
            if client.is_alive():
                client.join(60)
        for process in self.processes:
            code = process.running.poll()
            if code not in (None, 0):
                print(f"{process.name} ended by itself with {code}: {process.errors()}", flush=True)
            process.end()


def until(condition, what, patience_s=PATIENCE_S):
    """The condition's value once it is true, and how long that took."""
    began = time.monotonic()
    while True:
        value = condition()
        if value:
            return value, time.monotonic() - began
        if time.monotonic() - began > patience_s:
            raise AssertionError("not seen in time: " + what)
        time.sleep(0.05)


class ScaleOut(unittest.TestCase):
    def setUp(self):
        folder = tool.Folder("scale-out")
        self.world = World(folder.path)
        self.addCleanup(lambda: folder.__exit__(None, None, None))
        self.addCleanup(self.world.close)

    def settle(self):
        world = self.world
        world.quiet.set()
        world.join_clients()
        for client in world.clients:
            if client.unanswered is not None:
                connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=60)
                self.assertTrue(client.send(connection, client.unanswered))
                client.unanswered = None
                world.clock.answered(client.number)
        until(world.all_read, "all events read")
        until(lambda: all(p.metric("leat_table_lag_records") <= TABLE_MARKS
                          for p in world.processes), "tables read")
        time.sleep(0.5)  # counts of hot items are published every 100 ms

    def answers(self, user):
        """One of each process; a process that can't be asked is a failure of the test."""
        return [p.get(f"/v1/users/{user}/recommendations?n=5") for p in self.world.processes]

    def same_answers(self):
        """{instance: users} if each user gets the same answer everywhere, with a session."""
        owners = {}
        for user in USERS:
            answers = self.answers(user)
            for status, text, headers in answers:
                self.assertEqual(status, 200, text)
                if headers["Leat-Fallback"] is not None:
                    return None
            if len({text for _, text, _ in answers}) != 1:
                return None
            if "session" not in json.loads(answers[0][1]):
                return None
            names = {headers["Leat-Owner"] for _, _, headers in answers}
            if len(names) != 1:
                return None
            owners.setdefault(names.pop(), []).append(user)
        return owners

    def check_outputs(self):
        world = self.world
        items, counted, _ = world.check()
        recommender_check.check_popularity(world.topic("item-popularity"), items)
        sessions = [row["value"] for row in world.topic("sessions")]
        for process in world.processes:
            recommender_check.check_index(process.get("/v1/debug/index")[1], sessions,
                                          process.name)
        return counted, len(sessions)

    def test_three_processes_join_answer_alike_and_make_up_for_one_that_is_killed(self):
        world = self.world
        world.join("a")
        world.start_clients()
        world.join("b")
        time.sleep(1)
        world.join("c")
        time.sleep(2)
        self.settle()
        owners, _ = until(self.same_answers, "the same answers from a, b and c")
        self.assertEqual(set(owners), {"a", "b", "c"})

        world.clock.now_ms += 31 * 60_000  # sessions end: each process is to learn all of them
        world.start_clients()
        time.sleep(1)
        victim = world.processes.pop(1)
        killed = time.monotonic()
        victim.end(signal.SIGKILL)
        reasons = set()

        def made_up():
            """Nobody gets an error; true once each of b's users is answered from a session."""
            done = True
            for user in owners["b"]:
                for status, text, headers in self.answers(user):
                    self.assertEqual(status, 200, text)
                    if headers["Leat-Fallback"] is not None:
                        reasons.add(headers["Leat-Fallback"])
                        done = False
                    self.assertNotEqual(headers["Leat-Owner"] or "", "b", "answered by the dead")
            return done

        until(made_up, "the users of b with a and c")
        took_s = time.monotonic() - killed
        self.assertLessEqual(reasons, {"owner-unreachable", "moving", "restoring", "owner-slow"})
        self.assertTrue(reasons, "b's users had no owner for a while, and nobody said so")
        if not tool.SANITIZED:
            self.assertLess(took_s, max(SESSION_TIMEOUT_S, TRANSACTION_TIMEOUT_S) + 2 + SLACK_S)

        world.join("b")  # under its own name, with the state that it left behind
        time.sleep(1)
        self.settle()
        owners, _ = until(self.same_answers, "the same answers from a, c and b")
        self.assertEqual(set(owners), {"a", "b", "c"})
        counted, sessions = self.check_outputs()
        self.assertGreater(counted, 100)
        self.assertGreater(sessions, 10)
        print(f"{counted} interactions, {sessions} sessions exactly once; b's users were taken "
              f"over in {took_s:.1f} s ({', '.join(sorted(reasons))})")
        for process in world.processes:
            self.assertEqual(process.end(signal.SIGTERM), 0, process.name)


if __name__ == "__main__":
    unittest.main()
