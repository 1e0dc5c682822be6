"""A world is given up for what a broker says that it left open, and for nothing else; it is told,
played again, and too many of them are a failure.  Made-up logs; no broker, no job."""
import contextlib
import io
import json
import os
import subprocess
import sys
import tempfile
import unittest
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import hanging  # noqa: E402
import run  # noqa: E402
import tool  # noqa: E402
import works  # noqa: E402
import world as worlds  # noqa: E402


def line(*places, of="w0-relay/a", collection="HashSet"):
    """As Kafka 4.3.1 writes it."""
    return ("15:30:58.220 [transaction-log-manager-0] INFO kafka.coordinator.transaction."
            "TransactionMarkerChannelManager - [Transaction Marker Channel Manager 1]: Couldn't "
            f"find leader endpoint for partitions {collection}({', '.join(places)}) while trying "
            f"to send transaction markers for {of}, these partitions are likely deleted already "
            "and hence can be skipped\n")


class WhatTheBrokerSays(unittest.TestCase):
    def judged(self, places, *lines):
        return hanging.is_the_brokers(set(places), ["a line about something else\n", *lines],
                                      "w0-")

    def test_what_hangs_was_given_up(self):
        self.assertTrue(self.judged({"w0-relayed-1"}, line("w0-relayed-1", "w0-relayed-2")))
        self.assertTrue(self.judged({"w0-relayed-1"}, line("w0-relayed-1", collection="Set")))

    def test_in_several_lines(self):
        self.assertTrue(self.judged({"w0-relayed-1", "__consumer_offsets-3"},
                                    line("w0-relayed-1"), line("__consumer_offsets-3")))

    def test_nothing_hangs(self):
        self.assertFalse(self.judged(set(), line("w0-relayed-1")))

    def test_no_line(self):
        self.assertFalse(self.judged({"w0-relayed-1"}))

    def test_something_hangs_that_no_line_names(self):
        self.assertFalse(self.judged({"w0-relayed-1", "w0-relayed-2"}, line("w0-relayed-1")))
        self.assertFalse(self.judged({"w0-relayed-1"}, line("w0-relayed-11")))

    def test_the_line_is_about_another_world(self):
        self.assertFalse(self.judged({"__consumer_offsets-3"},
                                     line("__consumer_offsets-3", of="w01-relay/a")))


class WhatIsOpen(unittest.TestCase):
    def test_it_hangs_where_nothing_becomes_stable(self):
        before = {"hangs-0": (3, 9), "ends-0": (3, 9), "goes-on-0": (3, 9), "still-0": (9, 9)}
        after = {"hangs-0": (3, 12), "ends-0": (9, 9), "goes-on-0": (8, 12), "still-0": (9, 9)}
        self.assertEqual(hanging.still_open(before, after), {"hangs-0"})

    def test_what_is_not_there_any_more_does_not_hang(self):
        self.assertEqual(hanging.still_open({"gone-0": (3, 9)}, {}), set())


class Broker:
    """A broker as far as a world knows it: a log."""
    bootstrap = "127.0.0.1:0"

    def __init__(self, folder, *lines, life=""):
        self.path = os.path.join(folder, "log")
        with open(self.path + life, "w", encoding="utf-8") as file:
            file.writelines(lines)

    def describe(self):
        return {"brokers": [{"log": self.path}]}


class World(worlds.World):
    """One whose job gets on no more: a transaction is open on partition 1."""

    def __init__(self, broker):  # pylint: disable=super-init-not-called
        self.broker, self.prefix, self.dump_timeout_s = broker, "w0-", 0
        self.work, self.output, self.jobs = works.Relay, "relayed", {}
        self.loader, self.follower = mock.Mock(), mock.Mock()
        self.loader.sync.return_value = 10
        self.follower.live.total = self.follower.wait_for.return_value = 4

    def dump(self, topic, *arguments, prefix=None):
        open_here = topic == self.output
        return [{"partition": p, "stable": 4, "end": 10 if open_here and p == 1 else 4}
                for p in range(2)]

    def what_hangs(self, seconds_apart=0):
        return super().what_hangs(0)

    def check_processes(self):
        pass


