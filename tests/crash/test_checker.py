"""The checkers find what they are there to find: each broken promise, made by hand, is told."""
import copy
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import count_check as check  # noqa: E402


def record(offset, key, value, timestamp=5):
    return {"partition": 0, "offset": offset, "timestamp": timestamp, "key": key, "value": value}


def event(offset, user):
    return record(offset, user, {"user_id": user, "timestamp_ms": 100 + offset, "product_id": offset})


def count(offset, user, number, timestamp):
    return record(offset, user, {"user_id": user, "event_count": number}, timestamp)


class CountCheck(unittest.TestCase):
    """Input a b a ! b of which four are committed."""

    def setUp(self):
        self.events = [event(0, "a"), event(1, "b"), event(2, "a"),
                       record(3, "c", {"user_id": "c", "timestamp_ms": "soon", "product_id": 3}),
                       event(4, "b")]
        self.output = [count(0, "a", 1, 100), count(1, "b", 1, 101), count(2, "a", 2, 102)]
        self.dead = [record(0, "c", {"partition": 0, "offset": 3})]
        self.committed = {("in", 0): 4}

    def check(self):
        return check.check(self.events, self.output, self.dead, self.committed, 1, "in")

    def refused(self):
        with self.assertRaises(check.Violation):
            self.check()

    def test_a_sound_log_passes(self):
        self.assertEqual(self.check(), (3, 1))

    def test_a_lost_output(self):
        self.output.pop()
        self.refused()

    def test_an_output_twice(self):
        again = copy.deepcopy(self.output[2])
        again["offset"] = 3
        self.output.append(again)
        self.refused()

    def test_a_count_that_was_forgotten(self):
        self.output[2]["value"]["event_count"] = 1
        self.refused()

    def test_another_order(self):
        self.output[0]["value"], self.output[1]["value"] = (self.output[1]["value"],
                                                            self.output[0]["value"])
        self.refused()

    def test_offsets_behind_the_output(self):
        self.committed[("in", 0)] = 2
        self.refused()

    def test_offsets_ahead_of_the_output(self):
        self.committed[("in", 0)] = 5
        self.refused()

    def test_a_bad_record_that_vanished(self):
        self.dead = []
        self.refused()

    def test_a_bad_record_told_twice(self):
        self.dead.append(record(1, "c", {"partition": 0, "offset": 3}))
        self.refused()

    def test_a_gap_in_the_offsets(self):
        self.output[2]["offset"] = 7
        self.refused()

    def test_a_key_in_the_wrong_partition(self):
        with self.assertRaises(check.Violation):
            check.check(self.events, [], [], {}, 1000, "in")

    def test_the_partitioner_agrees_with_kafka(self):
        known = {b"21": -973932308, b"foobar": -790332482, b"a-little-bit-long-string": -985981536,
                 b"a-little-bit-longer-string": -1486304829, b"abc": 479470107}
        for key, expected in known.items():
            self.assertEqual(check.murmur2(key), expected & 0xffffffff, key)

    def test_lines_that_were_acknowledged_are_there_once(self):
        check.check_produced(self.events, {0, 1, 2}, {3, 4, 5})
        for acknowledged, attempted in (({0, 1, 2, 9}, {3, 4}), ({0, 1}, {3, 4})):
            with self.assertRaises(check.Violation):
                check.check_produced(self.events, acknowledged, attempted)
        with self.assertRaises(check.Violation):
            check.check_produced(self.events + [self.events[0]], {0}, {1, 2, 3, 4})


if __name__ == "__main__":
    unittest.main()
