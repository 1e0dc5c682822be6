"""What leat-recommender must have written for the loader's events: each answered once, numbered in
its session; each ended session once; each item's count.

An event names an item of its own, so items have one event each.
"""
import os
import sys
import time

import judge
from judge import Violation, place_of

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))

import recommender_check  # noqa: E402


class Live(judge.Live):
    """Numbers begin anew with each session: what does not follow is for `check` to say."""

    @staticmethod
    def what_of(record):
        return record["key"], record["timestamp"], record["value"]["session_event"]

    @staticmethod
    def check_next(user, record, before, where):
        if not before:
            return
        number, last = record["value"]["session_event"], before["value"]["session_event"]
        if record["timestamp"] <= before["timestamp"] or number not in (1, last + 1):
            raise Violation(f"{user}: {number} of time {record['timestamp']} at {place_of(record)} "
                            f"follows {last} of {before['timestamp']}", where)


def fold(rows, gap_ms):
    """([(number in its session, time)], recommender_check.User) of a user's events."""
    user = recommender_check.User(gap_ms)
    answers = [(user.add(f"p{number}", str(number), None, time_ms), time_ms)
               for time_ms, _, _, number in rows]
    return answers, user


def check(topic, expected, output, committed, sessions, gap_ms, live=None):
    """Returns how many answers there are."""
    answers, users = {}, {}
    for record in output:
        answers.setdefault(record["value"]["user_id"], []).append(record)
    for name, rows in expected.of_user.items():
        limit = committed.get(rows[0][1], -1)
        wanted, users[name] = fold([row for row in rows if row[2] < limit], gap_ms)
        found = [(record["value"]["session_event"], record["value"]["timestamp_ms"])
                 for record in answers.pop(name, [])]
        if found != wanted:
            at = next((i for i, pair in enumerate(zip(found, wanted)) if pair[0] != pair[1]),
                      min(len(found), len(wanted)))
            raise Violation(f"{name}: {len(found)} answers to {len(wanted)} events before the "
                            f"committed offset; number {at + 1} is {found[at:at + 1]}, not "
                            f"{wanted[at:at + 1]}", (topic, rows[0][1], None))
    if answers:
        raise Violation(f"answers to users without an event: {list(answers)[:3]}")
    recommender_check.check_sessions(users, sessions)
    if live is not None:
        judge.check_seen(topic, output, live)
    return len(output)


def wait_for_popularity(world, timeout_s=20):
    """Counts are published up to 100 ms later; behind an exchange, which may have to catch up."""
    until = time.monotonic() + timeout_s
    items = {f"p{judge.number_of(event)}": 1 for event in world.dump("user_events")}
    while True:
        try:
            recommender_check.check_popularity(world.dump("item-popularity"), items)
            return
        except recommender_check.Violation:
            if time.monotonic() > until:
                raise
            world.check_processes()
            time.sleep(0.3)
