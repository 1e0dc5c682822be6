"""What counts behind an exchange must be: each event once, whatever crossed the exchange when.

    input, partition p   [a][b]│[c] ...         committed offset of the job: │
                          │  │
    repartition topic     a │b                  read by the counting stage up to: │
                          │
    output                g1 = 1, made by a

    outputs + events that lie in the repartition topic unread = events before the committed offsets
"""
import judge
from judge import Violation, place_of

GROUPS = 37
DATA_RECORD = 0  # docs/formats.md, the repartition topic: kind, the second byte


def group_of(number):
    return f"g{number % GROUPS}"


class Live(judge.Live):
    @staticmethod
    def what_of(record):
        return (*judge.Live.what_of(record), judge.number_of(record))


def count_on_the_way(records, committed):
    """Events of the repartition topic that the counting stage has not read; its other records are
    about time."""
    return sum(1 for record in records
               if bytes.fromhex(record["value"])[1] == DATA_RECORD
               and record["offset"] >= committed.get(record["partition"], 0))


def check(topic, expected, output, committed, on_the_way, live=None):
    """Returns how many outputs there are."""
    rows = {number: (time_ms, partition, offset)
            for events in expected.of_user.values()
            for time_ms, partition, offset, number in events}
    counts, homes, newest, seen = {}, {}, {}, {}
    for record in output:
        group, number = record["value"]["user_id"], judge.number_of(record)
        where = (topic, *place_of(record))
        if homes.setdefault(group, record["partition"]) != record["partition"]:
            raise Violation(f"{group} has outputs in two partitions", where)
        counts[group] = counts.get(group, 0) + 1
        if record["value"]["event_count"] != counts[group]:
            raise Violation(f"{group}: output number {counts[group]}, at {place_of(record)}, says "
                            f"{record['value']['event_count']}", where)
        if number not in rows or group_of(number) != group:
            raise Violation(f"{group} counts event {number}, which is not of it", where)
        if number in seen:
            raise Violation(f"event {number} is counted at {seen[number]} and at "
                            f"{place_of(record)}", where)
        seen[number] = place_of(record)
        time_ms, partition, offset = rows[number]
        if record["timestamp"] != time_ms:
            raise Violation(f"event {number} at {place_of(record)} has time {record['timestamp']}, "
                            f"not {time_ms}", where)
        if offset < newest.get((group, partition), -1):
            raise Violation(f"{group}: event {number} of input partition {partition} is counted "
                            "after a later one", where)
        newest[group, partition] = offset
        if offset >= committed.get(partition, -1):
            raise Violation(f"event {number} is counted, but lies at {offset} of input partition "
                            f"{partition}, committed is {committed.get(partition)}", where)
    check_whole(topic, rows, seen, committed, on_the_way)
    if live is not None:
        judge.check_seen(topic, output, live)
    return len(output)


def check_whole(topic, rows, seen, committed, on_the_way):
    worked_off = {number for number, (_, partition, offset) in rows.items()
                  if offset < committed.get(partition, -1)}
    if len(worked_off) != len(seen) + on_the_way:
        missing = sorted(worked_off - set(seen))[:5]
        raise Violation(f"{len(worked_off)} events lie before the committed offsets, {len(seen)} "
                        f"are counted and {on_the_way} on their way in the exchange; not counted "
                        f"are {missing} ...", (topic, 0, None))
