"""The `leat` tool as a user meets it: what each command prints, and how it says no."""
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
import unittest
import unittest.mock

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import tool  # noqa: E402

COMMANDS = ("topics", "produce", "consume", "offsets", "state", "reset", "explain", "version")


class ToolCase(unittest.TestCase):
    def setUp(self):
        folder = tool.Folder("tool")
        self.dir = folder.path
        self.addCleanup(folder.__exit__, None, None, None)
        self.log = "embedded:" + os.path.join(self.dir, "log")

    def leat(self, *arguments, **others):
        return tool.run("leat", *arguments, **others)

    def says_no(self, done, *parts):
        """One line on stderr, with the program's name and all the parts."""
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        self.assertTrue(done.stderr.startswith("leat"), done.stderr)
        for part in parts:
            self.assertIn(part, done.stderr)

    def produce(self, lines, *arguments, topic="t", **others):
        text = "".join(line + "\n" for line in lines).encode()
        return self.leat("produce", "--log", self.log, topic, *arguments, stdin=text, **others)

    def consume(self, topic="t", *arguments):
        return tool.consume(self.log, topic, *arguments)


class Help(ToolCase):
    def test_every_command_explains_itself_with_examples(self):
        for command in COMMANDS:
            for arguments in ((command, "--help"), ("help", command), (command, "-h")):
                text = self.leat(*arguments).stdout
                self.assertIn(f"usage: leat {command}", text)
                self.assertIn("examples\n  leat " + command, text)
        for arguments in (("--help",), ("-h",), ("help",)):
            text = self.leat(*arguments).stdout
            for command in COMMANDS:
                self.assertIn(f"\n  {command} ", text)

    def test_a_slip_of_the_finger_is_answered_with_the_right_word(self):
        for arguments, word in ((("prduce",), "produce"), (("topics", "--lgo", "x"), "--log"),
                                (("consume", "--until-en", "t"), "--until-end")):
            self.says_no(self.leat(*arguments, expect=64), f"did you mean '{word}'")

    def test_wrong_command_lines_are_64(self):
        for arguments in ((), ("frobnicate",), ("produce", "t"), ("produce", "--log", self.log),
                          ("consume", "--log"), ("consume", "--log", self.log, "t", "u"),
                          ("topics", "--log", self.log, "--partitions", "many"),
                          ("topics", "--log", self.log, "--partitions", "-1"),
                          ("topics", "--log", self.log, "--json=yes"),
                          ("topics", "--log", self.log, "-x"),
                          ("topics", "--log", self.log, "--create", "a", "--delete", "a"),
                          ("topics", "--log", self.log, "--create", "a", "--partitions", "0"),
                          ("topics", "--log", self.log, "--partitions", "2"),
                          ("topics", "--log", self.log, "--clean", "--compacted"),
                          ("topics", "--log", "nothing"), ("topics", "--log", "kafka"),
                          ("consume", "--log", self.log, "--max", "1e9", "t"),
                          ("produce", "--log", self.log, "--raw", "--key", "a", "t"),
                          ("offsets",), ("state",), ("explain", "--log", "x:y")):
            self.says_no(self.leat(*arguments, expect=64))

    def test_options_stand_anywhere_and_take_an_equals_sign(self):
        self.leat("topics", f"--log={self.log}", "--partitions=3", "--create=t")
        self.produce(['{"a":1}'])
        done = self.leat("consume", "t", "--until-end", "--log", self.log)
        self.assertEqual(done.stdout, '{"a":1}\n')

    def test_version(self):
        self.assertRegex(self.leat("version").stdout, r"^leat \d+\.\d+\.\d+\n$")
        self.assertEqual(self.leat("--version").stdout, self.leat("version").stdout)
        self.assertIn("version", json.loads(self.leat("version", "--json").stdout))


