"""What lies in an input topic before a job reads it: compressed by somebody else, or deleted.

    compressed   the topic's setting compression.type has the broker, with Java's libraries, write
                 every batch anew; and librdkafka compresses in `leat produce`
    deleted      DeleteRecords, which does to a partition what retention does: it begins later
"""
import json
import os
import signal
import sys
import time
import unittest
import uuid

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import kafka  # noqa: E402
import kafka_wire  # noqa: E402
import tool  # noqa: E402

BROKER = kafka.shared()
PATIENCE_S = 120 if tool.SANITIZED else 40
CODECS = ("gzip", "snappy", "lz4", "zstd")


class Case(unittest.TestCase):
    def setUp(self):
        folder = tool.Folder("input")
        self.folder = folder.path
        self.addCleanup(folder.__exit__, None, None, None)
        self.prefix = f"input-{uuid.uuid4().hex[:12]}-"
        self.log = f"kafka:{BROKER}?leat.prefix={self.prefix}"
        self.produced = 0

    def wire(self):
        host, _, port = BROKER.partition(",")[0].rpartition(":")
        return kafka_wire.Client(host, int(port))

    def create(self, **settings):
        """Input and output, of one partition each."""
        with self.wire() as one:
            one.create_topic(self.prefix + "user_events", **{"retention_ms": "-1", **settings})
            one.create_topic(self.prefix + "user_recommendations", retention_ms="-1")
            kafka_wire.eventually(lambda: one.end_offset(self.prefix + "user_events", 0))

    def produce(self, count, settings=""):
        first, self.produced = self.produced, self.produced + count
        lines = [json.dumps({"user_id": "u", "product_id": f"p{n}", "category": "c" * 50,
                             "timestamp_ms": n + 1}) for n in range(first, self.produced)]
        tool.run("leat", "produce", "--log", self.log + settings, "user_events", "--key", "user_id",
                 "--quiet", stdin="\n".join(lines).encode())

    def counts(self):
        return [row["value"]["event_count"]
                for row in tool.consume(self.log, "user_recommendations")]

    def run_to_the_end(self):
        """Returns what the job said."""
        state = os.path.join(self.folder, "state")
        return tool.run("user_counts", "--log", self.log, "--state-dir", state,
                        "--until-end").stderr


class Compressed(Case):
    def codecs(self):
        with self.wire() as one:
            return one.codecs(self.prefix + "user_events", 0)

    def test_a_job_reads_what_a_broker_compressed(self):
        for codec in CODECS:
            with self.subTest(codec):
                self.setUp()
                self.create(compression_type=codec)
                self.produce(500)
                self.assertEqual(self.codecs(), {codec})
                self.run_to_the_end()
                self.assertEqual(self.counts(), list(range(1, 501)))

    def test_a_job_reads_all_kinds_from_one_partition(self):
        self.create(compression_type="producer")
        for codec in (*CODECS, "none"):
            self.produce(200, f"&compression.codec={codec}")
        self.assertEqual(self.codecs(), {*CODECS, "none"})
        self.run_to_the_end()
        self.assertEqual(self.counts(), list(range(1, 1001)))


class Deleted(Case):
    """What was read stays counted; what was not is told."""

    def setUp(self):
        super().setUp()
        self.create()

    def delete(self, before):
        with self.wire() as one:
            one.delete_records(self.prefix + "user_events", 0, before)

    def test_what_was_deleted_while_a_job_was_away_is_told(self):
        self.produce(100)
        self.assertEqual(self.run_to_the_end(), "")
        self.produce(50)
        self.delete(130)
        said = self.run_to_the_end()
        self.assertIn("user_events partition 0: offsets that this job had not read were deleted "
                      "while it was away, 30 of them", said)
        self.assertEqual(self.counts(), list(range(1, 121)))

    def test_what_was_read_before_it_was_deleted_is_not_missed(self):
        self.produce(100)
        self.run_to_the_end()
        self.delete(100)
        self.produce(10)
        self.assertEqual(self.run_to_the_end(), "")
        self.assertEqual(self.counts(), list(range(1, 111)))

    def test_a_new_job_begins_where_the_topic_begins(self):
        self.produce(100)
        self.delete(60)
        self.assertEqual(self.run_to_the_end(), "")
        self.assertEqual(self.counts(), list(range(1, 41)))

    def test_what_was_deleted_before_a_job_at_work_could_read_it_is_told(self):
        """The job stands still while it happens."""
        errors_path = os.path.join(self.folder, "errors")
        self.produce(10)
        with open(errors_path, "ab") as errors:
            job = tool.start("user_counts", "--log", self.log + "&session.timeout.ms=30000",
                             stderr=errors)
        self.addCleanup(job.wait)
        self.addCleanup(job.kill)
        self.wait_for_count(10)
        job.send_signal(signal.SIGSTOP)
        self.produce(100)
        self.delete(90)
        job.send_signal(signal.SIGCONT)
        self.wait_for_count(30)
        self.assertEqual(tool.end(job), 0)
        with open(errors_path, encoding="utf-8") as errors:
            self.assertIn("deleted while it was at work, 80 of them", errors.read())
        self.assertEqual(self.counts(), list(range(1, 31)))

    def wait_for_count(self, count):
        until = time.monotonic() + PATIENCE_S
        while len(self.counts()) < count:
            self.assertLess(time.monotonic(), until, self.counts())
            time.sleep(0.1)


if __name__ == "__main__":
    unittest.main()
