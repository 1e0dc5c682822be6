"""What the `leat` tool promises on an embedded log, on a Kafka broker: the same tests, but those
about a log's folder."""
import os
import sys
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, HERE)

import kafka  # noqa: E402
import test_tool  # noqa: E402
import tool  # noqa: E402

BROKER = kafka.shared()


class OnKafka:
    """Topics and groups of its own on the broker that all tests share."""

    def log_is(self, url):
        self.__dict__["log"] = url

    @property
    def log(self):
        return self.__dict__["log"]

    @log.setter
    def log(self, _embedded):
        self.__dict__["log"] = f"kafka:{BROKER}?leat.prefix=tool-{uuid.uuid4().hex[:12]}."


class Topics(OnKafka, test_tool.Topics):
    test_cleaning_keeps_the_latest_of_each_key = None  # the broker cleans when it likes

    def test_refusals(self):
        self.leat("topics", "--log", self.log, "--create", "events")
        self.says_no(self.leat("topics", "--log", self.log, "--create", "events", expect=73),
                     "'events' exists already")
        self.says_no(self.leat("topics", "--log", self.log, "--delete", "evens", expect=72),
                     "did you mean 'events'")
        self.says_no(self.leat("topics", "--log", self.log, "--create", "a/b", expect=64))

    def test_a_broker_that_is_not_there_is_told_in_one_line(self):
        nowhere = "kafka:127.0.0.1:1?leat.connect.timeout.ms=1000"
        for arguments in (("topics",), ("consume", "t"), ("produce", "t"), ("offsets",),
                          ("explain",)):
            done = self.leat(arguments[0], "--log", nowhere, *arguments[1:], expect=69, stdin=b"")
            self.says_no(done, "127.0.0.1:1")


class Produce(OnKafka, test_tool.Produce):
    def test_time_comes_from_a_field(self):
        """Kafka has no time before 1970."""
        self.produce(['{"at":5}', '{"at":1700000000000}'], "--time", "at", "--partitions", "1")
        self.assertEqual([r["timestamp"] for r in self.consume()], [5, 1700000000000])

    def test_compressed_input_is_read_as_any_other(self):
        lines = ['{"k":%d,"text":"%s"}' % (n, "again and " * 20) for n in range(500)]
        plain = self.log
        for kind in ("gzip", "snappy", "lz4", "zstd"):
            self.log_is(plain + f"&compression.type={kind}")
            self.produce(lines, "--key", "k", topic=kind)
            self.log_is(plain)
            read = sorted(record["value"]["k"] for record in self.consume(kind))
            self.assertEqual(read, list(range(500)), kind)
        self.log_is(plain + "&compression.type=zip")
        self.says_no(self.produce(lines, expect=64), "compression.type")


class Consume(OnKafka, test_tool.Consume):
    test_what_a_killed_reader_leaves_is_removed_by_a_later_one = None  # it leaves nothing


class WithAJob(OnKafka, test_tool.WithAJob):
    def test_writing_goes_through_the_job_or_says_who_holds_the_log(self):
        """Nobody does: others may write while a job runs."""
        self.leat("produce", "--log", self.log, "t", stdin=b'{"a":1}')
        self.leat("topics", "--log", self.log, "--create", "x")
        self.assertIsNone(self.job.poll())


if __name__ == "__main__":
    unittest.main()