class AWorld(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def ways_to_wait(self, *lines):
        world = World(Broker(self.folder, *lines))
        return (lambda: world.settle(0), lambda: world.wait_for_progress(timeout_s=0),
                lambda: world.wait_until_nothing_is_pending(0))

    def test_is_given_up_however_it_is_waited_for(self):
        for wait in self.ways_to_wait(line("w0-relayed-1")):
            with self.assertRaisesRegex(worlds.BrokerGaveUp, "w0-relayed-1"):
                wait()

    def test_is_given_up_for_what_the_broker_said_in_a_former_life(self):
        world = World(Broker(self.folder, line("w0-relayed-1"), life=".before"))
        with self.assertRaisesRegex(worlds.BrokerGaveUp, "w0-relayed-1"):
            world.settle(0)

    def test_is_given_up_if_a_reader_waits_for_what_is_pending(self):
        """For the offsets of the group, as the judge does that asks for them."""
        def nobody_answers(command, **_how):
            raise subprocess.TimeoutExpired(command, 0)

        for said, problem in ((line("w0-relayed-1"), worlds.BrokerGaveUp), ("", tool.Failed)):
            world = World(Broker(self.folder, said))
            with mock.patch.object(worlds.subprocess, "run", nobody_answers):
                with self.assertRaises(problem):
                    worlds.World.dump(world, "relayed", "--group", "w0-relay")

    def test_fails_if_the_broker_says_nothing(self):
        for wait in self.ways_to_wait(line("w0-relayed-0")):
            with self.assertRaises((tool.Failed, worlds.Violation)):
                wait()


class Rounds(unittest.TestCase):
    """Runs in which some worlds are given up."""

    def played(self, rounds, given_up):
        """The exit status and the summary; given_up: which worlds, counted from 0."""
        count = iter(range(1000))

        def play(_world, kind, rounds, report):
            report.rounds[kind] = report.rounds.get(kind, 0) + 1
            if next(count) in given_up:
                raise worlds.BrokerGaveUp("transactions on w0-relayed-1 stay open")
            report.rounds[kind] += rounds - 1
            report.worlds += 1

        with tempfile.TemporaryDirectory() as folder, \
                mock.patch.multiple(run, play=play, kafka=mock.MagicMock()), \
                mock.patch.object(worlds, "World", mock.MagicMock()), \
                mock.patch.object(run.tempfile, "mkdtemp", lambda **_: folder + "/kept"), \
                contextlib.redirect_stdout(io.StringIO()) as self.printed:
            path, status = os.path.join(folder, "summary.json"), 0
            try:
                run.run({"kill": rounds}, 1, quiet=True, json_file=path, jobs=["relay"])
            except SystemExit as end:
                status = end.code
            with open(path, encoding="utf-8") as file:
                return status, json.load(file)

    def test_none(self):
        status, summary = self.played(30, given_up=())
        self.assertEqual((status, summary["ok"], summary["worlds"]), (0, True, 2))
        self.assertEqual(summary["worlds_given_up"], [])
        self.assertEqual(summary["rounds_of_kinds"], {"kill": 30})

    def test_one_is_told_and_its_rounds_are_played_again(self):
        status, summary = self.played(30, given_up={0})
        self.assertEqual((status, summary["ok"], summary["worlds"]), (0, True, 2))
        self.assertEqual((summary["rounds_of_kinds"], summary["rounds"]), ({"kill": 30}, 30))
        self.assertEqual(summary["worlds_given_up"], [
            {"world": "kill-relay0", "why": "transactions on w0-relayed-1 stay open"}])
        self.assertIn("worlds given up: 1", self.printed.getvalue())

    def test_too_many_are_a_failure(self):
        status, summary = self.played(75, given_up={1, 2})
        self.assertEqual((status, summary["ok"], len(summary["worlds_given_up"])), (1, False, 2))
        self.assertIn("2 worlds were given up", summary["problem"])

    def test_among_some_two_are_not_too_many(self):
        status, summary = self.played(75, given_up={1, 3})
        self.assertEqual((status, len(summary["worlds_given_up"])), (0, 2))
        self.assertEqual(summary["rounds_of_kinds"], {"kill": 75})


if __name__ == "__main__":
    unittest.main()