class Topics(ToolCase):
    def test_create_list_delete(self):
        self.leat("topics", "--log", self.log, "--create", "events", "--partitions", "4",
                  "--retention-ms", "60000", "--retention-bytes", "1000000")
        self.leat("topics", "--log", self.log, "--create", "latest", "--compacted")
        rows = tool.json_lines(self.leat("topics", "--log", self.log, "--json").stdout)
        self.assertEqual(rows, [
            {"topic": "events", "partitions": 4, "records": 0, "appended": 0, "compacted": False,
             "retention_ms": 60000, "retention_bytes": 1000000},
            {"topic": "latest", "partitions": 1, "records": 0, "appended": 0, "compacted": True,
             "retention_ms": None, "retention_bytes": None}])
        self.leat("topics", "--log", self.log, "--delete", "latest")
        table = self.leat("topics", "--log", self.log).stdout
        self.assertIn("events", table)
        self.assertNotIn("latest", table)

    def test_refusals(self):
        self.leat("topics", "--log", self.log, "--create", "events")
        self.says_no(self.leat("topics", "--log", self.log, "--create", "events", expect=73),
                     "'events' exists already")
        self.says_no(self.leat("topics", "--log", self.log, "--delete", "evens", expect=72),
                     "did you mean 'events'")
        self.says_no(self.leat("topics", "--log", self.log, "--create", "a/b", expect=64))
        self.says_no(self.leat("topics", "--log", self.log + "x", expect=72), "there is no log in")

    def test_cleaning_keeps_the_latest_of_each_key(self):
        self.leat("topics", "--log", self.log, "--create", "t", "--compacted")
        self.produce(['{"k":%d,"n":%d}' % (n % 3, n) for n in range(3000)], "--key", "k")
        self.leat("topics", "--log", self.log, "--clean")
        self.assertEqual(sorted(r["value"]["n"] for r in self.consume()), [2997, 2998, 2999])
        row = json.loads(self.leat("topics", "--log", self.log, "--json").stdout)
        self.assertEqual(row["appended"], 3000)

    def test_a_log_without_topics_says_how_to_make_one(self):
        self.leat("topics", "--log", self.log, "--create", "t")
        self.leat("topics", "--log", self.log, "--delete", "t")
        self.assertIn("--create", self.leat("topics", "--log", self.log).stdout)
        self.assertEqual(self.leat("topics", "--log", self.log, "--json").stdout, "")


