"""A topic that is deleted and made again on Kafka is another one (R16): its offsets go with it, and
librdkafka fetches from the new one at the old offset.

    10 events ─ read ─► topic deleted, made again, 30 events ─► refused, while the job runs and at
                                                                its start; not one of them is used
"""
import os
import sys
import tempfile
import time
import unittest
import uuid

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "support"))

import kafka  # noqa: E402
import tool  # noqa: E402

BROKER = kafka.shared()
RELAY = os.path.join(os.path.dirname(tool.BIN), "tests", "crash_kafka_relay")
COUNTS = "examples/user_counts"
READ, LATER = 10, 30
NOT_FOUND, OF_ANOTHER = 72, 76


class MadeAgain(unittest.TestCase):
    def setUp(self):
        self.log = f"kafka:{BROKER}?leat.prefix=life-{uuid.uuid4().hex[:12]}."
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.state = os.path.join(folder.name, "state")
        self.make_topic()
        self.produce(READ)

    def make_topic(self):
        tool.run("leat", "topics", "--log", self.log, "--create", "user_events", "--partitions",
                 "1")

    def make_again(self):
        tool.run("leat", "topics", "--log", self.log, "--delete", "user_events")
        self.make_topic()
        self.produce(LATER)

    def produce(self, count):
        lines = [f'{{"user_id":"ann","product_id":"p{n}","timestamp_ms":{1000 + n}}}'
                 for n in range(count)]
        tool.run("leat", "produce", "--log", self.log, "user_events", "--key", "user_id",
                 stdin="\n".join(lines).encode())

    def job(self, program, **how):
        return tool.run(program, "--log", self.log, "--state-dir", self.state, "--until-end", **how)

    def written(self, topic):
        return len(list(tool.consume(self.log, topic)))

    def refused_at_the_start(self, program, output):
        self.job(program)
        self.assertEqual(self.written(output), READ)
        self.make_again()
        said = self.job(program, expect=OF_ANOTHER).stderr
        self.assertIn("made again", said)
        self.assertEqual(self.written(output), READ)

    def test_the_seal_tells(self):
        self.refused_at_the_start(COUNTS, "user_recommendations")

    def test_the_kept_position_tells_where_there_is_no_state(self):
        self.refused_at_the_start(RELAY, "relayed")

    def test_nothing_of_it_is_read_while_the_job_runs(self):
        running = tool.start(COUNTS, "--log", self.log, "--state-dir", self.state)
        self.addCleanup(tool.end, running)
        give_up_s = time.monotonic() + tool.TIMEOUT_S
        while self.topic_is_missing() or self.written("user_recommendations") < READ:
            self.assertIsNone(running.poll())
            self.assertLess(time.monotonic(), give_up_s, "the job does not get on")
            time.sleep(0.1)
        self.make_again()
        done = tool.ended(running)
        self.assertEqual(done.returncode, NOT_FOUND, done.stderr)
        self.assertEqual(self.written("user_recommendations"), READ)

    def topic_is_missing(self):
        listed = tool.run("leat", "topics", "--log", self.log).stdout
        return "user_recommendations" not in listed


if __name__ == "__main__":
    unittest.main()
