"""The judge finds what it is there to find: each broken promise, made by hand, is told."""
import copy
import os
import struct
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import judge  # noqa: E402
import segments  # noqa: E402


def event(offset, user, number, partition=0):
    return {"partition": partition, "offset": offset, "timestamp": 9, "key": user,
            "value": {"user_id": user, "product_id": f"p{number}", "timestamp_ms": 100 + number}}


def count(offset, user, number, timestamp, partition=0):
    return {"partition": partition, "offset": offset, "timestamp": timestamp, "key": user,
            "value": {"user_id": user, "event_count": number}}


class Frozen(unittest.TestCase):
    """Input a b a | b of which three are committed; markers lie between the outputs."""

    def setUp(self):
        self.events = [event(0, "a", 0), event(1, "b", 1), event(3, "a", 2), event(4, "b", 3)]
        self.output = [count(0, "a", 1, 100), count(1, "b", 1, 101), count(3, "a", 2, 102)]
        self.committed = {0: 4}

    def check(self, live=None):
        return judge.check_frozen("out", judge.Expected(self.events), self.output, self.committed,
                                  live)

    def refused(self):
        with self.assertRaises(judge.Violation):
            self.check()

    def test_what_is_right_passes(self):
        self.assertEqual(self.check(), 3)

    def test_an_output_is_missing(self):
        self.output.pop()
        self.refused()

    def test_an_output_is_there_twice(self):
        self.output.append({**copy.deepcopy(self.output[2]), "offset": 5})
        self.refused()

    def test_a_count_began_anew(self):
        self.output[2]["value"]["event_count"] = 1
        self.refused()

    def test_offsets_without_their_outputs(self):
        self.committed = {0: 5}
        self.refused()

    def test_outputs_without_their_offsets(self):
        self.committed = {0: 3}
        self.refused()

    def test_nothing_committed_but_outputs(self):
        self.committed = {0: -1}
        self.refused()

    def test_another_order(self):
        self.output[0]["timestamp"], self.output[2]["timestamp"] = 102, 100
        self.refused()

    def test_a_count_of_no_event(self):
        self.output.append(count(6, "c", 1, 100))
        self.refused()

    def test_what_was_seen_stays(self):
        live = judge.Live("out")
        for record in self.output:
            live.feed(record)
        self.check(live)
        live.feed(count(9, "b", 2, 103))
        with self.assertRaises(judge.Violation):
            self.check(live)


class Live(unittest.TestCase):
    def test_one_two_three(self):
        live = judge.Live("out")
        live.feed(count(0, "a", 1, 1))
        live.feed(count(1, "a", 2, 1))
        for wrong in (2, 4):
            with self.assertRaises(judge.Violation):
                copy.deepcopy(live).feed(count(2, "a", wrong, 1))
        with self.assertRaises(judge.Violation):
            live.feed(count(1, "a", 3, 1))


def relayed(offset, user, number, partition=0):
    return event(offset, user, number, partition) | {"timestamp": 100 + number}


