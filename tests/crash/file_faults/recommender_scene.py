"""leat-recommender serve, the second run of its life: events are posted until all are taken or one
is not answered with 202; then, without a fault, what got no such answer is sent again.  The judge
is the one of the crash rounds: what was answered is there, each event counted once, sessions,
counts of items and index as a batch build has them."""
import http.client
import json
import os
import select
import signal
import subprocess
import time

import count_check
import recommender_check
import tool

GROUP, INTERACTIONS, PARTITIONS, USERS, EVENTS = "recommender", "user-interactions", 2, 5, 60
BATCH, BATCHES = 20, 2 * EVENTS // 20
# Sessions end, and only between batches: one that is sent again may be in the log already, and its
# own last events must not make its first ones late.
GAP_EVERY, STEP_MS, GAP_MS = 2 * BATCH, 5_000, 31 * 60_000


def event(number):
    return {"user_id": f"u{number * 3 % USERS}", "event_id": f"e{number}",
            "product_id": f"i{number * number % 11}", "event_type": "view",
            "timestamp_ms": 1_700_000_000_000 + number * STEP_MS + number // GAP_EVERY * GAP_MS}


def batch(number):
    return [event(each) for each in range(number * BATCH, (number + 1) * BATCH)]


class Server:
    """A process of the server; what it prints before it is ready is kept."""

    def __init__(self, arguments, env):
        self.process = tool.start("leat-recommender", *arguments, stdout=subprocess.PIPE,
                                  env=dict(os.environ, **env))
        if not select.select([self.process.stdout], [], [], tool.TIMEOUT_S)[0]:
            trace = tool.stack_of(self.process)
            self.process.kill()
            raise tool.Failed(f"serve is neither ready nor does it end\n{trace}")
        line = self.process.stdout.readline().decode() # empty: it has ended
        ready = line.startswith("ready http://")
        self.port = int(line.split()[1].rsplit(":", 1)[1]) if ready else None

    def ask(self, method, path, body=None):
        """(status, text); None, where there is no answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=tool.TIMEOUT_S)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        except TimeoutError:
            raise tool.Failed(f"{method} {path} got no answer\n{tool.stack_of(self.process)}"
                              ) from None
        except (OSError, http.client.HTTPException):
            return None, ""
        finally:
            connection.close()

    def take(self, events):
        status, text = self.ask("POST", "/v1/events", json.dumps(events))
        if status == 202 and json.loads(text)["accepted"] != len(events):
            raise tool.Failed(f"POST /v1/events: 202, but not all are accepted: {text[:300]}")
        return status == 202

    def end(self):
        """As tool.run returns it."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return tool.ended(self.process)
        except subprocess.TimeoutExpired:
            trace = tool.stack_of(self.process)
            self.process.kill()
            raise tool.Failed(f"serve does not end\n{trace}") from None


class Recommender:
    name, program = "recommender", "leat-recommender"

    def __init__(self, folder):
        self.world = os.path.join(folder, "world")
        self.log = "embedded:" + os.path.join(self.world, "log")
        self.taken = BATCHES // 2 # batches answered with 202: those of the first run

    def serve(self, env):
        return Server(("serve", "--data-dir", self.world, "--listen", "127.0.0.1:0", "--partitions",
                       PARTITIONS, "--workers", 2, "--debug-endpoints"), env)

    def send(self, server, until):
        while self.taken < until and server.take(batch(self.taken)):
            self.taken += 1

    def prepare(self):
        self.taken = 0
        server = self.serve({})
        self.send(server, BATCHES // 2)
        done = server.end()
        if done.returncode != 0 or self.taken != BATCHES // 2:
            raise tool.Failed(f"without a fault {self.taken} batches were taken\n{done.stderr}")

    def run(self, env):
        """The run that a fault meets."""
        server = self.serve(env)
        if server.port is not None:
            self.send(server, BATCHES)
        return server.end()

    def topic(self, name):
        return tool.consume(self.log, name)

    def wait_until_read(self, interactions):
        ends = {}
        for record in interactions:
            ends[(INTERACTIONS, record["partition"])] = record["offset"] + 1
        until_s = time.monotonic() + tool.TIMEOUT_S
        while any(tool.offsets(self.log, GROUP).get(place) != end for place, end in ends.items()):
            if time.monotonic() > until_s:
                raise tool.Failed("the job does not work off what is left")
            time.sleep(0.02)

    def wait_for_counts(self, expected):
        """They are published every 100 ms, and go through an exchange."""
        until_s = time.monotonic() + 5
        while True:
            try:
                return recommender_check.check_popularity(self.topic("item-popularity"), expected)
            except count_check.Violation:
                if time.monotonic() > until_s:
                    raise
                time.sleep(0.02)

    def go_on(self, _code):
        server = self.serve({})
        if server.port is None:
            raise tool.Failed(f"it does not start again\n{server.end().stderr[-1500:]}")
        self.tried = self.taken
        self.send(server, BATCHES)
        if self.taken != BATCHES:
            raise tool.Failed("a server without a fault refuses events\n" + server.end().stderr)
        interactions = self.topic(INTERACTIONS)
        self.wait_until_read(interactions)
        once = {record["value"]["event_id"]: record["value"]["product_id"]
                for record in interactions}
        items = {}
        for item in once.values():
            items[item] = items.get(item, 0) + 1
        self.wait_for_counts(items)
        _, self.live = server.ask("GET", "/v1/debug/index")
        done = server.end()
        if done.returncode != 0:
            raise tool.Failed(f"SIGTERM: serve ended with {done.returncode}\n{done.stderr[-1500:]}")

    def judge(self, code):
        if code == 0 and self.tried != BATCHES:
            raise count_check.Violation(f"it ended with 0 and had not taken batch {self.tried}")
        events = self.topic(INTERACTIONS)
        sent = {each["event_id"] for number in range(BATCHES) for each in batch(number)}
        recommender_check.check_accepted(events, sent, set())
        for name in ("late-events", "dead-letters"):
            rows = tool.run("leat", "consume", "--log", self.log, name, "--until-end", expect=None)
            if rows.stdout:
                raise count_check.Violation(f"{name} is not empty: {rows.stdout[:300]}")
        sessions = self.topic("sessions")
        items, counted = recommender_check.check(
            events, self.topic("recommendations"), sessions, tool.offsets(self.log, GROUP),
            PARTITIONS, INTERACTIONS)
        if counted != len(sent):
            raise count_check.Violation(f"{counted} events counted, {len(sent)} sent")
        recommender_check.check_popularity(self.topic("item-popularity"), items)
        closed = [row["value"] for row in sessions]
        recommender_check.check_index(self.live, closed, "the server")
        return counted + len(closed)
