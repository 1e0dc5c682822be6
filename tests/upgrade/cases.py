"""What is stored, and how it must go on: each case makes its input, runs a program in parts, and
knows the fold of all of it by itself (no code of leat).

    made by the old version          A: read, SIGTERM   B: read, stopped   C: in the log, unread
    by the version under test        rest: produced, then everything is read to the end

The last rows of each input are far ahead in event time, one in each partition: they close every
window and fire every timer of the others, whatever the end of an input does; nobody counts them."""
import json
import os
import random
import signal

import programs  # noqa: F401, it says where the others are
import count_check
import recommender_check
import server as recommender_server
from count_check import Violation

T0 = 1_700_000_000_000
PARTITIONS = 4
HOUR_MS = 3_600_000


def one_per_partition(prefix):
    """A key for each partition."""
    found, number = {}, 0
    while len(found) < PARTITIONS:
        key = f"{prefix}{number}"
        found.setdefault(count_check.partition_of(key, PARTITIONS), key)
        number += 1
    return [found[partition] for partition in range(PARTITIONS)]


def assert_equal(what, found, expected):
    if found == expected:
        return
    if isinstance(expected, dict):
        wrong = [key for key in set(found) | set(expected) if found.get(key) != expected.get(key)]
        raise Violation(f"{what}: {len(wrong)} of {len(expected)} differ, such as {wrong[0]}: "
                        f"{found.get(wrong[0])}, expected {expected.get(wrong[0])}")
    missing = [row for row in expected if row not in found]
    more = [row for row in found if row not in expected]
    raise Violation(f"{what}: {len(found)} rows, expected {len(expected)}; missing {missing[:3]}, "
                    f"too many {more[:3]}")


def counted_up(what, pairs, expected):
    """Every key's numbers are 1, 2, 3 ... in the order in which they were written."""
    found = {}
    for key, number in pairs:
        if number != found.get(key, 0) + 1:
            raise Violation(f"{what}: {key} has {number} after {found.get(key, 0)}")
        found[key] = number
    assert_equal(what, found, expected)


def tally(keys):
    found = {}
    for key in keys:
        found[key] = found.get(key, 0) + 1
    return found


