"""The independent checker of user_counts: shares no code with leat, and reads only what
`leat consume --meta` and `leat offsets` print.

    input, partition p     [a][b][a][!]│[c]...      offset committed by the job: │
                            │  │  │  └─────────────► dead-letters, once, with topic/partition/offset
                            ▼  ▼  ▼
    output, partition p    a1 b1 a2                 exactly the fold of what lies before │

So nothing is lost, nothing is counted twice, counts are 1, 2, 3 ... in order, and output and
offsets are from the same moment (no torn epoch)."""


class Violation(Exception):
    """A promise of exactly-once that was broken."""


def murmur2(key):
    """Kafka's partitioner, from its description: seed 0x9747b28c, 32 bits."""
    m, mask = 0x5bd1e995, 0xffffffff
    h = (0x9747b28c ^ len(key)) & mask
    whole = len(key) & ~3
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at:at + 4], "little") * m & mask
        k = (k ^ k >> 24) * m & mask
        h = (h * m & mask) ^ k
    rest = key[whole:]
    if rest:
        h = (h ^ int.from_bytes(rest, "little")) * m & mask
    h = (h ^ h >> 13) * m & mask
    return h ^ h >> 15


def partition_of(key, partition_count):
    return (murmur2(key.encode()) & 0x7fffffff) % partition_count


def by_partition(records, partition_count, what):
    """Records per partition; offsets count from 0 without a gap (nothing is ever cleaned here)."""
    found = [[] for _ in range(partition_count)]
    for record in records:
        rows = found[record["partition"]]
        if record["offset"] != len(rows):
            raise Violation(f"{what}: partition {record['partition']} has offset "
                            f"{record['offset']} after {len(rows)} records")
        rows.append(record)
    return found


def is_event(value):
    return isinstance(value, dict) and isinstance(value.get("user_id"), str) and \
        isinstance(value.get("timestamp_ms"), int)


def fold(partition, records):
    """(expected output as (key, time, value), offsets of bad records) of an input prefix."""
    counts, output, bad = {}, [], []
    for record in records:
        value = record.get("value")
        if not is_event(value):
            bad.append((partition, record["offset"]))
            continue
        user = value["user_id"]
        counts[user] = counts.get(user, 0) + 1
        output.append((user, value["timestamp_ms"], {"user_id": user, "event_count": counts[user]}))
    return output, bad


def assert_same(what, written, expected):
    if written == expected:
        return
    at = next((i for i, (a, b) in enumerate(zip(written, expected)) if a != b),
              min(len(written), len(expected)))
    raise Violation(f"{what}: {len(written)} records where the committed offset asks for "
                    f"{len(expected)}; the first difference is at offset {at}: "
                    f"written {written[at:at + 2]}, expected {expected[at:at + 2]}")


def check(events, output, dead_letters, committed, partition_count, topic):
    """Raises Violation; returns (events counted, bad records told)."""
    events = by_partition(events, partition_count, "input")
    output = by_partition(output, partition_count, "output")
    expected_bad, counted = [], 0
    for partition in range(partition_count):
        for record in events[partition]:
            if partition_of(record["key"], partition_count) != partition:
                raise Violation(f"key {record['key']} does not belong in partition {partition}")
        position = committed.get((topic, partition), 0)
        if position > len(events[partition]):
            raise Violation(f"partition {partition}: committed {position} of "
                            f"{len(events[partition])}")
        expected, bad = fold(partition, events[partition][:max(position, 0)])
        written = [(row["key"], row["timestamp"], row["value"]) for row in output[partition]]
        assert_same(f"output partition {partition}", written, expected)
        expected_bad += bad
        counted += len(expected)
    told = sorted((row["value"]["partition"], row["value"]["offset"]) for row in dead_letters)
    if told != sorted(expected_bad):
        raise Violation(f"dead letters {told[:5]}... ({len(told)}), bad records before the "
                        f"committed offsets {sorted(expected_bad)[:5]}... ({len(expected_bad)})")
    return counted, len(told)


def check_seen(seen, output):
    """What a reader saw while the job ran is there still, and it saw each partition from its start
    without a gap."""
    there = {(record["partition"], record["offset"]): record for record in output}
    following = {}
    for record in seen:
        partition = record["partition"]
        if record["offset"] != following.get(partition, 0):
            raise Violation(f"a reader saw offset {record['offset']} of partition {partition} "
                            f"after {following.get(partition, 0)} records")
        following[partition] = record["offset"] + 1
        if there.get((partition, record["offset"])) != record:
            raise Violation(f"a reader saw {record}, which was not committed")


def check_produced(events, acknowledged, attempted):
    """Every line whose `leat produce` ended with 0 is there once; of a killed one some lines may
    be, each once; nothing else is."""
    seen = set()
    for record in events:
        number = record["value"]["product_id"]
        if number in seen:
            raise Violation(f"line {number} was appended twice")
        seen.add(number)
    missing = acknowledged - seen
    if missing:
        raise Violation(f"{len(missing)} acknowledged lines are missing, such as {min(missing)}")
    foreign = seen - acknowledged - attempted
    if foreign:
        raise Violation(f"lines that nobody wrote, such as {min(foreign)}")
