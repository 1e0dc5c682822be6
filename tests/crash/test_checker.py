"""The checkers find what they are there to find: each broken promise, made by hand, is told."""
import copy
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))

import count_check as check  # noqa: E402
import recommender_check as reco  # noqa: E402


def record(offset, key, value, timestamp=5):
    return {"partition": 0, "offset": offset, "timestamp": timestamp, "key": key, "value": value}


def event(offset, user):
    return record(offset, user,
                  {"user_id": user, "timestamp_ms": 100 + offset, "product_id": offset})


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

    def test_what_a_reader_saw_stays(self):
        check.check_seen(self.output[:2], self.output)
        for seen in ([count(0, "a", 9, 100)], self.output[1:], self.output + [count(3, "a", 3, 9)]):
            with self.assertRaises(check.Violation):
                check.check_seen(seen, self.output)

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


def interaction(offset, user, item, time_ms, **more):
    return record(offset, user, {"user_id": user, "event_id": f"e{offset}", "product_id": item,
                                 "timestamp_ms": time_ms, **more}, 7)


def recommended(offset, user, event, number, time_ms):
    return record(offset, user,
                  {"event_id": event, "session_event": number, "timestamp_ms": time_ms,
                                 "accepted_ms": 7})


class RecommenderCheck(unittest.TestCase):
    """u clicks a, b, and half an hour later c; the click on b was sent twice."""

    def setUp(self):
        later = 1000 + reco.GAP_MS + 1
        self.events = [interaction(0, "u", "a", 500), interaction(1, "u", "b", 1000),
                       interaction(2, "u", "b", 1000, event_id="e1"),
                       interaction(3, "u", "c", later)]
        self.out = [recommended(0, "u", "e0", 1, 500), recommended(1, "u", "e1", 2, 1000),
                    recommended(2, "u", "e3", 1, later)]
        self.sessions = [record(0, "u", {
            "session_id": "u@500", "user_id": "u", "items": ["a", "b"], "times_ms": [500, 1000],
            "start_ms": 500, "last_ms": 1000, "event_count": 2})]
        self.committed = {("in", 0): 4}

    def check(self):
        return reco.check(self.events, self.out, self.sessions, self.committed, 1, "in")

    def refused(self):
        with self.assertRaises(check.Violation):
            self.check()

    def test_a_sound_log_passes(self):
        self.assertEqual(self.check(), ({"a": 1, "b": 1, "c": 1}, 3))

    def test_a_duplicate_that_was_counted(self):
        self.out.insert(2, recommended(2, "u", "e1", 3, 1000))
        self.out[3]["offset"] = 3
        self.refused()

    def test_a_recommendation_that_is_missing(self):
        self.out.pop()
        self.refused()

    def test_a_session_twice(self):
        self.sessions.append(dict(self.sessions[0], offset=1))
        self.refused()

    def test_a_session_that_is_missing(self):
        later = interaction(4, "u", "d", 5000 + 3 * reco.GAP_MS)
        self.events.append(later)
        self.out.append(recommended(3, "u", "e4", 1, 5000 + 3 * reco.GAP_MS))
        self.committed[("in", 0)] = 5
        self.refused()

    def test_a_session_with_another_item(self):
        self.sessions[0]["value"]["items"] = ["a", "a"]
        self.refused()

    def test_a_count_of_popularity_that_is_wrong(self):
        rows = [record(0, "a", {"total": 1}), record(1, "a", {"total": 2})]
        reco.check_popularity(rows, {"a": 2})
        with self.assertRaises(check.Violation):
            reco.check_popularity(rows, {"a": 3})

    def test_the_index_is_that_of_a_batch_build(self):
        sessions = [{"session_id": name, "items": items, "last_ms": last} for name, items, last in
                    (("s1", ["a", "b", "a"], 10), ("s2", ["b"], 10), ("s3", ["b", "c"], 5))]
        dump = [{"options": {"sessions_per_item": 2, "min_session_items": 1,
                             "max_session_items": 9},
                 "sessions": 3},
                {"item": "a", "sessions": 1, "recent": [1]},
                {"item": "b", "sessions": 3, "recent": [2, 1]},
                {"item": "c", "sessions": 1, "recent": [0]},
                {"session": 0, "last_time_ms": 5, "items": ["c", "b"]},
                {"session": 1, "last_time_ms": 10, "items": ["a", "b"]},
                {"session": 2, "last_time_ms": 10, "items": ["b"]}]

        def text():
            return "\n".join(map(json.dumps, dump))
        reco.check_index(text(), sessions, "a dump")
        dump[2]["recent"] = [1, 2]
        with self.assertRaises(check.Violation):
            reco.check_index(text(), sessions, "a dump")


if __name__ == "__main__":
    unittest.main()
