"""The examples, run as their comments say."""
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import tool  # noqa: E402

JOBS = {"user_counts": "user_events", "click_counts": "clicks", "cart_reminder": "shop_events"}


class ExampleCase(unittest.TestCase):
    def setUp(self):
        folder = tool.Folder("example")
        self.dir = folder.path
        self.addCleanup(folder.__exit__, None, None, None)
        self.log = "embedded:" + os.path.join(self.dir, "log")
        self.state = os.path.join(self.dir, "state")

    def produce(self, topic, records, *arguments):
        text = "\n".join(map(json.dumps, records)).encode()
        tool.run("leat", "produce", "--log", self.log, topic, "--quiet", *arguments, stdin=text)

    def run_job(self, name, *arguments):
        return tool.run(name, "--log", self.log, "--state-dir", self.state, "--until-end",
                        *arguments)

    def run_for_a_while(self, name, group, count):
        """Without --until-end: until `count` records are read, then SIGTERM."""
        job = tool.start(name, "--log", self.log, "--state-dir", self.state)
        until = time.monotonic() + tool.TIMEOUT_S
        while sum(max(n, 0) for n in tool.offsets(self.log, group).values()) < count:
            self.assertLess(time.monotonic(), until, "the job does not read its input")
            self.assertIsNone(job.poll())
        self.assertEqual(tool.end(job, signal.SIGTERM), 0)

    def values(self, topic):
        return [record["value"] for record in tool.consume(self.log, topic)]


class Hello(ExampleCase):
    def test_it_prints_what_is_warm(self):
        done = tool.run("hello")
        self.assertEqual(done.stdout,
                         '{"city":"Cairo","degrees":87.8}\n{"city":"Quito","degrees":59.9}\n')
        self.assertEqual(done.stderr, "")


class CommandLine(ExampleCase):
    def test_help_names_every_option(self):
        for name, topic in JOBS.items():
            text = tool.run(name, "--help").stdout
            for word in ("--log", "--input", "--output", "--state-dir", "--workers", "--epoch-ms",
                         "--instance", "--guarantee", "--until-end", "--drain", "--explain",
                         "--partitioned-by", topic):
                self.assertIn(word, text)

    def test_explain_prints_the_plan_and_touches_nothing(self):
        for name, topic in JOBS.items():
            text = tool.run(name, "--log", self.log, "--explain").stdout
            self.assertIn(topic, text)
            self.assertIn("stage 0", text)
        self.assertEqual(os.listdir(self.dir), [])

    def test_wrong_command_lines_are_64_in_one_line(self):
        for name in JOBS:
            for arguments in (("--wokers", "3"), ("--workers", "x"), ("--workers",), ("x",), (),
                              ("--log", self.log, "--epoch-ms", "-1"), ("--log", "nowhere"),
                              ("--log", self.log, "--guarantee", "twice"),
                              ("--log", "embeded:x")):
                done = tool.run(name, *arguments, expect=64)
                self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
                self.assertTrue(done.stderr.startswith(name + ": "), done.stderr)
        self.assertIn("did you mean --workers",
                      tool.run("user_counts", "--wokers", expect=64).stderr)

    def test_a_second_process_on_the_log_is_75(self):
        for first, second in (("user_counts", "user_counts"), ("cart_reminder", "click_counts")):
            job = tool.start(first, "--log", self.log)
            until = time.monotonic() + tool.TIMEOUT_S
            while not os.path.exists(os.path.join(self.dir, "log", "CURRENT")):
                self.assertLess(time.monotonic(), until)
            done = tool.run(second, "--log", self.log, expect=83)
            self.assertIn(f"held by process {job.pid} ({first})", done.stderr)
            self.assertIn(tool.end(job), (0, -signal.SIGTERM))
            shutil.rmtree(os.path.join(self.dir, "log"))

    def test_a_second_process_on_the_state_is_75(self):
        job = tool.start("user_counts", "--log", self.log, "--state-dir", self.state)
        until = time.monotonic() + tool.TIMEOUT_S
        while not os.path.exists(os.path.join(self.state, "CURRENT")):
            self.assertLess(time.monotonic(), until)
        done = tool.run("user_counts", "--log", self.log + "2", "--state-dir", self.state,
                        expect=83)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        tool.end(job)

    def test_sigterm_ends_it_with_0(self):
        for name in JOBS:
            self.produce(JOBS[name], [{"ts_ms": 1, "timestamp_ms": 1, "user_id": "u", "user": "u",
                                       "page": "/", "kind": "view"}])
        self.run_for_a_while("user_counts", "user-counts", 1)
        self.run_for_a_while("click_counts", "click-counts", 1)
        self.run_for_a_while("cart_reminder", "cart-reminder", 1)


