"""kill -9 of leat-recommender serve under load, again and again, on the same directory.

    client threads ─ POST /v1/events ─► serve ─► kill -9     no answer: sent again after the
         ▲                                         │         restart, as by a careful producer
         └───────────────── restart ◄──────────────┘

Event time is a clock of the test's own: it moves a little with each event, and now and then by more
than a session gap while nobody sends, so that sessions end. No event is late, and none is ahead of
the real clock (W7): the test's clock begins so far behind it that no world catches up."""
import http.client
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time

import recommender_check
import tool
from count_check import Violation

ROUNDS_PER_WORLD = 10
PARTITIONS = 4
CLIENTS = 3
INTERACTIONS, GROUP = "user-interactions", "recommender"
# 10 rounds with 31 minutes between them and 0.45 s an event: 60 days are 11 million events.
BEHIND_MS = 60 * 24 * 3600_000
AHEAD_MS = 4 * 60_000 # less than the 5 minutes that the server waits for what comes out of order


class Clock:
    """Event time goes on a thousand times faster than the real one.  So that no event is late when
    a thread gets no processor for a while, it waits for what is sent and has no answer yet."""

    def __init__(self):
        self.now_ms = int(time.time() * 1000) - BEHIND_MS
        self.unanswered_ms = {} # client: the time of its oldest event without an answer
        self.lock = threading.Lock()

    def tick(self, rng, client):
        with self.lock:
            until_ms = min(self.unanswered_ms.values(), default=self.now_ms) + AHEAD_MS
            self.now_ms = max(self.now_ms + 1, min(self.now_ms + rng.randrange(1, 900), until_ms))
            self.unanswered_ms.setdefault(client, self.now_ms)
            return self.now_ms

    def answered(self, client):
        with self.lock:
            self.unanswered_ms.pop(client, None)


class Client(threading.Thread):
    """Sends batches one after the other until the server is gone; remembers what was answered."""

    def __init__(self, number, world, seed):
        super().__init__()
        self.number, self.world, self.rng = number, world, random.Random(seed)
        self.next_event = 0
        self.unanswered = None
        self.acknowledged, self.attempted = set(), set()
        self.problem = None

    def event(self):
        rng, now_ms = self.rng, self.world.clock.tick(self.rng, self.number)
        user = f"u{self.number}-{rng.randrange(self.world.users_per_client)}"
        event_id = f"{self.number}-{self.next_event}"
        self.next_event += 1
        item = f"i{int(rng.paretovariate(0.7)) % 500}"
        session = f"s{now_ms // 600_000}" if hash_of(user) % 3 == 0 else None
        if rng.random() < 0.5:
            event = {"user_id": user, "event_id": event_id, "product_id": item,
                     "event_type": "view", "timestamp_ms": now_ms}
        else:
            event = {"event_id": event_id, "event_type": "user_interaction", "timestamp": now_ms,
                     "user_id": user, "data": {"item_id": item, "interaction_type": "click",
                                               "category": f"c{len(item)}"}}
        if session is not None:
            event["session_id"] = session
        return event

    def batch(self):
        events = [self.event() for _ in range(self.rng.choice([1, 1, 3, 20, 100]))]
        self.attempted |= {event["event_id"] for event in events}
        return events

    def send(self, connection, events):
        """False: the server is gone."""
        lines = self.rng.random() < 0.5
        body = "\n".join(map(json.dumps, events)) if lines else json.dumps(events)
        kind = "application/x-ndjson" if lines else "application/json"
        try:
            connection.request("POST", "/v1/events", body, {"Content-Type": kind})
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException):
            return False
        if answer.status == 503: # it is stopping: not taken
            return False
        if answer.status != 202 or json.loads(text)["accepted"] != len(events):
            raise tool.Failed(f"POST /v1/events: {answer.status} {text[:300]}")
        self.acknowledged |= {event["event_id"] for event in events}
        return True

    def run(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.world.port, timeout=60)
        try:
            while not self.world.quiet.is_set():
                events = self.unanswered or self.batch()
                self.unanswered = events
                if not self.send(connection, events):
                    return
                self.unanswered = None
                if self.rng.random() < 0.02: # a producer that lost the answer
                    if not self.send(connection, events):
                        return
                self.world.clock.answered(self.number)
        except Exception as problem: # told by the main thread
            self.problem = problem
        finally:
            connection.close()

    def again(self):
        """A thread runs once: the next one goes on from here."""
        next_one = Client(self.number, self.world, self.rng.random())
        next_one.next_event, next_one.unanswered = self.next_event, self.unanswered
        next_one.acknowledged, next_one.attempted = self.acknowledged, self.attempted
        return next_one


