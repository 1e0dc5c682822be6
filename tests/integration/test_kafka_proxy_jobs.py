"""Jobs and tools behind the proxy of tests/support/kafka_proxy.py: requests and answers that come
too late, or not at all, while a job begins, finds its place again or is asked how far it is.  Most
of the jobs keep no state (tests/crash/kafka/relay.c), so that nothing but the committed offsets
stands between a record and its second reading."""
import json
import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import kafka  # noqa: E402
import kafka_proxy  # noqa: E402
import kafka_wire  # noqa: E402
import tool  # noqa: E402

PATIENCE_S = 120 if tool.SANITIZED else 40
# The driver waits 10 s for committed offsets (member.c).
LONGER_THAN_ASKED_MS = 11500
NOT_LEADER, NOT_COORDINATOR, OFFSET_NOT_AVAILABLE = 6, 16, 78
ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE, FENCED_INSTANCE_ID = 22, 25, 27, 82
UUID_BYTES = 36  # a member's id is INSTANCE-UUID
RELAY = os.path.join(os.path.dirname(tool.BIN), "tests", "crash_kafka_relay")


def setUpModule():
    global proxied
    tool.program(RELAY)  # or skipped
    proxied = kafka_proxy.ProxiedBroker(settings={"group.min.session.timeout.ms": 500})
    proxied.__enter__()
    unittest.addModuleCleanup(proxied.__exit__, None, None, None)


class Job:
    """A process of a job, through the proxy; its errors go to a file."""

    def __init__(self, case, *arguments, instance="a", program=RELAY, log=None, **settings):
        self.errors_path = os.path.join(case.folder, f"{instance}.log")
        query = "".join(f"&{key.replace('_', '.')}={value}" for key, value in settings.items())
        with open(self.errors_path, "ab") as errors:
            self.process = tool.start(
                program, "--log", f"{log or proxied.log}?leat.prefix={case.prefix}{query}",
                "--instance", instance, "--epoch-ms", "5", *arguments, stderr=errors)
        case.addCleanup(self.kill)

    def errors(self):
        with open(self.errors_path, encoding="utf-8", errors="replace") as file:
            return file.read()

    def end(self):
        return tool.end(self.process, signal.SIGTERM)

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()


class Case(unittest.TestCase):
    def setUp(self):
        folder = tool.Folder("proxied")
        self.folder = folder.path
        self.addCleanup(folder.__exit__, None, None, None)
        self.proxy = proxied.proxy
        self.addCleanup(self.proxy.clear)
        self.prefix = self.id().rpartition(".")[2][:60] + "-"
        self.direct_log = f"{proxied.broker.log}?leat.prefix={self.prefix}"
        self.produced = 0
        with self.direct() as one:
            for topic in ("user_events", "relayed"):
                # timestamps of 1970: the broker would delete them when it has run for 30 s
                one.create_topic(self.prefix + topic, partitions=2, retention_ms="-1")

    def direct(self):
        return kafka_wire.Client("127.0.0.1", int(proxied.broker.bootstrap.split(":")[1]))

    def produce(self, count):
        first, self.produced = self.produced, self.produced + count
        lines = [json.dumps({"user_id": f"u{n % 20}", "product_id": f"p{n}", "timestamp_ms": n + 1})
                 for n in range(first, self.produced)]
        tool.run("leat", "produce", "--log", self.direct_log, "user_events", "--key", "user_id",
                 "--quiet", stdin="\n".join(lines).encode())

    def numbers(self):
        """What a read_committed reader finds in the output, smallest first."""
        return sorted(int(row["value"]["product_id"][1:]) for row in self.output())

    def output(self):
        return tool.consume(self.direct_log, "relayed")

    def wait_for_all(self, *relays):
        """Until as much is there as was produced."""
        until = time.monotonic() + PATIENCE_S
        while len(self.output()) < self.produced:
            for relay in relays:
                self.assertIsNone(relay.process.poll(), relay.errors())
            if time.monotonic() > until:
                said = "".join(relay.errors() for relay in relays)
                self.fail(f"{len(self.output())} of {self.produced} records: {said}")
            time.sleep(0.1)

    def each_once(self):
        self.assertEqual(self.numbers(), list(range(self.produced)))

    def fence(self, instance="a"):
        """Somebody takes the job's transactions over for a moment: its next commit fails."""
        with self.direct() as one:
            kafka_wire.eventually(lambda: one.init_producer(f"{self.prefix}relay/{instance}"))


