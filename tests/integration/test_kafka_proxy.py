"""The proxy of tests/support/kafka_proxy.py does to single requests what its rules say, and to no
others.  The last tests show by hand, without the client library, what rule R1 is for."""
import json
import os
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import kafka  # noqa: E402
import kafka_proxy  # noqa: E402
import kafka_wire  # noqa: E402

FENCED = {47, 90}  # INVALID_PRODUCER_EPOCH, PRODUCER_FENCED


def setUpModule():
    global proxied
    proxied = kafka_proxy.ProxiedBroker()
    proxied.__enter__()
    unittest.addModuleCleanup(proxied.__exit__, None, None, None)


class Case(unittest.TestCase):
    def setUp(self):
        self.proxy = proxied.proxy
        self.addCleanup(self.proxy.clear)
        del self.proxy.events[:]
        self.topic = self.id().rpartition(".")[2][:200]
        with self.direct() as one:
            one.create_topic(self.topic)
            kafka_wire.eventually(lambda: one.end_offset(self.topic, 0))

    def direct(self):
        """Past the proxy, to see what really is."""
        return kafka_wire.Client("127.0.0.1", int(proxied.broker.bootstrap.split(":")[1]))

    def through(self, timeout_s=15):
        return kafka_wire.Client("127.0.0.1", proxied.ports[0], timeout_s=timeout_s)

    def end_offset(self):
        with self.direct() as one:
            return one.end_offset(self.topic, 0)

    def timed(self, action):
        began = time.monotonic()
        action()
        return time.monotonic() - began


class Rules(Case):
    def test_without_rules_all_passes_and_clients_are_told_to_come_back_here(self):
        with self.through() as one:
            self.assertEqual(one.metadata()[0], {1: ("127.0.0.1", proxied.ports[0])})
            one.produce(self.topic, 0, [b"a", b"b"])
        self.assertEqual(self.end_offset(), 2)
        self.assertEqual([event["api"] for event in self.proxy.events], ["Metadata", "Produce"])

    def test_only_the_request_that_is_named_is_held(self):
        for action in ("hold_request", "hold_response"):
            rule = self.proxy.rule("Produce", action, 400, nth=2)
            with self.through() as one:
                times = [self.timed(lambda: one.produce(self.topic, 0, [b"x"])) for _ in range(3)]
                self.assertLess(self.timed(one.metadata), 0.3)
            self.assertGreater(times[1], 0.39)
            self.assertLess(max(times[0], times[2]), 0.3)
            self.assertEqual((rule.seen, rule.applied), (3, 1))
            self.proxy.clear()

    def test_a_held_request_has_not_been_done_and_a_held_response_has(self):
        for action, done in (("hold_request", 0), ("hold_response", 1)):
            before = self.end_offset()
            self.proxy.rule("Produce", action, 800)
            with self.through(timeout_s=0.4) as one, self.assertRaises(TimeoutError):
                one.produce(self.topic, 0, [b"x"])
            self.assertEqual(self.end_offset() - before, done)
            self.proxy.clear()
            time.sleep(0.6)

    def test_a_dropped_request_is_not_done_a_dropped_response_is(self):
        for action, done in (("drop_request", 0), ("drop_response", 1)):
            before = self.end_offset()
            self.proxy.rule("Produce", action, nth=1)
            with self.through() as one, self.assertRaises(ConnectionError):
                one.produce(self.topic, 0, [b"x"])
            self.assertEqual(self.end_offset() - before, done)
            self.proxy.clear()

    def test_a_duplicate_arrives_on_its_own_and_its_answer_is_swallowed(self):
        self.proxy.rule("Produce", "duplicate", 100, nth=1)
        with self.through() as one:
            self.assertEqual(one.produce(self.topic, 0, [b"x"]), 0)
            self.proxy.wait_for("arrived twice")
            self.assertEqual(one.end_offset(self.topic, 0), 2)

    def test_a_late_request_arrives_after_what_the_client_did_meanwhile(self):
        self.proxy.rule("Produce", "late", 500, nth=1)
        with self.through() as one, self.assertRaises(ConnectionError):
            one.produce(self.topic, 0, [b"first"])
        with self.through() as one:
            one.produce(self.topic, 0, [b"second"])
        event, = self.proxy.wait_for("arrived late")
        self.assertGreater(event["at_ms"], 500)
        with self.direct() as one:
            self.assertEqual(one.committed(self.topic, 0)[1], [b"second", b"first"])

    def test_probability_and_seed_choose_the_same_requests_again(self):
        frame = kafka_proxy.Request(bytes.fromhex("0000000300000001ffff"))
        draws = []
        for _ in range(2):
            rule = kafka_proxy.Rule.parse("Produce hold_request 5 probability=0.3 seed=11")
            draws.append([rule.takes(frame) for _ in range(200)])
        self.assertEqual(draws[0], draws[1])
        self.assertTrue(30 < sum(draws[0]) < 90)
        other = kafka_proxy.Rule("Produce", "hold_request", 5, probability=0.3, seed=12)
        self.assertNotEqual(draws[0], [other.takes(frame) for _ in range(200)])

    def test_one_client_can_be_singled_out(self):
        self.proxy.rule("Produce", "drop_request", client="somebody else")
        with self.through() as one:
            one.produce(self.topic, 0, [b"x"])
        self.proxy.rule("Produce", "drop_request", client="leat")
        with self.through() as one, self.assertRaises(ConnectionError):
            one.produce(self.topic, 0, [b"x"])

    def test_pause_keeps_connections_and_cut_closes_them(self):
        with self.through(timeout_s=0.3) as one:
            one.metadata()
            self.proxy.pause()
            correlation = one.send(kafka_wire.API_VERSIONS, 0, b"")
            with self.assertRaises(TimeoutError):
                one.answer(correlation)
            self.proxy.resume()
            one.answer(correlation)
            self.proxy.cut()
            with self.assertRaises(ConnectionError):
                one.metadata()
                one.metadata()

    def test_a_rule_that_makes_no_sense_is_refused(self):
        for text in ("Produce late", "Produce drop_request 5", "Produce explode", "Prduce late 5",
                     "Produce late 5 nht=1", "Produce late x", "OffsetFetch refuse"):
            with self.assertRaises(ValueError, msg=text):
                kafka_proxy.Rule.parse(text)
        with self.assertRaises(ValueError):
            kafka_proxy.Rule("EndTxn", "late")