def hash_of(text):
    return sum(map(ord, text)) # Python's own differs from run to run


class World:
    def __init__(self, folder, rng):
        self.rng, self.dir = rng, os.path.join(folder, "data")
        self.log = "embedded:" + os.path.join(self.dir, "log")
        self.users_per_client = rng.choice([1, 20, 300])
        self.clock, self.quiet = Clock(), threading.Event()
        self.server = self.port = None
        self.faults = 0 # kills that happened
        self.clients = [Client(number, self, rng.random()) for number in range(CLIENTS)]

    # ------------------------------------------------------------ the server

    def launch(self):
        epoch_ms = self.rng.choice([[], [], ["--epoch", "20ms"]])
        self.server = tool.start("leat-recommender", "serve", "--data-dir", self.dir, "--listen",
                                 "127.0.0.1:0", "--debug-endpoints", *epoch_ms,
                                 stdout=subprocess.PIPE)

    def wait_ready(self):
        line = self.server.stdout.readline().decode()
        if not line.startswith("ready http://"):
            raise tool.Failed(f"serve is not ready: {line!r} {self.server.stderr.read().decode()}")
        self.port = int(line.split()[1].rsplit(":", 1)[1])

    def kill(self, with_signal=signal.SIGKILL):
        code = tool.end(self.server, with_signal)
        self.faults += code == -signal.SIGKILL
        if with_signal == signal.SIGTERM and code != 0:
            raise tool.Failed(f"SIGTERM: serve ended with {code}")

    def get(self, path):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.status != 200:
            raise tool.Failed(f"GET {path}: {answer.status} {text[:300]}")
        return text

    # ------------------------------------------------------------ load

    def start_clients(self):
        self.quiet.clear()
        self.clients = [client.again() for client in self.clients]
        for client in self.clients:
            client.start()

    def join_clients(self):
        for client in self.clients:
            client.join(60)
            if client.is_alive():
                raise tool.Failed("a request is neither answered nor refused")
            if client.problem is not None:
                raise client.problem

    def settle(self):
        """Everything that got no answer is sent again; then nobody sends."""
        self.quiet.set()
        for client in self.clients:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            if client.unanswered is not None and not client.send(connection, client.unanswered):
                raise tool.Failed("a running server refuses an event")
            client.unanswered = None
            self.clock.answered(client.number)
            connection.close()

    def one_life(self):
        if self.rng.random() < 0.2: # compacts the changelogs and the popularity
            cleaner = tool.start("leat", "topics", "--log", self.log, "--clean")
            if self.rng.random() < 0.5:
                time.sleep(self.rng.uniform(0, 0.05))
                self.faults += tool.end(cleaner, signal.SIGKILL) == -signal.SIGKILL
            elif tool.ended(cleaner).returncode not in (0, 72):
                raise tool.Failed("leat topics --clean fails")
        if self.rng.random() < 0.1: # state is only a copy of the log: it may be lost
            shutil.rmtree(os.path.join(self.dir, "state"), ignore_errors=True)
        self.launch()
        if self.rng.random() < 0.15: # killed while it starts
            time.sleep(self.rng.uniform(0, 0.06))
            self.kill()
            return "KILL while starting"
        self.wait_ready()
        if self.rng.random() < 0.3:
            self.settle()
            self.clock.now_ms += 31 * 60_000
        self.start_clients()
        after_s = self.rng.uniform(0, 0.5) * (6 if tool.SANITIZED else 1)
        time.sleep(after_s)
        gently = self.rng.random() < 0.1
        self.kill(signal.SIGTERM if gently else signal.SIGKILL)
        self.join_clients()
        return f"{'TERM' if gently else 'KILL'} after {after_s * 1000:.0f} ms of load"

    # ------------------------------------------------------------ the check

    def topic(self, name):
        done = tool.run("leat", "consume", "--log", self.log, name, "--meta", "--until-end",
                        expect=None)
        if done.returncode == 72: # killed before it was made
            return []
        if done.returncode != 0:
            raise tool.Failed(f"leat consume {name}: {done.stderr}")
        return tool.json_lines(done.stdout)

    def check(self):
        events = self.topic(INTERACTIONS)
        recommender_check.check_accepted(
            events, set().union(*(client.acknowledged for client in self.clients)),
            set().union(*(client.attempted for client in self.clients)))
        for name in ("late-events", "dead-letters"):
            if self.topic(name):
                raise Violation(f"{name} is not empty: {self.topic(name)[0]}")
        items, counted = recommender_check.check(
            events, self.topic("recommendations"), self.topic("sessions"),
            tool.offsets(self.log, GROUP), PARTITIONS, INTERACTIONS)
        return items, counted, len(events)

    def all_read(self):
        read = tool.offsets(self.log, GROUP)
        ends = {}
        for record in self.topic(INTERACTIONS):
            ends[(INTERACTIONS, record["partition"])] = record["offset"] + 1
        return all(read.get(place) == end for place, end in ends.items())

    def finish(self):
        """A last start: what is left is worked off, then everything must fit together."""
        self.launch()
        self.wait_ready()
        self.settle()
        until = time.monotonic() + tool.TIMEOUT_S
        while not self.all_read():
            if time.monotonic() > until:
                raise tool.Failed("the job does not work off what is left")
            time.sleep(0.1)
        time.sleep(0.5) # counts of hot items are published every 100 ms
        live = self.get("/v1/debug/index")
        self.kill(signal.SIGTERM)
        items, counted, _ = self.check()
        recommender_check.check_popularity(self.topic("item-popularity"), items)
        sessions = [row["value"] for row in self.topic("sessions")]
        recommender_check.check_index(live, sessions, "the server")
        built = tool.run("leat-recommender", "index", "--data-dir", self.dir).stdout
        recommender_check.check_index(built, sessions, "leat-recommender index")
        return counted, len(sessions)


def run_world(folder, rng, rounds, say):
    world = World(folder, rng)
    say(f"{world.users_per_client * CLIENTS} users")
    try:
        for _ in range(rounds):
            how = world.one_life()
            _, counted, there = world.check()
            say(f"  {how}: {counted} interactions counted, {there} in the log")
        return *world.finish(), world.faults
    finally:
        if world.server is not None and world.server.poll() is None:
            world.quiet.set()
            world.server.kill()
            world.server.wait()


def run_rounds(rounds, seed, say):
    """Raises what went wrong; returns the records judged, the faults, and a line about both."""
    counted = sessions = faults = worlds = 0
    while rounds > 0:
        these = min(rounds, ROUNDS_PER_WORLD)
        say(f"leat-recommender, world {worlds}, seed {seed}")
        with tool.Folder("crash-recommender") as folder:
            done = run_world(folder, random.Random(f"{seed}/{worlds}"), these, say)
        counted, sessions, faults = counted + done[0], sessions + done[1], faults + done[2]
        rounds -= these
        worlds += 1
    return counted + sessions, faults, (f"{counted} interactions and {sessions} sessions exactly "
                                        "once, index = batch build")