class CommittedOffsets(Case):
    def test_asked_for_in_vain_they_are_asked_for_again_and_not_remembered(self):
        """R10: offsets of the assignment's start would have all read twice."""
        relay = Job(self, session_timeout_ms=30000) # heartbeats wait behind the answer
        for _ in range(3): # several epochs
            self.produce(50)
            self.wait_for_all(relay)
        self.each_once()
        held = self.proxy.rule("OffsetFetch", "hold_response", LONGER_THAN_ASKED_MS, nth=1)
        self.fence()
        self.produce(50)
        self.wait_for_all(relay)
        self.assertEqual(relay.end(), 0, relay.errors())
        self.assertIn("rewinding to the last committed epoch", relay.errors())
        self.each_once()
        self.assertEqual((held.applied, held.seen > 1), (1, True), "asked again")


class RefusedOffsets(Case):
    def test_a_member_that_is_taken_for_another_asks_the_group_and_goes_on(self):
        """R15: a broker says so once after its own restart, while nobody else has the name; R7 for
        the other codes, which the next poll of the group settles."""
        relay = Job(self)
        self.produce(50)
        self.wait_for_all(relay)
        for code in (FENCED_INSTANCE_ID, ILLEGAL_GENERATION, UNKNOWN_MEMBER_ID, REBALANCE):
            with self.subTest(code):
                refused = self.proxy.rule("TxnOffsetCommit", "refuse", code, nth=1)
                self.produce(50)
                self.wait_for_all(relay)
                self.assertEqual((refused.applied, refused.seen > 1), (1, True), "done again")
                self.proxy.clear()
        self.assertEqual(relay.end(), 0, relay.errors())
        self.each_once()


class Session(Case):
    def instances(self):
        try:
            with self.direct() as one:
                state, members = one.group(self.prefix + "relay")
        except kafka_wire.Refused:  # not known yet
            return "", []
        return state, sorted(member[:-UUID_BYTES - 1] for member in members)

    def wait_for_group(self, *instances):
        until = time.monotonic() + PATIENCE_S
        while self.instances() != ("Stable", list(instances)):
            self.assertLess(time.monotonic(), until, f"{self.instances()}, not {instances}")
            time.sleep(0.05)

    def test_who_was_thrown_out_joins_again_and_repeats_nothing(self):
        """R8: its heartbeats are held for longer than its session; the other one takes over."""
        times = {"session_timeout_ms": 2000, "heartbeat_interval_ms": 300}
        a = Job(self, instance="a", **times)
        b = Job(self, instance="b", log=proxied.broker.log, **times)
        self.wait_for_group("a", "b")
        self.produce(100)
        self.wait_for_all(a, b)
        self.proxy.rule("Heartbeat", "hold_request", 6000, nth=1)
        for _ in range(4):
            self.produce(50)
        self.wait_for_group("b")
        self.produce(50)
        self.wait_for_all(b)
        self.wait_for_group("a", "b")
        self.assertIn("instance 'a' joins again", a.errors())
        self.produce(100)
        self.wait_for_all(a, b)
        self.assertEqual((a.end(), b.end()), (0, 0), a.errors() + b.errors())
        self.each_once()


