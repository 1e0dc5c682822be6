"""Bytes that earlier versions have written (tests/upgrade/data/VERSION, made by make.py): today's
programs open them, go on with the rest of the input, and everything together equals the fold.

    as it was left            state directory and log
    without the state         from the log's changelog alone
    from the snapshot         no state directory, but its newest snapshot
"""
import json
import os
import shutil
import tarfile
import tempfile
import time
import unittest

from programs import HERE, Programs, tool
import cases

DATA = os.path.join(HERE, "data")
TESTS = os.path.join(os.path.dirname(tool.BIN), "tests")
MINUTE_S = 60
OF_ANOTHER_JOB = 65


FOLDERS = [tool.BIN, os.path.join(tool.BIN, "examples"), TESTS]


class Stored:
    """One archive, unpacked."""

    def __init__(self, path, folder):
        with tarfile.open(path) as archive:
            archive.extractall(folder)
        self.world = cases.World(folder)
        for name in ("expected", "about"):
            with open(self.world.path(f"{name}.json"), encoding="utf-8") as file:
                setattr(self.world, name, json.load(file))
        with open(self.world.path("rest.jsonl"), encoding="utf-8") as file:
            self.rest = tool.json_lines(file.read())
        name = os.path.basename(path).removeprefix("kafka-")
        self.case = cases.CASES[name.rsplit("-", 1)[0]]

    def programs(self):
        """Today's, a minute after the version stopped."""
        shift_s = self.world.about["made_s"] + MINUTE_S - int(time.time())
        return Programs(FOLDERS, shift_s, os.path.join(TESTS, "libupgrade_clock.so"))


def archives(log=""):
    """Those of the embedded log, or with their names' beginning of another."""
    for version in sorted(os.listdir(DATA)):
        for name in sorted(os.listdir(os.path.join(DATA, version))):
            if name.endswith(".tar.xz") and name.startswith("kafka-") == (log == "kafka-"):
                yield version, name, os.path.join(DATA, version, name)


class Upgrade(unittest.TestCase):
    def each(self, prepare, wanted=lambda case: True):
        count = 0
        for version, name, path in archives():
            with self.subTest(f"{version} {name}"), tool.Folder("upgrade") as folder:
                stored = Stored(path, folder)
                if not wanted(stored.case):
                    continue
                count += 1
                state = prepare(stored.world)
                stored.case.go_on(stored.programs(), stored.world, stored.rest, state)
        self.assertGreater(count, 0)

    def test_as_it_was_left(self):
        self.each(lambda world: True)

    def test_without_the_state_directory(self):
        def prepare(world):
            self.assertTrue(os.listdir(world.path("state")))
            shutil.rmtree(world.path("state"))
            shutil.rmtree(world.path("snapshots"), ignore_errors=True)
            return False
        self.each(prepare)

    def test_from_the_snapshot(self):
        def prepare(world):
            self.assertTrue(any("snapshot-" in folder
                                for folder, _, _ in os.walk(world.path("snapshots"))))
            shutil.rmtree(world.path("state"))
            return True
        self.each(prepare, lambda case: case.snapshots)


class Changed(Upgrade):
    """Today's program has operators with state, keys and a filter before the old ones (S6)."""

    def setUp(self):
        self.addCleanup(setattr, cases.Shop, "program", cases.Shop.program)
        cases.Shop.program = "upgrade_shop_changed"

    def each(self, prepare, wanted=lambda case: True):
        super().each(prepare, lambda case: isinstance(case, cases.Shop))

    test_from_the_snapshot = None


class Renamed(unittest.TestCase):
    """A name that is changed together with the version (S6): the start is refused, writes no output
    and harms nothing; the command that it names gives the old one up."""

    def refused(self, program, old):
        count = 0
        for version, name, path in archives():
            with self.subTest(f"{version} {name}"), tool.Folder("upgrade") as folder:
                stored = Stored(path, folder)
                if not isinstance(stored.case, cases.Shop):
                    continue
                count += 1
                self.refused_once(stored, program, old)
                stored.case.go_on(stored.programs(), stored.world, stored.rest)
        self.assertGreater(count, 0)

    def refused_once(self, stored, program, old):
        programs, world = stored.programs(), stored.world
        before = programs.topic(world.log, "visits")
        command = [program, *stored.case.command(world, True)[1:]]
        said = programs.run(*command, expect=OF_ANOTHER_JOB).stderr
        self.assertIn("if it was renamed give it the old name", said)
        drop = f"leat operators --log {world.log} --drop {old} shop"
        self.assertIn(drop, said)
        self.assertEqual(programs.topic(world.log, "visits"), before)
        return command, drop

    def given_up(self, program, old):
        path = os.path.join(DATA, "75d99c2", "shop-memory-term.tar.xz")
        with tool.Folder("upgrade") as folder:
            stored = Stored(path, folder)
            command, drop = self.refused_once(stored, program, old)
            programs, log = stored.programs(), stored.world.log
            before = len(programs.topic(log, "visits"))
            programs.run(*drop.split())
            programs.produce(log, stored.case.topic, stored.rest, stored.case.key)
            programs.run(*command)
            self.assertGreater(len(programs.topic(log, "visits")), before)

    def test_an_operator(self):
        self.refused("upgrade_shop_operator_renamed", "visit")

    def test_an_operator_given_up(self):
        self.given_up("upgrade_shop_operator_renamed", "visit")

    def test_a_slot(self):
        self.refused("upgrade_shop_slot_renamed", "visit/tally")

    def test_a_timer(self):
        self.refused("upgrade_shop_timer_renamed", "visit/timer:quiet")

    def test_a_timer_given_up(self):
        self.given_up("upgrade_shop_timer_renamed", "visit/timer:quiet")

    def test_a_slot_given_up(self):
        self.given_up("upgrade_shop_slot_renamed", "visit/tally")


class TheClock(unittest.TestCase):
    def test_programs_believe_that_it_is_then(self):
        with tempfile.TemporaryDirectory() as folder:
            then = Programs([tool.BIN], -10**9, os.path.join(TESTS, "libupgrade_clock.so"))
            log = "embedded:" + folder
            then.produce(log, "t", ["{}"], None)
            found_ms = then.topic(log, "t")[0]["timestamp"]
            self.assertLess(abs(found_ms / 1000 + 10**9 - time.time()), 60)


if __name__ == "__main__":
    unittest.main()
