"""The examples on a Kafka broker: what test_examples.py says of an embedded log, and the same
records come out of both."""
import os
import random
import signal
import sys
import time
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, HERE)

import kafka  # noqa: E402
import test_examples  # noqa: E402
import tool  # noqa: E402

BROKER = kafka.shared()


def log_of_its_own():
    """Topics and groups that no other test on the shared broker has."""
    return f"kafka:{BROKER}?leat.prefix=example-{uuid.uuid4().hex[:12]}."


class OnKafka:
    def setUp(self):
        super().setUp()
        self.log = log_of_its_own()

    def run_for_a_while(self, name, group, count):
        """Also through the exchange, which is a topic here: what is in it is read as well. The mark
        of a transaction's end counts as lag."""
        job = tool.start(name, "--log", self.log, "--state-dir", self.state)
        until, quiet = time.monotonic() + tool.TIMEOUT_S, 0
        while quiet < 3:
            self.assertLess(time.monotonic(), until, "the job does not read its input")
            self.assertIsNone(job.poll())
            rows = tool.json_lines(tool.run("leat", "offsets", "--log", self.log, group, "--json",
                                            expect=None).stdout)
            read = sum(max(r["offset"], 0) for r in rows if not r["topic"].endswith("-repartition"))
            quiet = quiet + 1 if read >= count and all(r["lag"] <= 1 for r in rows) else 0
            time.sleep(0.1)
        self.assertEqual(tool.end(job, signal.SIGTERM), 0)


class UserCounts(OnKafka, test_examples.UserCounts):
    pass


class ClickCounts(OnKafka, test_examples.ClickCounts):
    before_1970 = False # a broker has no such timestamps


class CartReminder(OnKafka, test_examples.CartReminder):
    pass


class SameRecords(test_examples.ExampleCase):
    """Keys, values, partitions and timestamps."""

    def records(self, topics, job, source, events, *arguments):
        self.produce(source, events, *arguments)
        self.run_job(job, *(["--drain"] if job != "user_counts" else []))
        return sorted((topic, r["partition"], r["timestamp"], r["key"], str(r["value"]))
                      for topic in topics for r in tool.consume(self.log, topic))

    def compare(self, topics, *run):
        embedded = self.records(topics, *run)
        self.log, self.state = log_of_its_own(), self.state + "-kafka"
        self.assertEqual(self.records(topics, *run), embedded)
        self.assertGreater(len(embedded), 0)

    def test_user_counts(self):
        rng = random.Random(7)
        events = [{"user_id": f"u{rng.randrange(9)}", "timestamp_ms": 1_700_000_000_000 + n}
                  for n in range(300)]
        self.compare(["user_recommendations"], "user_counts", "user_events", events, "--key",
                     "user_id")

    def test_click_counts(self):
        rng = random.Random(8)
        events = [{"ts_ms": 1_700_000_000_000 + n * 1000, "user": "ann",
                   "page": f"/{rng.randrange(5)}"} for n in range(300)]
        self.compare(["click_counts"], "click_counts", "clicks", events, "--partitions", "1")

    def test_cart_reminder(self):
        rng = random.Random(9)
        events = [{"ts_ms": 1_700_000_000_000 + n * 60_000, "user": f"u{rng.randrange(9)}",
                   "kind": rng.choice(("cart", "cart", "buy", "view")), "item": f"i{n}"}
                  for n in range(200)]
        self.compare(["cart_reminders"], "cart_reminder", "shop_events", events, "--key", "user")


if __name__ == "__main__":
    unittest.main()