class Beginning(Case):
    def test_topics_that_two_processes_make_at_the_same_time_are_made_once(self):
        """Both find none, and ask for them while the other's request is under way."""
        self.proxy.rule("CreateTopics", "hold_request", 1500)
        arguments = ["--partitioned-by", "false", "--output", "relayed"] # with an exchange's topic
        two = [Job(self, *arguments, instance=instance, program="user_counts")
               for instance in ("a", "b")]
        self.proxy.wait_for("hold_request", count=2)
        self.produce(200)
        self.wait_for_all(*two)
        asked = {event["connection"] for event in self.proxy.events
                 if event["what"] == "hold_request"}
        self.assertGreater(len(asked), 1, "one was too late to make topics")
        self.assertEqual([job.end() for job in two], [0, 0], two[0].errors() + two[1].errors())
        rows = self.output()
        counts = {(row["value"]["user_id"], row["value"]["event_count"]) for row in rows}
        self.assertEqual(len(rows), self.produced)
        self.assertEqual(counts, {(f"u{n % 20}", n // 20 + 1) for n in range(self.produced)})

    def test_a_session_that_the_broker_does_not_allow_ends_it(self):
        """It would ask to join for ever."""
        job = Job(self, session_timeout_ms=100, heartbeat_interval_ms=30)
        self.assertEqual(job.process.wait(PATIENCE_S), 64)
        self.assertRegex(job.errors(), "^[^\n]*session.timeout.ms that the brokers allow[^\n]*\n$")

    def test_a_leader_that_was_just_elected_is_asked_again(self):
        """R30: it does not know yet how far its followers are, and says so when the bounds of an
        input or a changelog are asked for.  It ended the job with 74."""
        for refusals in (0, 3):
            self.proxy.clear()
            rule = self.proxy.rule("ListOffsets", "refuse", OFFSET_NOT_AVAILABLE,
                                   nth=range(1, refusals + 1), probability=0)
            job = Job(self, "--output", "relayed", program="user_counts")
            self.produce(50)
            self.wait_for_all(job)
            self.assertEqual((job.end(), rule.applied), (0, refusals), job.errors())


class HowFarItIs(Case):
    """What `leat offsets` says when the group's coordinator goes away while it is asked.  The
    client library's administrative call ended it by a signal."""

    def setUp(self):
        super().setUp()
        relay = Job(self)
        self.produce(50)
        self.wait_for_all(relay)
        self.assertEqual(relay.end(), 0, relay.errors())

    def offsets(self, patience_ms):
        log = f"{proxied.log}?leat.prefix={self.prefix}&leat.connect.timeout.ms={patience_ms}"
        return tool.run("leat", "offsets", "--log", log, "relay", "--json", expect=None)

    def assert_told(self):
        done = self.offsets(patience_ms=20000)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(sum(row["offset"] for row in tool.json_lines(done.stdout)), 50)

    def assert_refused(self, code, text):
        done = self.offsets(patience_ms=1000)
        self.assertEqual((done.returncode, done.stdout), (code, ""), done.stderr)
        self.assertRegex(done.stderr, f"^leat offsets: relay: .*{text}.*\n$")

    def test_an_answer_that_was_lost_is_asked_for_again(self):
        lost = self.proxy.rule("OffsetFetch", "drop_response", nth=1)
        self.assert_told()
        self.assertEqual(lost.applied, 1)

    def test_another_broker_has_the_group_now(self):
        refused = self.proxy.rule("OffsetFetch", "refuse", NOT_COORDINATOR, nth=1)
        self.assert_told()
        self.assertEqual(refused.applied, 1)

    def test_nobody_has_the_group_for_long(self):
        self.proxy.rule("OffsetFetch", "refuse", NOT_COORDINATOR)
        self.assert_refused(81, "Not coordinator.*try again")

    def test_the_coordinator_is_gone(self):
        self.proxy.rule("OffsetFetch", "drop_request")
        self.assert_refused(69, "is the broker running")

    def test_the_coordinator_does_not_answer(self):
        self.proxy.rule("OffsetFetch", "hold_request", 60000)
        self.assert_refused(69, "is the broker running")

    def consumed(self, patience_ms, expect):
        log = f"{proxied.log}?leat.prefix={self.prefix}&leat.connect.timeout.ms={patience_ms}"
        return tool.run("leat", "consume", "--log", log, "relayed", "--until-end", expect=expect)

    def test_a_leader_that_does_not_know_of_it_yet_is_asked_again(self):
        """As one of a topic that was made a moment ago."""
        refused = self.proxy.rule("ListOffsets", "refuse", NOT_LEADER, nth=(1, 2, 3), probability=0)
        self.assertEqual(len(self.consumed(20000, 0).stdout.splitlines()), 50)
        self.assertEqual(refused.applied, 3)

    def test_nobody_leads_for_long(self):
        self.proxy.rule("ListOffsets", "refuse", NOT_LEADER)
        self.assertRegex(self.consumed(1000, 81).stderr, "Not leader for partition.*try again")


if __name__ == "__main__":
    unittest.main()
