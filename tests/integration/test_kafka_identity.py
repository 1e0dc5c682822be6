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
REGROUP = os.path.join(os.path.dirname(tool.BIN), "tests", "crash_kafka_regroup")
RELAY = os.path.join(os.path.dirname(tool.BIN), "tests", "crash_kafka_relay")
COUNTS = "examples/user_counts"
READ, LATER = 10, 30
NOT_FOUND, OF_ANOTHER, IN_USE = 72, 76, 83


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


class Reset(MadeAgain):
    """`leat reset` takes all that one job keeps, with an exchange too, and nothing else; a state
    directory that is still there is not taken for the state of the new life."""

    test_the_seal_tells = None
    test_the_kept_position_tells_where_there_is_no_state = None
    test_nothing_of_it_is_read_while_the_job_runs = None

    def topics(self):
        listed = tool.run("leat", "topics", "--log", self.log, "--json").stdout
        return {row["topic"] for row in tool.json_lines(listed)}

    def counted(self):
        """The last count of each group, and how many outputs there were."""
        rows = [row["value"] for row in tool.consume(self.log, "regrouped")]
        return {row["user_id"]: row["event_count"] for row in rows}, len(rows)

    def reset(self, expect):
        return tool.run("leat", "reset", "--log", self.log, "regroup", "--json", expect=expect)

    def test_a_job_with_an_exchange_begins_anew(self):
        tool.run(COUNTS, "--log", self.log, "--until-end")  # another job on the same topics
        others = self.topics()
        self.produce(90)
        self.job(REGROUP)
        counts, outputs = self.counted()
        self.assertEqual((sum(counts.values()), outputs), (100, 100))
        running = tool.start(REGROUP, "--log", self.log, "--state-dir", self.state)
        self.addCleanup(tool.end, running)
        self.produce(1)
        give_up_s = time.monotonic() + tool.TIMEOUT_S
        while self.counted()[1] < 101:
            self.assertIsNone(running.poll())
            self.assertLess(time.monotonic(), give_up_s, "the job does not get on")
            time.sleep(0.1)
        counts = self.counted()[0]
        self.reset(expect=IN_USE)
        tool.end(running)
        self.reset(expect=0)
        self.assertEqual(self.topics(), others | {"regrouped"})
        self.reset(expect=NOT_FOUND)
        for state_dir in (self.state, None):  # the former one, and none
            before = self.counted()[1]
            arguments = () if state_dir is None else ("--state-dir", state_dir)
            tool.run(REGROUP, "--log", self.log, "--until-end", *arguments)
            self.assertEqual(self.counted(), (counts, before + 101))
            self.reset(expect=0)
        tool.run(COUNTS, "--log", self.log, "--until-end")  # goes on where it was
        self.assertEqual(self.written("user_recommendations"), 101)


if __name__ == "__main__":
    unittest.main()
