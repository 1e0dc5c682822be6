"""Faults from outside: a full disk, a read-only directory, damaged files, a file-size limit.  Each
ends in one clear line and an exit code of its own (docs/exit-codes.md), and nothing acknowledged
is lost."""
import glob
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import tool  # noqa: E402

AS_ROOT = os.geteuid() == 0


def events(first, count):
    return [{"user_id": f"u{n % 20}", "product_id": n, "category": "x" * 200, "event_type": "view",
             "timestamp_ms": 1_700_000_000_000 + n} for n in range(first, first + count)]


def as_text(records):
    return "\n".join(map(json.dumps, records)).encode()


class FaultCase(unittest.TestCase):
    def setUp(self):
        folder = tool.Folder("fault")
        self.dir = folder.path
        self.addCleanup(folder.__exit__, None, None, None)
        self.place(self.dir)

    def place(self, folder):
        self.log_dir = os.path.join(folder, "log")
        self.state = os.path.join(folder, "state")
        self.log = "embedded:" + self.log_dir

    def one_line(self, done, code, *parts):
        self.assertEqual(done.returncode, code, done.stderr)
        self.assertEqual(len(done.stderr.strip().splitlines()), 1, done.stderr)
        for part in parts:
            self.assertRegex(done.stderr, part)

    def produce(self, records, expect=0, **others):
        return tool.run("leat", "produce", "--log", self.log, "user_events", "--key", "user_id",
                        "--quiet", stdin=as_text(records), expect=expect, **others)

    def count(self, *arguments, expect=0, **others):
        return tool.run("user_counts", "--log", self.log, "--state-dir", self.state, "--until-end",
                        *arguments, expect=expect, **others)

    def numbers(self):
        return sorted(r["value"]["product_id"] for r in tool.consume(self.log, "user_events"))

    def check_counts(self):
        """Counts are the fold of what is in the input topic."""
        expected, found = {}, {}
        for record in tool.consume(self.log, "user_events"):
            user = record["value"]["user_id"]
            expected[user] = expected.get(user, 0) + 1
        for record in tool.consume(self.log, "user_recommendations"):
            value = record["value"]
            self.assertEqual(value["event_count"], found.get(value["user_id"], 0) + 1)
            found[value["user_id"]] = value["event_count"]
        self.assertEqual(found, expected)


class FullDisk(FaultCase):
    """A small file system of its own, made larger after it was full."""

    def setUp(self):
        super().setUp()
        self.disk = os.path.join(self.dir, "disk")
        os.mkdir(self.disk)
        made = AS_ROOT and subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6m", "leat-test",
                                           self.disk], capture_output=True, check=False)
        if not made or made.returncode != 0:
            self.skipTest("a small file system can be mounted by root only")
        self.addCleanup(lambda: subprocess.run(["umount", "-l", self.disk], check=False))
        self.place(self.disk)

    def enlarge(self):
        subprocess.run(["mount", "-o", "remount,size=300m", self.disk], check=True)

    def fill(self):
        """Batches until one does not fit; what was acknowledged, and what was refused."""
        first = 0
        while True:
            batch = events(first, 4000)
            done = self.produce(batch, expect=None)
            if done.returncode != 0:
                return first, done
            first += len(batch)
            self.assertLess(first, 400_000, "the disk never fills")

    def test_produce_says_so_and_loses_nothing_that_it_acknowledged(self):
        acknowledged, done = self.fill()
        self.one_line(done, 28, "[Nn]o space left")
        self.enlarge()
        there = self.numbers()
        self.assertEqual(there[:acknowledged], list(range(acknowledged)))
        again = len(there)
        self.produce(events(again, 4000))
        self.assertEqual(self.numbers(), list(range(again + 4000)))

    def test_a_job_says_so_and_goes_on_when_there_is_room(self):
        self.produce(events(0, 4000))
        with open(os.path.join(self.disk, "ballast"), "wb", buffering=0) as ballast:
            self.top_up(ballast, leave=200 << 10)
            job = tool.start("user_counts", "--log", self.log, "--state-dir", self.state)
            while job.poll() is None: # what the job sets free is taken again
                self.top_up(ballast, leave=0)
        self.one_line(tool.ended(job), 28, "[Nn]o space left")
        os.unlink(ballast.name)
        self.enlarge()
        self.count()
        self.check_counts()

    def top_up(self, ballast, leave):
        room = os.statvfs(self.disk)
        try:
            ballast.write(b"x" * max(0, room.f_bavail * room.f_frsize - leave))
        except OSError:
            pass

    def test_nothing_at_all_can_be_written(self):
        with open(os.path.join(self.disk, "ballast"), "wb", buffering=0) as ballast:
            try:
                while True:
                    ballast.write(b"x" * (64 << 10))
            except OSError:
                pass
        self.one_line(self.produce(events(0, 10), expect=None), 28, "[Nn]o space left")
        self.one_line(self.count(expect=None), 28, "[Nn]o space left")


