"""What the benchmarks do to the machine is undone, and which runs count is decided by one rule."""
import argparse
import os
import signal
import subprocess
import sys
import tempfile
import unittest

SUPPORT = os.path.join(os.environ["LEAT_SOURCE_DIR"], "bench", "support")
sys.path.insert(0, SUPPORT)
sys.dont_write_bytecode = True

import kafka_bench  # noqa: E402
import machine  # noqa: E402
import turns  # noqa: E402

OPTIONS = argparse.Namespace(runs=2, repeats=3, max_steal=1.5)
BEFORE = {"guest_halt_poll_ns": "200000", "guest_halt_poll_allow_shrink": "Y"}
WAITS_FOR_SIGTERM = """
import signal, sys, time
sys.path.insert(0, sys.argv[1])
import machine, turns
signal.signal(signal.SIGTERM, turns._leave)
with machine.IdlePolling(sys.argv[2], sys.argv[3]) as idle:
    print(idle.words, flush=True)
    time.sleep(60)
"""


def row(steal, late=0.1, p50=10.0):
    return {"steal_percent": steal, "late_p99_ms": late, "p50_ms": p50}


class IdlePolling(unittest.TestCase):
    def setUp(self):
        self.temporary = tempfile.TemporaryDirectory()
        self.addCleanup(self.temporary.cleanup)
        self.folder = self.temporary.name
        for name, value in {**BEFORE, "governor": "haltpoll"}.items():
            self.write(name, value)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, value):
        with open(self.path(name), "w", encoding="ascii") as file:
            file.write(value)

    def values(self):
        found = {}
        for name in BEFORE:
            with open(self.path(name), encoding="ascii") as file:
                found[name] = file.read()
        return found

    def test_polls_inside_and_is_put_back(self):
        with machine.IdlePolling(self.folder, self.path("governor")) as idle:
            self.assertEqual(idle.words, "polled")
            self.assertEqual(self.values(), machine.POLLING)
        self.assertEqual(self.values(), BEFORE)

    def test_is_put_back_after_sigterm(self):
        with subprocess.Popen([sys.executable, "-c", WAITS_FOR_SIGTERM, SUPPORT, self.folder,
                               self.path("governor")], stdout=subprocess.PIPE, text=True) as child:
            self.assertEqual(child.stdout.readline().strip(), "polled")
            self.assertEqual(self.values(), machine.POLLING)
            child.send_signal(signal.SIGTERM)
            self.assertEqual(child.wait(30), 128 + signal.SIGTERM)
        self.assertEqual(self.values(), BEFORE)

    def test_another_governor_is_left_alone(self):
        self.write("governor", "menu")
        with machine.IdlePolling(self.folder, self.path("governor")) as idle:
            self.assertEqual(idle.words, "halts")
            self.assertEqual(self.values(), BEFORE)

    def test_half_of_the_settings_is_taken_back(self):
        os.remove(self.path("guest_halt_poll_allow_shrink"))
        os.mkdir(self.path("guest_halt_poll_allow_shrink"))  # cannot be written, not even by root
        with machine.IdlePolling(self.folder, self.path("governor")) as idle:
            self.assertEqual(idle.words, "halts")
            with open(self.path("guest_halt_poll_ns"), encoding="ascii") as file:
                self.assertEqual(file.read(), BEFORE["guest_halt_poll_ns"])


class Stolen(unittest.TestCase):
    def test_is_a_share_of_all_time(self):
        with tempfile.NamedTemporaryFile("w", suffix="stat") as file:
            def tell(words):
                file.seek(0)
                file.truncate()
                file.write(words + "\n")
                file.flush()
            tell("cpu  100 0 100 800 0 0 0 10 50 0")
            steal = machine.Steal(file.name)
            tell("cpu  140 0 140 900 0 0 10 20 90 0")  # 200 ticks, 10 of them stolen
            self.assertAlmostEqual(steal.percent(), 5.0)


