"""Time behind an exchange on Kafka goes on after a restart where it stood, also where it has not
begun: an input partition without a record holds it (W3), whatever the others say.

    input partition   0 a a a a     the watermark behind the exchange is the least of all: with an
                      1             empty partition there is none, and no stretch is published
                      2 b b b b     before the records of that partition have been counted, too
                      3 c c c c
"""
import os
import signal
import sys
import tempfile
import time
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))
sys.path.insert(0, os.path.join(HERE, "..", "crash"))

import kafka  # noqa: E402
import tool  # noqa: E402
from count_check import murmur2  # noqa: E402

BROKER = kafka.shared()
PARTITIONS, FIRST_MS, SIZE_MS = 4, 1_700_000_000_000, 200
BUCKETS = os.path.join(os.path.dirname(tool.BIN), "tests", "crash_kafka_buckets")


def user_of(partition):
    return next(name for name in (f"u{n}" for n in range(100))
                if (murmur2(name.encode()) & 0x7fffffff) % PARTITIONS == partition)


class AnEmptyPartition(unittest.TestCase):
    def setUp(self):
        self.log = f"kafka:{BROKER}?leat.prefix=time-{uuid.uuid4().hex[:12]}."
        self.made = 0
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = os.path.join(folder.name, "state")
        tool.run("leat", "topics", "--log", self.log, "--create", "user_events", "--partitions",
                 str(PARTITIONS))

    def produce(self, partitions, times):
        lines = []
        for time_ms in times:
            for partition in partitions:
                user = user_of(partition)
                lines.append(f'{{"user_id":"{user}","product_id":"p{self.made}",'
                             f'"timestamp_ms":{FIRST_MS + time_ms}}}')
                self.made += 1
        tool.run("leat", "produce", "--log", self.log, "user_events", "--key", "user_id",
                 stdin="\n".join(lines).encode())

    def one_life(self, until):
        """Runs the job until `until` says so, and ends it."""
        job = tool.start(BUCKETS, "--log", self.log, "--state-dir", self.state)
        give_up_s = time.monotonic() + tool.TIMEOUT_S
        while not until():
            self.assertIsNone(job.poll())
            self.assertLess(time.monotonic(), give_up_s, "the job does not get on")
            time.sleep(0.1)
        self.assertEqual(tool.end(job, signal.SIGTERM), 0)

    def groups(self):
        """{(group, start): count} as published; a second count of a stretch fails."""
        found = {}
        for row in tool.consume(self.log, "bucketed"):
            place = row["key"], row["value"]["start_ms"] - FIRST_MS
            if place[0].startswith("g"):
                self.assertNotIn(place, found)
                found[place] = row["value"]["event_count"]
        return found

    def settled(self):
        """Read, through the exchange too; the mark of a transaction's end counts as lag."""
        rows = tool.json_lines(tool.run("leat", "offsets", "--log", self.log, "buckets", "--json",
                                        expect=None).stdout)
        read = sum(max(row["offset"], 0) for row in rows if row["topic"].endswith("user_events"))
        return read >= self.made and all(row["lag"] <= 1 for row in rows)

    def test_holds_time_over_restarts(self):
        self.produce((0, 2, 3), range(0, 1000, 10))
        self.one_life(self.settled)
        self.produce((0, 2, 3), range(1000, 2000, 10))
        self.one_life(self.settled)
        self.assertEqual(self.groups(), {}, "nobody has heard of partition 1")
        self.produce((1,), range(0, 2000, 10))
        self.produce(range(PARTITIONS), (5000,))
        self.one_life(lambda: self.settled() and sum(self.groups().values()) >= 800)
        counts = {}
        for (_, start), count in self.groups().items():
            counts[start] = counts.get(start, 0) + count
        self.assertEqual(counts, {start: 80 for start in range(0, 2000, SIZE_MS)})


if __name__ == "__main__":
    unittest.main()
