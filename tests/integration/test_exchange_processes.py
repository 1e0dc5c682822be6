"""A job with an exchange in two processes on a Kafka broker: equal keys meet wherever their records
lie, exactly once, whoever is killed; time and the end of the input cross between processes."""
import json
import os
import random
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import kafka  # noqa: E402
import tool  # noqa: E402

T0 = 1_700_000_000_000
USERS = 40


def setUpModule():
    global broker
    broker = kafka.Broker().__enter__()
    unittest.addModuleCleanup(broker.close)


class TwoProcesses(unittest.TestCase):
    def setUp(self):
        self.running = {}
        self.addCleanup(self.kill_all)

    def kill_all(self):
        for name in list(self.running):
            tool.end(self.running.pop(name), signal.SIGKILL)

    def produce(self, topic, records):
        """Without keys: a user's records lie in all partitions."""
        text = "\n".join(map(json.dumps, records)).encode()
        tool.run("leat", "produce", "--log", broker.log, topic, "--partitions", "4", "--quiet",
                 stdin=text)

    def start(self, program, instance, *arguments):
        self.running[instance] = tool.start(
            program, "--log", broker.log, "--instance", instance, *arguments)

    def kill(self, instance):
        tool.end(self.running.pop(instance), signal.SIGKILL)

    def both_end(self, program, *arguments):
        """Two processes that read to the end of the input: both come to it."""
        for instance in ("a", "b"):
            self.start(program, instance, "--until-end", *arguments)
        for instance in ("a", "b"):
            done = tool.ended(self.running.pop(instance))
            self.assertEqual(done.returncode, 0, done.stderr)

    def values(self, topic):
        return [record["value"] for record in tool.consume(broker.log, topic)]

    def where_they_stand(self):
        told = []
        for instance, process in self.running.items():
            told.append(f"{instance}:\n{tool.stack_of(process)}")
            process.kill()
            told.append(process.communicate()[1].decode()[-3000:])
        told += [tool.run("leat", "offsets", "--log", broker.log, group, expect=None).stdout
                 for group in ("user-counts", "click-counts")]
        return "\n".join(told)

    def wait_for(self, topic, count):
        until = time.monotonic() + 2 * tool.TIMEOUT_S
        while True:
            done = tool.run("leat", "topics", "--log", broker.log, "--json", expect=None)
            rows = {row["topic"]: row["records"] for row in tool.json_lines(done.stdout)}
            if rows.get(topic, 0) >= count:
                return
            if time.monotonic() > until:
                self.fail(f"{rows.get(topic)} of {count} in {topic}\n{self.where_they_stand()}")
            for process in self.running.values():
                self.assertIsNone(process.poll())
            time.sleep(0.05)

    # ------------------------------------------------------------------ exactly once

    def events(self, rng, count):
        return [{"user_id": f"u{rng.randrange(USERS)}", "timestamp_ms": T0 + n}
                for n in range(count)]

    def check_counts(self, events):
        found = [(v["user_id"], v["event_count"]) for v in self.values("user_recommendations")]
        for user in {event["user_id"] for event in events}:
            sent = sum(event["user_id"] == user for event in events)
            self.assertEqual([n for u, n in found if u == user], list(range(1, sent + 1)), user)
        self.assertEqual(len(found), len(events))

    def test_each_event_is_counted_once_whoever_is_killed(self):
        rng, sent = random.Random(4), []
        anyhow = ("--partitioned-by", "false")
        self.produce("user_events", [])
        for instance in ("a", "b"):
            self.start("user_counts", instance, *anyhow)
        for turn in range(4):
            events = self.events(rng, 1500)
            self.produce("user_events", events)
            sent += events
            self.wait_for("user_recommendations", len(sent) - 1500 + rng.randrange(1000))
            fallen = rng.choice("ab")
            self.kill(fallen)
            self.start("user_counts", fallen, *anyhow)
        self.wait_for("user_recommendations", len(sent))
        self.kill_all()
        self.both_end("user_counts", *anyhow)
        self.check_counts(sent)

    # ------------------------------------------------------------------ time

    def test_windows_see_the_time_of_all_processes_and_the_end_of_the_input(self):
        rng, expected = random.Random(5), {}
        for run in range(3):  # each goes on with the minutes that were open, the last fires them
            clicks = [{"ts_ms": T0 + (run * 600 + n) * 1000, "user": "u",
                       "page": f"/{rng.randrange(9)}"} for n in range(600)]
            self.produce("clicks", clicks)
            for click in clicks:
                key = (click["page"], click["ts_ms"] // 60000 * 60000)
                expected[key] = expected.get(key, 0) + 1
            self.both_end("click_counts", *(["--drain"] if run == 2 else []))
        found = {}
        for value in self.values("click_counts"):
            key = (value["page"], value["minute_ms"])
            self.assertNotIn(key, found)
            found[key] = value["clicks"]
        wrong = {key: (found.get(key), count) for key, count in expected.items()
                 if found.get(key) != count}
        self.assertEqual(wrong, {})
        self.assertEqual(self.values("late_clicks"), [])


if __name__ == "__main__":
    unittest.main()