class Case:
    """name, group (of the job), topic, key (of `leat produce`), snapshots: also from a snapshot."""

    key = None
    snapshots = False

    def rows(self, rng):
        """The whole input, in event time."""
        raise NotImplementedError

    def command(self, world, until_end, state=True):
        raise NotImplementedError

    def expected(self, rows):
        raise NotImplementedError

    def check(self, outputs, expected):
        """`outputs(topic)` are its committed records; raises Violation."""
        raise NotImplementedError

    def parts(self, rows):
        at = [0, len(rows) * 3 // 10, len(rows) * 6 // 10, len(rows) * 7 // 10, len(rows)]
        return [rows[begin:end] for begin, end in zip(at, at[1:])]

    def ready(self, world):
        """May it be stopped?"""
        return not self.snapshots or any("snapshot-" in folder for folder, _, _ in
                                         os.walk(world.path("snapshots")))

    def make(self, programs, world, stop):
        """The old version's part; returns the rows that it has not seen."""
        a, b, c, rest = self.parts(world.rows)
        for part, seen, how in ((a, a, signal.SIGTERM), (b, a + b, stop)):
            programs.produce(world.log, self.topic, part, self.key)
            programs.run_until_read(world.log, self.group, self.topic, len(seen), how,
                                    self.command(world, False), lambda: self.ready(world))
        programs.produce(world.log, self.topic, c, self.key)
        return rest

    def go_on(self, programs, world, rest, state=True):
        programs.produce(world.log, self.topic, rest, self.key)
        done = programs.run(*self.command(world, True, state))
        self.check(lambda topic: programs.topic(world.log, topic), world.expected)
        return done


class Example(Case):
    arguments = ()

    def command(self, world, until_end, state=True):
        command = [self.program, "--log", world.log, *self.arguments]
        if state:
            command += ["--state-dir", world.path("state")]
        if state and self.snapshots:
            command += ["--snapshot-dir", world.path("snapshots"), "--snapshot-interval-ms", 50]
        return command + (["--until-end"] if until_end else [])


class UserCounts(Example):
    program, group, topic, key = "user_counts", "user-counts", "user_events", "user_id"
    snapshots = True

    def rows(self, rng):
        rows = [{"user_id": f"u{rng.randrange(30)}", "product_id": f"p{n}", "event_type": "view",
                 "timestamp_ms": T0 + 40 * n if rng.random() > 0.01 else "soon"}
                for n in range(1200)]
        return rows

    def expected(self, rows):
        good = [row for row in rows if row["timestamp_ms"] != "soon"]
        return {"counts": tally(row["user_id"] for row in good),
                "dead": len(rows) - len(good)}

    def check(self, outputs, expected):
        counted_up("counts", [(row["value"]["user_id"], row["value"]["event_count"])
                              for row in outputs("user_recommendations")], expected["counts"])
        dead = [(row["value"]["partition"], row["value"]["offset"])
                for row in outputs("dead-letters")]
        assert_equal("dead letters", [len(dead), len(set(dead))], [expected["dead"]] * 2)


class UserCountsExchange(UserCounts):
    arguments = ("--partitioned-by", "false")
    key = "product_id"
    snapshots = False


class ClickCounts(Example):
    program, group, topic, key = "click_counts", "click-counts", "clicks", "page"

    def rows(self, rng):
        rows = [{"ts_ms": T0 + 400 * n, "user": f"u{rng.randrange(9)}",
                 "page": f"/{rng.randrange(25)}"} for n in range(1200)]
        return rows + [{"ts_ms": rows[-1]["ts_ms"] + HOUR_MS, "page": page}
                       for page in one_per_partition("end")]

    def expected(self, rows):
        found = tally((row["page"], row["ts_ms"] // 60_000 * 60_000) for row in rows
                      if row["page"][0] == "/")
        return {"windows": sorted([page, minute, clicks]
                                  for (page, minute), clicks in found.items())}

    def check(self, outputs, expected):
        found = sorted([row["value"]["page"], row["value"]["minute_ms"], row["value"]["clicks"]]
                       for row in outputs("click_counts") if row["value"]["page"][0] == "/")
        assert_equal("windows", found, expected["windows"])
        assert_equal("late clicks", outputs("late_clicks"), [])


class CartReminder(Example):
    program, group, topic, key = "cart_reminder", "cart-reminder", "shop_events", "user"

    def rows(self, rng):
        rows = [] # a user is there for 7 minutes and never comes back: one reminder at most
        for n in range(600):
            kind = rng.choice(["cart", "cart", "cart", "view", "buy"])
            row = {"ts_ms": T0 + 20_000 * n, "user": f"u{n // 20}-{rng.randrange(3)}", "kind": kind}
            if kind != "cart" or rng.random() > 0.03: # a cart event without an item is bad
                row["item"] = f"i{rng.randrange(50)}"
            rows.append(row)
        return rows + [{"ts_ms": rows[-1]["ts_ms"] + HOUR_MS, "user": user, "kind": "view"}
                       for user in one_per_partition("end")]

    def expected(self, rows):
        carts, dead = {}, 0
        for row in rows:
            if row["kind"] == "buy":
                carts.pop(row["user"], None)
            elif row["kind"] == "cart" and "item" not in row:
                dead += 1
            elif row["kind"] == "cart":
                count = carts.get(row["user"], (None, 0))[1]
                carts[row["user"]] = (row["item"], count + 1)
        return {"reminders": sorted([user, *cart] for user, cart in carts.items()), "dead": dead}

    def check(self, outputs, expected):
        assert_equal("reminders", sorted([row["value"]["user"], row["value"]["last_item"],
                                          row["value"]["item_count"]]
                                         for row in outputs("cart_reminders")),
                     expected["reminders"])
        dead = [(row["value"]["partition"], row["value"]["offset"])
                for row in outputs("dead-letters")]
        assert_equal("dead letters", [len(dead), len(set(dead))], [expected["dead"]] * 2)


class Shop(Case):
    """shop.c; `exchange` is "memory" or "log"."""

    group, topic, key = "shop", "shop", "item"
    epoch_ms = 0
    program = "upgrade_shop"

    def __init__(self, exchange):
        self.exchange = exchange

    def rows(self, rng):
        rows = [] # a user is there for 4.5 s, and quiet once
        for n in range(1500):
            rows.append({"ts_ms": T0 + 20 * n, "user": f"u{n // 75 + rng.randrange(3)}",
                         "item": f"i{rng.randrange(40)}"})
        return rows + [{"ts_ms": rows[-1]["ts_ms"] + HOUR_MS, "user": f"end-{item}", "item": item}
                       for item in one_per_partition("end")]

    def command(self, world, until_end, state=True):
        return [self.program, world.log, self.exchange,
                world.path("state") if state and world.on_disk else "-",
                0 if until_end else self.epoch_ms, *(["end"] if until_end else [])]

    def expected(self, rows):
        rows = [row for row in rows if row["item"][0] == "i"]
        items = {}
        for row in rows:
            items.setdefault(row["user"], set()).add(row["item"])
        windows = tally((row["item"], row["ts_ms"] // 10_000 * 10_000) for row in rows)
        users = tally(row["user"] for row in rows)
        return {"users": users,
                "pairs": tally(f"{row['user']} {row['item']}" for row in rows),
                "items": tally(row["item"] for row in rows),
                "windows": sorted([item, start, n] for (item, start), n in windows.items()),
                "quiet": sorted([user, n, len(items[user])] for user, n in users.items())}

    def check(self, outputs, expected):
        visits = [row["value"] for row in outputs("visits") if row["value"]["item"][0] == "i"]
        counted_up("events of users", [(v["user"], v["number"]) for v in visits],
                   expected["users"])
        counted_up("a user's items", [(f"{v['user']} {v['item']}", v["of_item"]) for v in visits],
                   expected["pairs"])
        for visit in visits:
            if visit["kept"] != min(visit["number"], 5):
                raise Violation(f"a list of {visit['kept']} elements: {visit}")
        items = [row["value"] for row in outputs("items") if row["value"]["item"][0] == "i"]
        counted_up("items", [(v["item"], v["n"]) for v in items], expected["items"])
        windows = [row["value"] for row in outputs("windows") if row["value"]["item"][0] == "i"]
        assert_equal("windows", sorted([v["item"], v["start_ms"], v["n"]] for v in windows),
                     expected["windows"])
        quiet = [row["value"] for row in outputs("quiet") if row["value"]["user"][0] == "u"]
        assert_equal("quiet users", sorted([v["user"], v["events"], v["items"]] for v in quiet),
                     expected["quiet"])


class ShopInFlight(Shop):
    """Long epochs: when the first stage has committed what it read, the second has not yet (a clean
    stop works off what is under way)."""

    epoch_ms = 400

    def make(self, programs, world, stop):
        rest = super().make(programs, world, stop)
        if not world.log.startswith("embedded:"): # kafka_records counts
            return rest
        read = {topic: 0 for topic in ("shop-visit-repartition", "shop-item-count-repartition")}
        for (topic, _), offset in programs.offsets(world.log, self.group).items():
            if topic in read:
                read[topic] += max(offset, 0)
        there = {row["topic"]: row["records"] for row in map(json.loads, programs.run(
            "leat", "topics", "--log", world.log, "--json").stdout.splitlines())}
        world.about["in_flight"] = {topic: there.get(topic, 0) - read[topic] for topic in read}
        first = "shop-visit-repartition"
        if stop == signal.SIGKILL and there[first] <= read[first]:
            raise Violation("nothing was in flight when it was stopped")
        return rest


class Recommender(Case):
    """Events over HTTP; sessions end when a user has been away for more than half an hour."""

    topic, group = "user-interactions", "recommender"
    rounds = 6

    def rows(self, rng):
        rows = []
        for number in range(self.rounds):
            for n in range(150):
                user = f"u{rng.randrange(25)}"
                row = {"user_id": user, "item_id": f"i{int(rng.paretovariate(0.8)) % 60}",
                       "event_id": f"e{len(rows)}", "event_type": "view",
                       "timestamp_ms": T0 + number * 40 * 60_000 + n * 1000}
                rows.append(dict(row, session_id=f"s{number}") if user < "u15" else row)
        return rows

    def parts(self, rows):
        size = len(rows) // self.rounds
        return [rows[:2 * size], rows[2 * size:4 * size], rows[4 * size:]]

    def expected(self, rows):
        return {"events": len(rows)} # recommender_check folds what is in the topic

    def serve(self, programs, world):
        server = server_of(programs, world)
        server.start()
        return server

    def post(self, server, rows):
        for at in range(0, len(rows), 50):
            status, answer, _ = server.post("/v1/events", rows[at:at + 50])
            if status != 202 or answer["accepted"] != len(rows[at:at + 50]):
                raise Violation(f"POST /v1/events: {status} {answer}")
        server.wait_processed(len(rows))

    def sessions(self, server):
        found = {}
        for number in range(25):
            _, answer, _ = server.get(f"/v1/users/u{number}/recommendations")
            found[f"u{number}"] = (answer.get("session") or {}).get("events")
        return found

    def published(self, programs, world):
        latest = {row["key"]: row["value"]["total"]
                  for row in programs.topic(world.log, "item-popularity")}
        return sum(latest.values())

    def make(self, programs, world, stop):
        a, b, rest = self.parts(world.rows)
        for part, how in ((a, signal.SIGTERM), (b, stop)):
            server = self.serve(programs, world)
            try:
                self.post(server, part)
                world.about["sessions"] = self.sessions(server)
            finally:
                server.stop(how)
        return rest

    def go_on(self, programs, world, rest, state=True):
        server = self.serve(programs, world)
        try:
            assert_equal("sessions after the start", self.sessions(server),
                         world.about["sessions"])
            self.post(server, rest)
            server.wait_until(lambda: self.published(programs, world) == world.expected["events"],
                              "published popularity") # every 100 ms for hot items
        finally:
            code = server.stop()
        if code != 0:
            raise Violation(f"the server ended with {code}")
        events = programs.topic(world.log, self.topic)
        assert_equal("events", len(events), world.expected["events"])
        sessions = programs.topic(world.log, "sessions")
        items, counted = recommender_check.check(
            events, programs.topic(world.log, "recommendations"), sessions,
            programs.offsets(world.log, self.group), PARTITIONS, self.topic)
        assert_equal("events counted", counted, world.expected["events"])
        recommender_check.check_popularity(programs.topic(world.log, "item-popularity"), items)
        dump = programs.run("leat-recommender", "index", "--data-dir", world.folder).stdout
        recommender_check.check_index(dump, [row["value"] for row in sessions], "the log")


def server_of(programs, world):
    """A recommender of these programs; what it keeps for a week is kept for ever."""
    server = recommender_server.Server(world.folder, ["--retention", "0ms"])
    server.command, server.env = programs.path("leat-recommender"), programs.env
    return server


CASES = {"user-counts": UserCounts(), "user-counts-exchange": UserCountsExchange(),
         "click-counts": ClickCounts(), "cart-reminder": CartReminder(),
         "shop-memory": Shop("memory"), "shop-log": ShopInFlight("log"),
         "recommender": Recommender()}

ON_KAFKA = ("user-counts", "click-counts", "shop-log")


class World:
    """Where one case is: a folder with the log, state and snapshots, or a folder and a broker."""

    def __init__(self, folder, log=None):
        self.folder = folder
        self.log = log or "embedded:" + os.path.join(folder, "log")
        self.on_disk = True
        self.about = {}
        self.rows, self.expected = None, None

    def path(self, name):
        return os.path.join(self.folder, name)

    def plan(self, name, seed):
        """Makes the input of a case, and what is expected in the end."""
        self.rows = CASES[name].rows(random.Random(f"{name}/{seed}"))
        self.expected = CASES[name].expected(self.rows)