class Turns(unittest.TestCase):
    def take(self, rows_of):
        """rows_of: {name: rows that it has one after the other}; the case is 1,000/s."""
        waiting = {name: list(rows) for name, rows in rows_of.items()}
        self.order = []

        def run_once(_case, name):
            self.order.append(name)
            return waiting[name].pop(0)
        return turns.take_turns(OPTIONS, 1000, rows_of, run_once, ())

    def test_quiet_runs_take_turns_and_are_not_repeated(self):
        self.take({"a": [row(0)] * 2, "b": [row(1.5)] * 2})
        self.assertEqual(self.order, ["a", "b", "a", "b"])

    def test_a_disturbed_run_is_repeated_and_does_not_count(self):
        rows = self.take({"a": [row(9, p50=99), row(0, p50=1), row(0, p50=3)], "b": [row(0)] * 2})
        self.assertEqual(self.order, ["a", "b", "a", "b", "a"])
        figures = turns.medians(rows["a"], 2)
        self.assertEqual((figures["p50_ms"], figures["rejected"], figures["disturbed"]), (2, 1, 0))

    def test_a_late_generator_disturbs_up_to_a_thousand_a_second(self):
        self.assertTrue(turns.is_disturbed(row(0, late=6), OPTIONS, 1000))
        self.assertTrue(turns.is_disturbed(row(0, late=6), OPTIONS, "trickle"))
        self.assertFalse(turns.is_disturbed(row(0, late=6), OPTIONS, 20000))
        self.assertTrue(turns.is_disturbed(row(2, late=0), OPTIONS, 20000))

    def test_without_quiet_runs_the_least_disturbed_serve_and_are_marked(self):
        rows = self.take({"a": [row(9, p50=9), row(3, p50=3), row(5, p50=5), row(2, p50=2),
                                row(8, p50=8)]})
        self.assertEqual(len(self.order), 5)  # 2 runs and 3 repeats
        figures = turns.medians(rows["a"], 2)
        self.assertEqual((figures["p50_ms"], figures["rejected"]), (2.5, 3))
        self.assertEqual(figures["disturbed"], 2)

    def test_the_floor_writes_a_changelog_and_the_best_peer_is_taken_per_figure(self):
        by_name = {name: {"p50_ms": p50, "p99_ms": p99} for name, p50, p99 in (
            ("bare 10 ms", 1, 1), ("bare 5 ms + changelog", 4, 10), ("leat", 6, 20),
            ("streams 10 ms", 12, 80), ("flink 50 ms", 50, 40))}
        self.assertEqual(turns.ratios(by_name, ("p50_ms", "p99_ms")),
                         {"leat / floor": {"p50_ms": 1.5, "p99_ms": 2},
                          "leat / best peer": {"p50_ms": 0.5, "p99_ms": 0.5}})


class Engines(unittest.TestCase):
    def argv(self, wanted):
        engine, = kafka_bench.engines([wanted])
        return engine.name, engine.command("HOST:1", "/folder", "name", "one")

    def test_are_named_by_kind_or_with_their_setting(self):
        self.assertEqual([engine.name for engine in kafka_bench.engines(["leat", "bare"])],
                         ["leat", "bare 10 ms", "bare 5 ms + changelog",
                          "bare pipelined + changelog"])
        with self.assertRaises(SystemExit):
            kafka_bench.engines(["bare 7 ms"])

    def test_take_words_of_their_own(self):
        name, argv = self.argv("leat --epoch-ms 5")
        self.assertEqual((name, argv[-2:]), ("leat --epoch-ms 5", ["--epoch-ms", "5"]))
        name, argv = self.argv("bare 10 ms producer.linger.ms=1")
        self.assertEqual((name, argv[-1]), ("bare 10 ms producer.linger.ms=1",
                                            "producer.linger.ms=1"))

    def test_java_takes_its_flags_before_the_program(self):
        streams = kafka_bench.Engine("streams", "10 ms", kafka_bench._streams(10))
        argv = kafka_bench.varied(streams, ["-Xmx1g", "poll.ms=1"]).command("b", "/f", "n", "one")
        self.assertEqual(argv[argv.index("-cp") - 1], "-Xmx1g")
        self.assertEqual(argv[-2:], ["commit.interval.ms=10", "poll.ms=1"])


unittest.main()