class ReadOnly(FaultCase):
    def setUp(self):
        super().setUp()
        os.chmod(self.dir, 0o755)
        self.others = tool.bound_by_modes()

    def forbid(self, path):
        for folder, _, names in os.walk(path):
            for name in names:
                os.chmod(os.path.join(folder, name), 0o444)
            os.chmod(folder, 0o555)
        self.addCleanup(lambda: subprocess.run(["chmod", "-R", "u+rwX", path], check=False))

    def test_a_directory_that_may_not_be_written_is_77(self):
        self.produce(events(0, 100))
        self.count()
        self.forbid(self.log_dir)
        for done in (self.produce(events(100, 10), expect=None, **self.others),
                     self.count(expect=None, **self.others)):
            self.one_line(done, 77, "[Pp]ermission denied", re.escape(self.log_dir))
        done = tool.run("leat", "consume", "--log", self.log, "user_events", "--until-end",
                        **self.others) # looking is allowed
        self.assertEqual(len(done.stdout.splitlines()), 100)

    def test_a_parent_that_may_not_be_written_is_77(self):
        self.forbid(self.dir)
        self.one_line(self.produce(events(0, 1), expect=None, **self.others), 77,
                      "[Pp]ermission denied")

    def test_a_state_directory_that_may_not_be_written_is_77(self):
        self.produce(events(0, 100))
        self.count()
        self.forbid(self.state)
        subprocess.run(["chmod", "-R", "a+rwX", self.log_dir], check=True)
        self.one_line(self.count(expect=None, **self.others), 77, "[Pp]ermission denied",
                      re.escape(self.state))

    def test_a_file_where_a_directory_is_wanted(self):
        with open(os.path.join(self.dir, "file"), "w", encoding="utf-8") as file:
            file.write("not a log")
        for name in ("file", "file/log"):
            done = tool.run("leat", "topics", "--log", f"embedded:{self.dir}/{name}", "--create",
                            "t",
                            expect=None)
            self.one_line(done, 74, re.escape(name))