class UserCounts(ExampleCase):
    def events(self, count, seed=1):
        rng = random.Random(seed)
        return [{"user_id": f"u{rng.randrange(50)}", "product_id": f"p{n}", "category": "c",
                 "event_type": "view", "timestamp_ms": 1_700_000_000_000 + n} for n in range(count)]

    def check(self, events):
        counts, expected = {}, []
        for event in events:
            user = event["user_id"]
            counts[user] = counts.get(user, 0) + 1
            expected.append((user, counts[user]))
        found = [(v["user_id"], v["event_count"]) for v in self.values("user_recommendations")]
        self.assertEqual(sorted(found), sorted(expected))
        for user in counts:
            self.assertEqual([n for u, n in found if u == user], list(range(1, counts[user] + 1)))

    def check_in_any_order(self, events):
        self.check(sorted(events, key=lambda event: event["user_id"]))

    def test_counts_go_on_from_run_to_run(self):
        events = self.events(3000)
        for first in range(0, 3000, 1000):
            self.produce("user_events", events[first:first + 1000], "--key", "user_id")
            done = self.run_job("user_counts", "--input", "user_events", "--output",
                                "user_recommendations", "--workers", "2", "--epoch-ms", "5")
            self.assertEqual((done.stdout, done.stderr), ("", ""))
            self.check(events[:first + 1000])
        self.run_job("user_counts") # nothing new
        self.check(events)

    def test_keys_of_the_input_may_be_anything(self):
        events = self.events(1000)
        for first in range(0, 1000, 500):
            self.produce("user_events", events[first:first + 500])  # no keys: in any partition
            self.run_job("user_counts", "--partitioned-by", "false")
            self.check_in_any_order(events[:first + 500])

    def test_a_field_that_is_not_there_is_no_key(self):
        done = tool.run("user_counts", "--log", self.log, "--partitioned-by", "usr_id", expect=65)
        self.assertIn("did you mean 'user_id'", done.stderr)

    def test_state_may_be_lost_moved_to_memory_and_back(self):
        events = self.events(900)
        for turn in range(3):
            self.produce("user_events", events[turn * 300:turn * 300 + 300], "--key", "user_id")
            if turn == 1:
                tool.run("user_counts", "--log", self.log, "--until-end")
            else:
                self.run_job("user_counts")
                shutil.rmtree(self.state)
        self.check(events)

    def test_numbers_are_users_too_and_fields_may_be_missing(self):
        self.produce("user_events", [{"user_id": 7, "timestamp_ms": 1},
                                     {"user_id": "7", "timestamp_ms": 2, "extra": {"a": []}}],
                     "--key", "user_id")
        self.run_job("user_counts")
        self.assertEqual(self.values("user_recommendations"), [
            {"user_id": "7", "event_count": 1}, {"user_id": "7", "event_count": 2}])

    def test_what_is_no_event_goes_to_dead_letters(self):
        self.produce("user_events", [{"user_id": "a"}, {"user_id": "a", "timestamp_ms": "x"},
                                     {"user_id": "a", "timestamp_ms": 5}], "--partitions", "1")
        tool.run("leat", "produce", "--log", self.log, "user_events", "--raw", stdin=b"\xff{oops\n")
        done = self.run_job("user_counts")
        self.assertEqual(done.stderr.count("record goes to the dead letters"), 1, done.stderr)
        self.assertEqual(self.values("user_recommendations"), [{"user_id": "a", "event_count": 1}])
        dead = self.values("dead-letters")
        self.assertEqual([(d["topic"], d["offset"], d["error"]) for d in dead],
                         [("user_events", n, "LEAT_EDATA") for n in (0, 1, 3)])
        self.assertIn("timestamp_ms", dead[0]["reason"])

    def test_a_missing_input_topic_is_made(self):
        self.run_job("user_counts", "--input", "fresh")
        rows = tool.json_lines(tool.run("leat", "topics", "--log", self.log, "--json").stdout)
        self.assertIn(("fresh", 4), [(row["topic"], row["partitions"]) for row in rows])

    def test_a_closed_stderr_or_stdin_is_no_problem(self):
        self.produce("user_events", self.events(100), "--key", "user_id")
        done = subprocess.run([tool.program("user_counts"), "--log", self.log, "--until-end"],
                              stdin=subprocess.DEVNULL, check=False, close_fds=True,
                              preexec_fn=lambda: (os.close(0), os.close(2)))
        self.assertEqual(done.returncode, 0)
        self.check(self.events(100))