class Relayed(unittest.TestCase):
    """Input a b a | b of which three are committed."""

    def setUp(self):
        self.events = [event(0, "a", 0), event(1, "b", 1), event(3, "a", 2), event(4, "b", 3)]
        self.output = [relayed(0, "a", 0), relayed(1, "b", 1), relayed(3, "a", 2)]
        self.committed = {0: 4}

    def check(self, live=None):
        return judge.check_relayed("out", judge.Expected(self.events), self.output, self.committed,
                                   live)

    def refused(self, words):
        with self.assertRaisesRegex(judge.Violation, words):
            self.check()

    def test_what_is_right_passes(self):
        self.assertEqual(self.check(), 3)

    def test_an_event_is_missing(self):
        self.output.pop()
        self.refused("torn epoch: a has 1 outputs, but 2")

    def test_an_event_is_missing_between_others(self):
        self.output.pop(0)
        self.refused("event 2, not 0")

    def test_an_event_is_there_twice(self):
        self.output.append(relayed(5, "a", 2))
        self.refused("event 2 once more, not None")

    def test_offsets_without_their_outputs(self):
        self.committed = {0: 5}
        self.refused("torn epoch: b")

    def test_outputs_without_their_offsets(self):
        self.committed = {0: 3}
        self.refused("torn epoch: a")

    def test_another_time(self):
        self.output[1]["timestamp"] = 7
        self.refused("has time 7")

    def test_two_partitions(self):
        self.output[2]["partition"] = 1
        self.refused("two partitions")

    def test_live(self):
        live = judge.LiveRelay("out")
        for record in self.output:
            live.feed(record)
        self.check(live)
        for wrong in (relayed(9, "a", 2), relayed(9, "a", 0)):
            with self.assertRaisesRegex(judge.Violation, "repeated"):
                copy.deepcopy(live).feed(wrong)
        live.feed(relayed(9, "b", 3))
        with self.assertRaisesRegex(judge.Violation, "now there is"):
            self.check(live)


class Acknowledged(unittest.TestCase):
    def test_each_where_it_was_said_to_be(self):
        events = [event(0, "a", 0), event(1, "a", 1)]
        judge.check_acknowledged(events, {0: (0, 0)})
        for broken in ({1: (0, 0)}, {2: (0, 2)}):
            with self.assertRaises(judge.Violation):
                judge.check_acknowledged(events, broken)
        with self.assertRaises(judge.Violation):
            judge.check_acknowledged([event(0, "a", 0), event(1, "a", 0)], {})


class Sealed(unittest.TestCase):
    """Two epochs of one and two records."""

    @staticmethod
    def seal(offset, epoch, previous, records, position):
        value = struct.pack("<BQQQIIBqq", 1, 7, epoch, previous, records, 0, 1, position, 0)
        return {"partition": 0, "offset": offset, "key": judge.SEAL_KEY.hex(), "value": value.hex()}

    def setUp(self):
        row = {"partition": 0, "offset": 0, "key": "0102030405", "value": "00"}
        self.records = [row, self.seal(1, 1, 0, 1, 5), {**row, "offset": 2}, {**row, "offset": 3},
                        self.seal(4, 2, 1, 2, 9)]

    def refused(self, committed=9):
        with self.assertRaises(judge.Violation):
            judge.check_sealed("log", self.records, {0: committed})

    def test_a_whole_chain(self):
        self.assertEqual(judge.check_sealed("log", self.records, {0: 9}), 2)

    def test_a_record_that_is_missing(self):
        del self.records[2]
        self.refused()

    def test_an_epoch_that_is_missing(self):
        del self.records[:2]
        self.records[2] = self.seal(4, 3, 2, 2, 9)
        self.records = [self.seal(1, 1, 0, 0, 5), *self.records]
        self.refused()

    def test_records_without_a_seal(self):
        self.records.pop()
        self.refused()

    def test_a_seal_ahead_of_the_committed_offsets(self):
        self.refused(committed=8)


class Segments(unittest.TestCase):
    def test_a_marker_is_read(self):
        body = bytes([0, 0, 0, 8]) + struct.pack(">hh", 0, 1) + bytes([0, 0])
        record = bytes([len(body) * 2]) + body
        tail = struct.pack(">ibIhiqqqhii", 0, 2, 0, 0x30, 0, 0, 0, 11, 3, -1, 1) + record
        batch = struct.pack(">qi", 42, len(tail)) + tail
        path = os.path.join(os.environ.get("TMPDIR", "/tmp"), f"leat-batch-{os.getpid()}")
        try:
            with open(path, "wb") as file:
                file.write(batch + b"\0" * 8)
            found, = segments.batches_of_file(path)
        finally:
            os.remove(path)
        self.assertEqual((found["first"], found["producer"], found["epoch"], found["kind"]),
                         (42, 11, 3, "COMMIT"))


if __name__ == "__main__":
    unittest.main()
