"""Short runs of the real programs on an embedded log, each with a judge of its own.

    Scene(folder)   the world in a folder: what is there before, the run that a fault meets, how
                    it is gone on with afterwards without a fault, and what has to be true then
"""
import json
import os
import sys
import types

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, ".."), os.path.join(HERE, "..", "..", "support"),
                os.path.join(HERE, "..", "kafka")]

import count_check  # noqa: E402
import judge_regroup  # noqa: E402
import recommender_scene  # noqa: E402
import tool  # noqa: E402
import works  # noqa: E402

PARTITIONS, USERS, EVENTS = 3, 7, 120


def event_lines(first, count):
    return "\n".join(json.dumps({
        "user_id": f"u{number * 5 % USERS}", "product_id": number, "event_type": "cart",
        "timestamp_ms": 1_700_000_000_000 + number * 20_000})
        for number in range(first, first + count)).encode()


def must_be(what, found, expected):
    if found != expected:
        at = next((i for i, (a, b) in enumerate(zip(found, expected)) if a != b),
                  min(len(found), len(expected)))
        raise count_check.Violation(
            f"{what}: {len(found)} records, {len(expected)} without a fault; the first difference "
            f"is at {at}: {found[at:at + 2]}, expected {expected[at:at + 2]}")


class Scene:
    name, program = "", ""

    def __init__(self, folder):
        self.world = os.path.join(folder, "world")
        self.log = "embedded:" + os.path.join(self.world, "log")
        self.state = os.path.join(self.world, "state")
        self.snapshots = os.path.join(self.world, "snapshots")

    def produce(self, topic, lines, key):
        tool.run("leat", "produce", "--log", self.log, topic, "--key", key, "--quiet", stdin=lines)

    def create(self, topic):
        tool.run("leat", "topics", "--log", self.log, "--create", topic, "--partitions", PARTITIONS)

    def prepare(self):
        """Before the run."""

    def arguments(self):
        return ()

    def stdin(self):
        return None

    def run(self, env):
        """The run that a fault meets."""
        return tool.run(self.program, *self.arguments(), stdin=self.stdin(), expect=None, env=env)

    def go_on(self, _code):
        """Without a fault; what did not end well is started again."""
        tool.run(self.program, *self.arguments(), stdin=self.stdin())

    def judge(self, code):
        """Raises what is wrong; returns how many records were looked at."""
        raise NotImplementedError


class Counts(Scene):
    """user_counts on a state directory, the second run of its life."""
    name, program = "counts", "user_counts"
    more = ()

    def prepare(self):
        self.create("user_events")
        self.produce("user_events", event_lines(0, EVENTS), "user_id")
        tool.run(self.program, *self.arguments())
        self.produce("user_events", event_lines(EVENTS, EVENTS), "user_id")

    def arguments(self):
        return ("--log", self.log, "--state-dir", self.state, "--until-end", "--workers", 2,
                *self.more)

    def judge(self, code):
        events = tool.consume(self.log, "user_events")
        counted, bad = count_check.check(
            events, tool.consume(self.log, "user_recommendations"), [],
            tool.offsets(self.log, "user-counts"), PARTITIONS, "user_events")
        if counted + bad != 2 * EVENTS or len(events) != 2 * EVENTS:
            raise count_check.Violation(f"{counted} of {len(events)} counted, {2 * EVENTS} sent")
        return counted


class FirstRun(Counts):
    """The same without anything there before but the input: topics and state are made."""
    name = "first-run"

    def prepare(self):
        self.create("user_events")
        self.produce("user_events", event_lines(0, 2 * EVENTS), "user_id")


class Snapshots(Counts):
    """With copies of the state, which a process without state begins with."""
    name = "snapshots"

    def arguments(self):
        return (*super().arguments(), "--snapshot-dir", self.snapshots, "--snapshot-interval-ms", 1)

    def prepare(self):
        super().prepare()
        os.rename(self.state, self.state + "-lost")


class Produce(Scene):
    """leat produce into a log that has records."""
    name, program = "produce", "leat"

    def prepare(self):
        self.create("user_events")
        self.produce("user_events", event_lines(0, EVENTS), "user_id")

    def arguments(self):
        return ("produce", "--log", self.log, "user_events", "--key", "user_id", "--quiet")

    def stdin(self):
        return event_lines(EVENTS, EVENTS)

    def go_on(self, code):
        self.produce("user_events", event_lines(2 * EVENTS, EVENTS), "user_id")

    def judge(self, code):
        events = tool.consume(self.log, "user_events")
        told, tried = set(range(EVENTS)), set(range(EVENTS, 2 * EVENTS))
        count_check.check_produced(events, told | set(range(2 * EVENTS, 3 * EVENTS)) |
                                   (tried if code == 0 else set()), tried)
        count_check.by_partition(events, PARTITIONS, "input")
        return len(events)


