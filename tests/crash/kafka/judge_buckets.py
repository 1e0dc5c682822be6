"""What windows and timers must have published: each stretch of time once, whole, and in time.

    input, partition p    events in the order of their times │ committed offset
    watermark of p        time of the newest before it, less 1 ms; behind the exchange the least

    a stretch is published once the watermark is at its last ms; where an epoch ended between a
    record and the watermark that follows it, those at the very end may still be missing
"""
import judge
from judge import Violation, place_of
from judge_regroup import group_of

SIZE_MS = 200


class Live(judge.Live):
    @staticmethod
    def what_of(record):
        return record["key"], record["value"]["start_ms"], record["value"]["event_count"]

    @staticmethod
    def check_next(user, record, before, where):
        if before and record["value"]["start_ms"] <= before["value"]["start_ms"]:
            raise Violation(f"{user}: {record['value']} at {place_of(record)} follows "
                            f"{before['value']} (something was repeated)", where)


def fold(expected):
    """({(key, start): events}, {user: its input partition}) of the whole input."""
    totals, homes = {}, {}
    for user, rows in expected.of_user.items():
        for time_ms, partition, _, number in rows:
            homes[user] = partition
            for key in (user, group_of(number)):
                place = (key, time_ms - time_ms % SIZE_MS)
                totals[place] = totals.get(place, 0) + 1
    return totals, homes


def watermarks(expected, committed, partition_count=4):
    """By partition of the input, from what lies before the committed offsets."""
    newest = {partition: None for partition in range(partition_count)}
    for rows in expected.of_user.values():
        for time_ms, partition, offset, _ in rows:
            if committed is None or offset < committed.get(partition, -1):
                newest[partition] = max(newest[partition] or time_ms, time_ms)
    return {partition: -1 if time_ms is None else time_ms - 1
            for partition, time_ms in newest.items()}


def ended(expected, committed):
    """{(key, start): events} of what the watermarks have passed."""
    totals, homes = fold(expected)
    passed = watermarks(expected, committed)
    least = min(passed.values())
    return {(key, start): count for (key, start), count in totals.items()
            if start + SIZE_MS - 1 <= passed.get(homes.get(key), least)}


def count_ended(expected):
    return len(ended(expected, None))


def check(topic, expected, output, committed, live=None):
    """Returns how many outputs there are."""
    totals, homes = fold(expected)
    due, seen, newest, partitions = ended(expected, committed), set(), {}, {}
    for record in output:
        value, where = record["value"], (topic, *place_of(record))
        place = (value["user_id"], value["start_ms"])
        if place in seen:
            raise Violation(f"{place} is published twice, once more at {place_of(record)}", where)
        seen.add(place)
        if totals.get(place) != value["event_count"]:
            raise Violation(f"{place} at {place_of(record)} counts {value['event_count']}, its "
                            f"events are {totals.get(place)}", where)
        if place not in due:
            raise Violation(f"{place} at {place_of(record)} is published, but the committed "
                            "offsets have not passed it", where)
        task = (value["user_id"] in homes, record["partition"])
        newest[task] = max(newest.get(task, -1), value["start_ms"])
        if partitions.setdefault(value["user_id"], record["partition"]) != record["partition"]:
            raise Violation(f"{value['user_id']} has outputs in two partitions", where)
    check_no_gaps(topic, due, seen, homes, newest, partitions)
    if live is not None:
        judge.check_seen(topic, output, live)
    return len(output)


def check_no_gaps(topic, due, seen, homes, newest, partitions):
    """A task publishes in the order of time: what is older than its newest is out, too."""
    for key, start in due:
        partition = homes.get(key, partitions.get(key))
        if (key, start) not in seen and start < newest.get((key in homes, partition), -1):
            raise Violation(f"{(key, start)} is missing, though later ones are published",
                            (topic, partition, None))