class ClickCounts(ExampleCase):
    before_1970 = True # the log keeps such timestamps

    def click(self, second, page="/"):
        return {"ts_ms": second * 1000, "user": "ann", "page": page}

    def counts(self):
        return sorted((v["page"], v["minute_ms"] // 1000, v["clicks"]) for v in
                      self.values("click_counts"))

    def test_clicks_are_counted_per_page_and_minute(self):
        early = [("/", -60, 1)] if self.before_1970 else []
        self.produce("clicks", [self.click(s, p) for s, p in
                                ((0, "/"), (59, "/"), (60, "/"), (-1 if early else 1, "/"),
                                 (30, "/a"), (200, "/a"))])
        self.run_job("click_counts")
        self.assertEqual(self.counts(), [])  # W5: the next run goes on with the open minutes
        self.run_job("click_counts", "--drain")
        self.assertEqual(self.counts(), early + [
            ("/", 0, 3 - len(early)), ("/", 60, 1), ("/a", 0, 1), ("/a", 180, 1)])

    def test_clicks_that_lie_by_page_need_no_exchange(self):
        self.produce("clicks", [self.click(s, p) for s, p in ((0, "/"), (59, "/"), (30, "/a"))],
                     "--key", "page")
        self.run_job("click_counts", "--partitioned-by", "page", "--drain")
        self.assertEqual(self.counts(), [("/", 0, 2), ("/a", 0, 1)])
        self.assertNotIn("stage 1", tool.run("click_counts", "--log", self.log, "--explain",
                                             "--partitioned-by", "page").stdout)

    def test_late_clicks_correct_the_count_or_go_to_a_topic_of_their_own(self):
        self.produce("clicks", [self.click(10), self.click(80)], "--partitions", "1")
        self.run_for_a_while("click_counts", "click-counts", 2)
        self.assertEqual(self.counts(), [("/", 0, 1)])
        self.produce("clicks", [self.click(20), self.click(100)]) # within 30 s of lateness
        self.run_for_a_while("click_counts", "click-counts", 4)
        self.assertEqual(self.counts(), [("/", 0, 1), ("/", 0, 2)])
        self.produce("clicks", [self.click(30)]) # the watermark stands at 98 s, beyond 60 + 30 s
        self.run_for_a_while("click_counts", "click-counts", 5)
        self.assertEqual(self.counts(), [("/", 0, 1), ("/", 0, 2)])
        self.assertEqual(self.values("late_clicks"), [self.click(30)])
        self.run_job("click_counts", "--drain") # ends the open minute
        self.assertEqual(self.counts()[-1], ("/", 60, 2))

    def test_batches_are_counted_as_one_and_behind_a_drain_a_line_says_so(self):
        for batch in ((30, 31, 61), (59.5, 60.5)):
            self.produce("clicks", [self.click(s) for s in batch], "--partitions", "1")
            done = self.run_job("click_counts")
            self.assertNotIn("drained", done.stderr)
        self.assertEqual(self.counts(), [])
        self.assertNotIn("drained", self.run_job("click_counts", "--drain").stderr)
        self.assertEqual(self.counts(), [("/", 0, 3), ("/", 60, 2)])
        self.assertEqual(self.values("late_clicks"), [])
        self.assertNotIn("drained", self.run_job("click_counts", "--drain").stderr)
        self.produce("clicks", [self.click(100)])
        done = self.run_job("click_counts")
        self.assertIn("goes on where it was drained (clicks partition 0)", done.stderr)
        self.produce("clicks", [self.click(101)])
        self.assertNotIn("drained", self.run_job("click_counts").stderr)

    def test_a_drain_without_an_end_is_refused(self):
        done = tool.run("click_counts", "--log", self.log, "--drain", expect=64)
        self.assertIn("--until-end", done.stderr)


class CartReminder(ExampleCase):
    def event(self, minute, user, kind, item=None):
        return {"ts_ms": minute * 60_000, "user": user, "kind": kind, "item": item}

    def test_a_cart_left_alone_is_reminded_of_once(self):
        self.produce("shop_events", [
            self.event(0, "ann", "cart", "shoe"), self.event(20, "ann", "cart", "hat"),
            self.event(0, "bob", "cart", "tie"), self.event(10, "bob", "buy"),
            self.event(25, "cem", "cart", "bag"), self.event(26, "cem", "view"),
            self.event(51, "dan", "view")], "--key", "user", "--partitions", "1")
        self.run_for_a_while("cart_reminder", "cart-reminder", 7)
        ann = {"user": "ann", "last_item": "hat", "item_count": 2}
        self.assertEqual(self.values("cart_reminders"), [ann])
        self.produce("shop_events", [self.event(54, "cem", "buy"), self.event(99, "dan", "view")],
                     "--key", "user")
        self.run_job("cart_reminder", "--drain")
        self.assertEqual(self.values("cart_reminders"), [ann])

    def test_a_drain_fires_what_is_set(self):
        self.produce("shop_events", [self.event(0, "ann", "cart", "shoe")], "--key", "user")
        self.run_job("cart_reminder")
        self.assertEqual(self.values("cart_reminders"), [])
        self.run_job("cart_reminder", "--drain")
        self.assertEqual(self.values("cart_reminders"),
                         [{"user": "ann", "last_item": "shoe", "item_count": 1}])

    def test_keys_of_the_input_may_be_anything(self):
        self.produce("shop_events", [self.event(0, "ann", "cart", "shoe")], "--key", "item")
        self.produce("shop_events", [self.event(9, "ann", "cart", "hat")], "--key", "item")
        self.run_job("cart_reminder", "--partitioned-by", "false", "--drain")
        self.assertEqual([(v["user"], v["item_count"]) for v in self.values("cart_reminders")],
                         [("ann", 2)])

    def test_a_bad_event_changes_nothing(self):
        self.produce("shop_events", [self.event(0, "ann", "cart", "shoe"),
                                     self.event(1, "ann", "cart")], "--key", "user")
        self.run_job("cart_reminder", "--drain")
        self.assertEqual([v["item_count"] for v in self.values("cart_reminders")], [1])
        self.assertEqual(self.values("dead-letters")[0]["reason"], "a cart event without an item")


if __name__ == "__main__":
    unittest.main()