class Produce(ToolCase):
    def test_a_line_is_a_record_and_keys_are_fields_as_text(self):
        done = self.produce(['{"k":"a b","n":1}', '{"k":7}', '{"k":true}', '{"k":"\\u00e9"}'],
                            "--key", "k", "--partitions", "1")
        self.assertIn("topic t created with 1 partitions\n4 records appended to t", done.stderr)
        records = self.consume()
        self.assertEqual([record["key"] for record in records], ["a b", "7", "true", "é"])
        self.assertEqual([record["offset"] for record in records], [0, 1, 2, 3])
        self.assertEqual(records[0]["value"], {"k": "a b", "n": 1})
        self.assertLess(abs(records[0]["timestamp"] - time.time() * 1000), 60_000)

    def test_keys_choose_the_partition_as_kafka_does(self):
        known = {"user-1": None, "21": None, "foobar": None, "": None}
        sys.path.insert(0, os.path.join(tool.SOURCE, "tests", "crash"))
        import count_check
        self.produce([json.dumps({"k": key}) for key in known], "--key", "k", "--partitions", "7")
        for record in self.consume():
            self.assertEqual(record["partition"], count_check.partition_of(record["key"], 7))

    def test_without_a_key_partitions_take_turns(self):
        self.produce(['{"n":%d}' % n for n in range(40)], "--partitions", "4")
        counts = [sum(record["partition"] == p for record in self.consume()) for p in range(4)]
        self.assertEqual(counts, [10] * 4)

    def test_time_comes_from_a_field(self):
        self.produce(['{"at":-5}', '{"at":1700000000000}'], "--time", "at", "--partitions", "1")
        self.assertEqual([r["timestamp"] for r in self.consume()], [-5, 1700000000000])

    def test_a_bad_line_stops_and_says_where_and_what_is_in_the_topic(self):
        lines = ['{"k":1}', "", '{"k":2}', "{oops", '{"k":3}']
        done = self.produce(lines, "--key", "k", "--quiet", "--partitions", "1", expect=66)
        self.says_no(done, "stdin:4:", "not JSON", "2 records before it are in the topic",
                     "--skip-bad")
        self.assertEqual([r["value"]["k"] for r in self.consume()], [1, 2])

    def test_skip_bad_goes_on_and_counts(self):
        lines = ['{"k":1}', "[", '{"x":1}', '{"k":[1]}', '{"k":null}', '{"k":2}'] + ["!"] * 30
        done = self.produce(lines, "--key", "k", "--skip-bad", "--partitions", "1")
        self.assertEqual([r["value"]["k"] for r in self.consume()], [1, 2])
        for part in ("stdin:2:", "stdin:3: the key field 'k' is missing", "stdin:4:", "an array",
                     "further bad lines are only counted", "34 bad lines left out"):
            self.assertIn(part, done.stderr)

    def test_files_and_their_names(self):
        for name, text in (("a.jsonl", '{"n":1}\n{"n":2}'),
                           ("b.jsonl", '\ufeff{"n":3}\r\n\r\n{"n":\n')):
            with open(os.path.join(self.dir, name), "w", encoding="utf-8", newline="") as file:
                file.write(text)
        done = self.leat("produce", "--log", self.log, "t", os.path.join(self.dir, "a.jsonl"), "-",
                         os.path.join(self.dir, "b.jsonl"), "--partitions", "1", "--quiet",
                         stdin=b'{"n":9}', expect=66)
        self.says_no(done, "b.jsonl:3:")
        self.assertEqual([r["value"]["n"] for r in self.consume()], [1, 2, 9, 3])
        done = self.leat("produce", "--log", self.log, "t", "nowhere.jsonl", expect=72)
        self.says_no(done, "nowhere.jsonl", "No such file")

    def test_raw_lines_are_taken_as_they_are(self):
        self.produce(["plain", "", " x"], "--raw", "--partitions", "1")
        self.leat("produce", "--log", self.log, "t", "--raw", stdin=b"\xff\x00\n")
        self.assertEqual([r.get("value_text", r.get("value_base64")) for r in self.consume()],
                         ["plain", "", " x", "/wA="])

    def test_records_have_a_bound(self):
        long = '{"k":"%s"}' % ("x" * (1 << 20))
        done = self.produce([long], "--quiet", "--partitions", "1", expect=66)
        self.says_no(done, "1 MiB")
        self.produce(['{"k":"a"}', long, long + long, '{"k":"b"}'], "--skip-bad")
        self.assertEqual([r["value"]["k"] for r in self.consume()], ["a", "b"])

    def test_a_pausing_input_is_delivered_at_once(self):
        producer = tool.start("leat", "produce", "--log", self.log, "t", "--quiet",
                              stdin=subprocess.PIPE)
        producer.stdin.write(b'{"n":1}\n{"n":')
        producer.stdin.flush()
        until = time.monotonic() + tool.TIMEOUT_S
        while tool.run("leat", "consume", "--log", self.log, "t", "--until-end",
                       expect=None).stdout != '{"n":1}\n':
            self.assertLess(time.monotonic(), until, "the first line does not arrive")
        producer.communicate(b"2}")
        self.assertEqual(producer.returncode, 0)
        self.assertEqual([r["value"]["n"] for r in self.consume()], [1, 2])

    def test_progress_is_shown_on_a_terminal_only(self):
        ours, terminal = pty.openpty()
        producer = tool.start("leat", "produce", "--log", self.log, "t", "--raw",
                              stdin=subprocess.PIPE, stderr=terminal)
        os.close(terminal)
        shown, until = b"", time.monotonic() + tool.TIMEOUT_S
        while b" records, " not in shown:
            self.assertLess(time.monotonic(), until, shown)
            producer.stdin.write(b"x" * 99 + b"\n" + b"y\n" * 20_000)
            if select.select([ours], [], [], 0)[0]:
                shown += os.read(ours, 4096)
        producer.stdin.close()
        self.assertEqual(producer.wait(tool.TIMEOUT_S), 0)
        os.close(ours)
        done = self.leat("produce", "--log", self.log, "t", "--raw", stdin=b"x\n" * 100_000)
        self.assertEqual(len(done.stderr.splitlines()), 1)
        self.assertNotIn("\r", done.stderr)

    def test_all_of_a_large_input_is_there_in_order(self):
        count = 20_000 if tool.SANITIZED else 200_000
        self.produce(['{"u":"u%d","n":%d}' % (n % 97, n) for n in range(count)], "--key", "u")
        seen = {}
        for record in self.consume():
            value = record["value"]
            self.assertEqual(value["n"], seen.get(value["u"], value["n"] % 97 - 97) + 97)
            seen[value["u"]] = value["n"]
        self.assertEqual(sum(n // 97 + 1 for n in seen.values()), count)


class Consume(ToolCase):
    def setUp(self):
        super().setUp()
        self.produce(['{"k":%d}' % n for n in range(10)], "--key", "k", "--partitions", "1")

    def values(self, *arguments):
        done = self.leat("consume", "--log", self.log, "t", "--until-end", *arguments)
        return [row["k"] for row in tool.json_lines(done.stdout)]

    def test_where_to_begin_and_end(self):
        self.assertEqual(self.values(), list(range(10)))
        self.assertEqual(self.values("--from", "end"), [])
        self.assertEqual(self.values("--from", "7"), [7, 8, 9])
        self.assertEqual(self.values("--from=-2"), [8, 9])
        self.assertEqual(self.values("--from", "-99"), list(range(10)))
        self.assertEqual(self.values("--from", "99"), [])
        self.assertEqual(self.values("--max", "3"), [0, 1, 2])
        self.assertEqual(self.values("--partition", "0", "--max", "1"), [0])

    def test_refusals(self):
        for arguments, code, part in ((("--partition", "1"), 64, "0 to 0"),
                                      (("--from", "noon"), 64, "'noon'")):
            done = self.leat("consume", "--log", self.log, "t", "--until-end", *arguments,
                             expect=code)
            self.says_no(done, part)
        self.says_no(self.leat("consume", "--log", self.log, "tt", "--until-end", expect=72),
                     "did you mean 't'")

    def test_without_until_end_it_follows_until_it_is_told_to_stop(self):
        with open(os.path.join(self.dir, "out"), "w+b") as out:
            follower = tool.start("leat", "consume", "--log", self.log, "t", "--from", "8",
                                  stdout=out)
            until = time.monotonic() + tool.TIMEOUT_S
            self.produce(['{"k":10}'])
            while os.fstat(out.fileno()).st_size < len('{"k":8}{"k":9}{"k":10}...'):
                self.assertLess(time.monotonic(), until, "the new record does not arrive")
                time.sleep(0.01)
            self.assertEqual(tool.end(follower, signal.SIGINT), 0)
            out.seek(0)
            self.assertEqual(out.read(), b'{"k":8}\n{"k":9}\n{"k":10}\n')

    def test_what_a_killed_reader_leaves_is_removed_by_a_later_one(self):
        scratch = os.path.join(self.dir, "scratch")
        os.mkdir(scratch)
        with unittest.mock.patch.dict(os.environ, {"TMPDIR": scratch}):
            readers = [tool.start("leat", "consume", "--log", self.log, "t",
                                  stdout=subprocess.PIPE) for _ in range(2)]
            for reader in readers:
                reader.stdout.readline()
            left = os.listdir(scratch)
            self.assertEqual(len(left), 2)
            for name in left:
                os.utime(os.path.join(scratch, name), (1, 1))
            readers[0].kill()
            readers[0].wait()
            self.leat("consume", "--log", self.log, "t", "--until-end")
            self.assertEqual(len(os.listdir(scratch)), 1)  # the other one still reads
            self.assertEqual(tool.end(readers[1], signal.SIGINT), 0)
            self.assertEqual(os.listdir(scratch), [])
        for reader in readers:
            reader.stdout.close()
            reader.stderr.close()

    def test_a_reader_that_goes_away_is_no_error(self):
        self.produce(['{"k":%d}' % n for n in range(100_000)])
        follower = tool.start("leat", "consume", "--log", self.log, "t", stdout=subprocess.PIPE)
        follower.stdout.readline()
        follower.stdout.close()
        follower.stdout = None
        self.assertEqual(follower.wait(tool.TIMEOUT_S), 0)
        follower.stderr.close()

    def test_a_full_output_is_told(self):
        with open("/dev/full", "wb") as full:
            for arguments in (("consume", "--log", self.log, "t", "--until-end"),
                              ("topics", "--log", self.log)):
                done = subprocess.run([tool.program("leat"), *arguments], stdout=full,
                                      stderr=subprocess.PIPE, text=True, check=False)
                self.assertIn(done.returncode, (28, 74), done.stderr)
                self.assertIn("stdout", done.stderr)


class WhileItOpens(ToolCase):
    def test_reading_sees_everything_that_was_acknowledged(self):
        """Opening, a writer moves what the last one left in its write-ahead log to other files."""
        for turn in range(3 if tool.SANITIZED else 25):
            self.log = "embedded:" + os.path.join(self.dir, str(turn))
            self.produce(['{"user_id":"u","timestamp_ms":1}'] * 30, topic="user_events")
            job = tool.start("user_counts", "--log", self.log)
            try:
                for _ in range(4):
                    rows = tool.json_lines(self.leat("topics", "--log", self.log, "--json").stdout)
                    self.assertEqual({row["topic"]: row["appended"] for row in rows}["user_events"],
                                     30)
            finally:
                tool.end(job, signal.SIGKILL)


class WithAJob(ToolCase):
    """A job that runs holds the log: one may look, not write."""

    def setUp(self):
        super().setUp()
        self.state = os.path.join(self.dir, "state")
        self.produce([json.dumps({"user_id": f"u{n % 3}", "timestamp_ms": n}) for n in range(30)],
                     "--key", "user_id", topic="user_events")
        self.job = tool.start("user_counts", "--log", self.log, "--state-dir", self.state)
        self.addCleanup(lambda: tool.end(self.job, signal.SIGKILL))
        until = time.monotonic() + tool.TIMEOUT_S
        while sum(tool.offsets(self.log, "user-counts").values()) != 30:
            self.assertLess(time.monotonic(), until, "the job does not commit")

    def test_reading_works(self):
        self.assertEqual(len(self.consume("user_recommendations")), 30)
        rows = tool.json_lines(self.leat("offsets", "--log", self.log, "--json").stdout)
        self.assertEqual({row["lag"] for row in rows}, {0})
        self.assertEqual(sum(row["offset"] for row in rows), 30)
        self.assertIn("user-counts", self.leat("offsets", "--log", self.log).stdout)
        row = json.loads(self.leat("explain", "--log", self.log, "--json").stdout)
        self.assertEqual((row["job"], row["inputs"][0]["read"], row["inputs"][0]["lag"]),
                         ("user-counts", 30, 0))
        self.assertGreater(row["state"][0]["epoch"], 0)
        self.assertIn("reads  user_events: 30 records",
                      self.leat("explain", "--log", self.log, "user-counts").stdout)

    def test_state_is_printed(self):
        found = tool.json_lines(self.leat("state", "--state-dir", self.state).stdout)
        self.assertEqual({(row["state"], row["key"], row["value"]["event_count"]) for row in found},
                         {("count/acc", f"u{n}", 10) for n in range(3)})
        one = self.leat("state", "--state-dir", self.state, "--key", "u1", "--state", "count/acc")
        self.assertEqual(len(tool.json_lines(one.stdout)), 1)

    def test_operators_are_listed_and_given_up(self): # S6
        rows = tool.json_lines(self.leat("operators", "--log", self.log, "user-counts",
                                         "--json").stdout)
        self.assertEqual(rows, [
            {"operator": name, "stored": stored, "stage": "count", "key": "user_id"}
            for name, stored in (("count", "state"), ("count/acc", "slot"))])
        self.leat("operators", "--log", self.log, "--drop", "count", "user-counts", expect=83)
        tool.end(self.job)
        self.says_no(self.leat("operators", "--log", self.log, "--drop", "cont", "user-counts",
                               expect=72), "nothing is stored")
        self.says_no(self.leat("operators", "--log", self.log, "--drop", "count/ac", "user-counts",
                               expect=72), "slot or timer")
        self.leat("operators", "--log", self.log, "--rekey", "count", "user-counts")
        self.assertIn("-", self.leat("operators", "--log", self.log, "user-counts").stdout)
        job = ("user_counts", "--log", self.log, "--state-dir", self.state, "--until-end")
        tool.run(*job)
        self.assertIn("user_id", self.leat("operators", "--log", self.log, "user-counts").stdout)
        self.leat("operators", "--log", self.log, "--drop", "count/acc", "user-counts")
        self.assertIn("give it another name", tool.run(*job, expect=65).stderr)
        self.leat("operators", "--log", self.log, "--drop", "count", "user-counts")
        self.assertIn("give the operator another name", tool.run(*job, expect=65).stderr)

    def test_a_job_is_reset_as_a_whole(self):  # R2, R16
        reset = ("reset", "--log", self.log, "user-counts")
        job = ("user_counts", "--log", self.log, "--state-dir", self.state, "--until-end")
        self.leat(*reset, expect=83)
        tool.end(self.job)
        self.leat("topics", "--log", self.log, "--delete", "user_events")
        self.produce([json.dumps({"user_id": f"u{n % 3}", "timestamp_ms": n}) for n in range(60)],
                     "--key", "user_id", topic="user_events")
        self.assertIn("leat reset", tool.run(*job, expect=76).stderr)
        before = self.leat("topics", "--log", self.log).stdout
        would = tool.json_lines(self.leat(*reset, "--dry-run", "--json").stdout)
        self.assertIn({"kind": "topic", "name": "user-counts-count-changelog"}, would)
        self.assertIn({"kind": "topic", "name": "user-counts-operators"}, would)
        self.assertEqual(self.leat("topics", "--log", self.log).stdout, before)
        self.assertEqual(tool.json_lines(self.leat(*reset, "--json").stdout), would)
        left = {row["topic"] for row in
                tool.json_lines(self.leat("topics", "--log", self.log, "--json").stdout)}
        self.assertEqual({name for name in left if name.startswith("user-counts")}, set())
        self.assertTrue({"user_events", "user_recommendations"} <= left)
        self.says_no(self.leat(*reset, expect=72), "kept anything")
        tool.run(*job)  # also where the state directory is still there
        found = tool.json_lines(self.leat("state", "--state-dir", self.state).stdout)
        self.assertEqual({(row["key"], row["value"]["event_count"]) for row in found},
                         {(f"u{n}", 20) for n in range(3)})

    def test_writing_goes_through_the_job_or_says_who_holds_the_log(self):
        self.leat("produce", "--log", self.log, "t", stdin=b'{"a":1}')
        self.assertEqual(self.leat("consume", "--log", self.log, "t", "--until-end").stdout,
                         '{"a":1}\n')
        self.leat("topics", "--log", self.log, "--create", "x")
        done = self.leat("topics", "--log", self.log, "--clean", expect=83)
        self.says_no(done, f"process {self.job.pid} (user_counts)")

    def test_unknown_jobs(self):
        for command in ("offsets", "explain"):
            done = self.leat(command, "--log", self.log, "user-count", expect=72)
            self.says_no(done, "did you mean 'user-counts'")
        for folder in (self.dir + "/no", self.dir):
            self.says_no(self.leat("state", "--state-dir", folder, expect=72), "no state of a job")


if __name__ == "__main__":
    unittest.main()