class FromAShell(Case):
    def test_rules_are_given_and_taken_back_and_events_are_lines_of_json(self):
        port, = kafka.kafka_process.free_ports(1)
        command = [sys.executable, kafka_proxy.__file__, "--listen", str(port),
                   "--to", proxied.broker.bootstrap, "--rule", "Produce drop_request nth=1"]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                   text=True)
        self.addCleanup(process.wait)
        self.addCleanup(process.send_signal, signal.SIGTERM)
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.stdin.close)
        with kafka_wire.eventually(lambda: kafka_wire.Client("127.0.0.1", port)) as one, \
                self.assertRaises(ConnectionError):
            one.produce(self.topic, 0, [b"x"])
        self.assertEqual(json.loads(process.stdout.readline())["what"], "drop_request")
        process.stdin.write("clear\nProduce hold_response 300 nth=1\n")
        process.stdin.flush()
        time.sleep(0.3)
        with kafka_wire.Client("127.0.0.1", port) as one:
            self.assertGreater(self.timed(lambda: one.produce(self.topic, 0, [b"x"])), 0.29)
        self.assertEqual(json.loads(process.stdout.readline())["what"], "hold_response")


class DelayedEndOfTransaction(Case):
    """R1: the client sends EndTxn, gets no answer, sends it again and gets OK.  The first copy
    arrives while the next transaction is open."""

    def first_transaction(self):
        """Returns the producer after a commit in doubt that was repeated with success."""
        self.proxy.rule("EndTxn", "late", 1000, nth=1)
        with self.through() as one:
            producer = kafka_wire.eventually(lambda: one.init_producer(self.topic))
            one.add_partition(producer, self.topic, 0)
            one.produce(self.topic, 0, [b"one"], producer)
            with self.assertRaises(ConnectionError):
                one.end_transaction(producer)
        with self.through() as one:
            one.end_transaction(producer)
        return producer

    def half_a_transaction(self, one, producer):
        """The next transaction, of which half is written when the late copy arrives."""
        kafka_wire.eventually(lambda: one.add_partition(producer, self.topic, 0))
        one.produce(self.topic, 0, [b"half"], producer)
        self.proxy.wait_for("arrived late")

    def visible(self):
        with self.direct() as one:
            return one.committed(self.topic, 0)[1]

    def test_with_the_same_producer_it_commits_half_of_the_next_transaction(self):
        producer = self.first_transaction()
        with self.through() as one:
            self.half_a_transaction(one, producer)
            kafka_wire.eventually(lambda: self.assert_visible([b"one", b"half"]))

    def test_with_the_producer_made_anew_it_is_refused_R1(self):
        self.first_transaction()
        with self.through() as one:
            producer = kafka_wire.eventually(lambda: one.init_producer(self.topic))
            self.half_a_transaction(one, producer)
            event, = self.proxy.wait_for("arrived late")
            code = int.from_bytes(bytes.fromhex(event["answer"])[4:6], "big")
            self.assertIn(code, FENCED)
            self.assertEqual(self.visible(), [b"one"])
            one.end_transaction(producer, commit=False)
        self.assertEqual(self.visible(), [b"one"])

    def assert_visible(self, expected):
        """Markers are written after the answer."""
        if self.visible() != expected:
            raise kafka_wire.Refused(-1, f"{self.visible()}")


if __name__ == "__main__":
    unittest.main()