class Creation(Produce):
    """leat produce into a log that it has to make."""
    name = "creation"

    def prepare(self):
        os.makedirs(self.world)

    def arguments(self):
        return (*super().arguments(), "--partitions", PARTITIONS)

    def go_on(self, code):
        made = tool.run("leat", "topics", "--log", self.log, expect=None)
        if "user_events" not in made.stdout:
            if code == 0:
                raise count_check.Violation("the topic that records were acknowledged in is gone")
            self.create("user_events")
        super().go_on(code)

    def judge(self, code):
        events = tool.consume(self.log, "user_events")
        tried = set(range(EVENTS, 2 * EVENTS))
        count_check.check_produced(events, set(range(2 * EVENTS, 3 * EVENTS)) |
                                   (tried if code == 0 else set()), tried)
        return len(events)


class Golden(Scene):
    """Judged by what the same job writes without a fault, from the same input."""
    topic = output = ""

    def event(self, number):
        raise NotImplementedError

    def send(self, first, count):
        lines = (json.dumps(self.event(number)) for number in range(first, first + count))
        self.produce(self.topic, "\n".join(lines).encode(), "user")

    def prepare(self):
        self.create(self.topic)
        self.send(0, EVENTS)
        tool.run(self.program, *self.arguments())
        self.send(EVENTS, EVENTS)

    def arguments(self):
        return ("--log", self.log, "--state-dir", self.state, "--until-end", "--workers", 2)

    def results(self):
        return sorted(json.dumps([row["key"], row["value"]]) for row in
                      tool.consume(self.log, self.output))

    def learn(self):
        """After a run without a fault."""
        if not self.results():
            raise count_check.Violation(f"{self.name} has no results: this shows nothing")
        return self.results()

    def judge(self, code):
        found = self.results()
        must_be(self.output, found, self.expected)
        return len(found)


class Exchange(Scene):
    """Counts by another key than the input's, through a repartition topic of the log."""
    name = "exchange"

    @property
    def program(self):
        return works.test_program("crash_kafka_regroup")

    def send(self, first, count):
        rows = (json.loads(line) for line in event_lines(first, count).splitlines())
        lines = (json.dumps(row | {"product_id": f"p{row['product_id']}"}) for row in rows)
        self.produce("user_events", "\n".join(lines).encode(), "user_id")

    def prepare(self):
        self.create("user_events")
        self.send(0, EVENTS)
        tool.run(self.program, *self.arguments())
        self.send(EVENTS, EVENTS)

    def arguments(self):
        return ("--log", self.log, "--state-dir", self.state, "--until-end", "--workers", 2)

    def judge(self, code):
        of_user = {}
        for row in tool.consume(self.log, "user_events"):
            of_user.setdefault(row["value"]["user_id"], []).append(
                (row["value"]["timestamp_ms"], row["partition"], row["offset"],
                 int(row["value"]["product_id"][1:])))
        sent, offsets = sum(map(len, of_user.values())), tool.offsets(self.log, "regroup")
        committed = {partition: offset for (topic, partition), offset in offsets.items()
                     if topic == "user_events"}
        try:
            counted = judge_regroup.check(
                "regrouped", types.SimpleNamespace(of_user=of_user),
                tool.consume(self.log, "regrouped"), committed, 0)
        except judge_regroup.Violation as problem:
            raise count_check.Violation(str(problem)) from problem
        if counted != sent or sent != 2 * EVENTS:
            raise count_check.Violation(f"{counted} of {sent} counted, {2 * EVENTS} sent")
        return counted


class Windows(Golden):
    """Windows behind an exchange in memory: keyed by another field than the input's."""
    name, program, topic, output = "windows", "click_counts", "clicks", "click_counts"

    def event(self, number):
        return {"ts_ms": 1_700_000_000_000 + number * 7_000, "user": f"u{number % USERS}",
                "page": f"/{number % 4}"}


class Timers(Golden):
    """Timers: carts that were left alone."""
    name, program, topic, output = "timers", "cart_reminder", "shop_events", "cart_reminders"

    def event(self, number):
        return {"user": f"u{number % USERS}", "item": f"i{number % 9}", "kind": "cart",
                "ts_ms": 1_700_000_000_000 + number * 400_000}


SCENES = {scene.name: scene for scene in
          (Counts, FirstRun, Snapshots, Produce, Creation, Windows, Timers, Exchange,
           recommender_scene.Recommender)}