class Damage(FaultCase):
    def setUp(self):
        super().setUp()
        self.produce(events(0, 5000))

    def damage(self, folder, pattern, how):
        files = sorted(glob.glob(os.path.join(folder, pattern)), key=os.path.getsize)
        self.assertTrue(files, f"no {pattern} in {folder}: {os.listdir(folder)}")
        path = files[-1]
        with open(path, "r+b") as file:
            how(file, os.path.getsize(path))
        return path

    @staticmethod
    def truncate(file, size):
        file.truncate(size // 2)

    @staticmethod
    def garble(file, size):
        file.seek(size // 3)
        file.write(os.urandom(min(4096, size // 3)))

    def test_a_damaged_log_is_76_and_names_the_directory(self):
        whole = shutil.copytree(self.log_dir, os.path.join(self.dir, "copy"))
        for pattern, how in (("*.log", self.truncate), ("*.log", self.garble),
                             ("MANIFEST-*", self.garble), ("MANIFEST-*", self.truncate)):
            shutil.rmtree(self.log_dir)
            shutil.copytree(whole, self.log_dir)
            self.damage(self.log_dir, pattern, how)
            with self.subTest(pattern=pattern, how=how.__name__):
                self.one_line(self.produce(events(0, 1), expect=None), 76, re.escape(self.log_dir))
                self.one_line(self.count(expect=None), 76)

    def test_a_creation_that_was_killed_is_no_log_yet(self):
        shutil.rmtree(self.log_dir)
        os.mkdir(self.log_dir)
        for killed_after_s in (0.002, 0.004, 0.006, 0.008, 0.01, 0.012, 0.015, 0.02):
            maker = tool.start("leat", "topics", "--log", self.log, "--create", "t")
            time.sleep(killed_after_s)
            tool.end(maker, signal.SIGKILL)
            done = tool.run("leat", "topics", "--log", self.log, expect=None)
            if done.returncode != 0:
                self.one_line(done, 72, "there is no log in")
            shutil.rmtree(self.log_dir, ignore_errors=True)
        os.mkdir(self.log_dir)
        self.produce(events(0, 10)) # an empty directory, too, becomes a log

    def test_a_log_without_its_table_of_contents_is_76(self):
        os.unlink(os.path.join(self.log_dir, "CURRENT"))
        self.one_line(self.produce(events(0, 1), expect=None), 76, "CURRENT")

    def test_damaged_data_files_are_noticed_when_they_are_read(self):
        for _ in range(3): # each opening moves what was in the write-ahead log to a data file
            self.produce(events(5000, 2000))
        self.damage(self.log_dir, "*.sst", self.garble)
        done = tool.run("leat", "consume", "--log", self.log, "user_events", "--until-end",
                        expect=None)
        self.one_line(done, 76)
        self.one_line(self.count(expect=None), 76)

    def test_a_directory_of_something_else_is_refused_and_left_alone(self):
        other = os.path.join(self.dir, "photos")
        os.mkdir(other)
        with open(os.path.join(other, "cat.jpg"), "wb") as file:
            file.write(b"meow")
        done = tool.run("leat", "topics", "--log", "embedded:" + other, "--create", "t",
                        expect=None)
        self.one_line(done, 64, "not a log")
        self.assertEqual(os.listdir(other), ["cat.jpg"])

    def test_damaged_state_is_76_and_is_rebuilt_from_the_log(self):
        self.count()
        self.damage(self.state, "MANIFEST-*", self.garble)
        self.one_line(self.count(expect=None), 76, re.escape(self.state), "changelog")
        shutil.rmtree(self.state)
        self.count()
        self.check_counts()

    def test_the_state_may_lose_its_last_writes_for_the_log_has_them(self):
        for how in (self.truncate, self.garble):
            self.count()
            self.damage(self.state, "*.log", how)
            self.produce(events(6000, 3000))
            with self.subTest(how=how.__name__):
                self.count()
                self.check_counts()

    def test_state_of_another_log_is_built_anew(self):
        """R13: what its changelog does not have is not its copy."""
        self.count()
        self.log = self.log + "-other"
        self.produce(events(0, 10))
        self.assertIn("built anew", self.count().stderr)
        self.check_counts()


class FileSizeLimit(FaultCase):
    """ulimit -f: a write that fails in the middle, without a small file system."""

    def test_nothing_acknowledged_is_lost(self):
        def limited():
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
        self.produce(events(0, 500))
        done = self.produce(events(500, 20_000), expect=None, preexec_fn=limited)
        self.one_line(done, 28, "File too large", "limit on file sizes")
        there = self.numbers()
        self.assertEqual(there, list(range(len(there))))
        self.assertGreaterEqual(len(there), 500)
        self.assertIn(self.count(expect=None, preexec_fn=limited).returncode, (0, 28))
        self.count()
        self.check_counts()


if __name__ == "__main__":
    unittest.main()
