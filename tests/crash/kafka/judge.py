"""Exactly-once, judged from what lies on the cluster: no code of leat, and none that has seen it.

    input, partition p    [a][b][a]│[c] ...     committed offset of the job: │
                           │  │  │
    output (wherever)     a1 b1 a2              event k of a user makes count k, with its time

    relayed, wherever      a  b  a          event k of a user, as it was

    live      what a read_committed reader sees while all this goes on: per user 1, 2, 3 ... (of
              relayed events: none twice, none before an older one), and nothing that is gone later
    frozen    nothing is pending: the outputs are those of the input before the committed offsets,
              each once (no torn epoch), in the order of the input for each user
    sealed    the changelog's chain of epochs, read by its description in docs/formats.md
"""
import struct

SEAL_KEY = b"\0leat.seal"


class Violation(Exception):
    """A broken promise of exactly-once.  `where`: (topic, partition, offset) to look at."""

    def __init__(self, text, where=None):
        super().__init__(text)
        self.where = where


# -- the input ------------------------------------------------------------------------------------

class Expected:
    """The single-threaded fold of the input: what count k of a user must look like, and where the
    event lies that makes it."""

    def __init__(self, events):
        # user: [(timestamp_ms, partition, offset, number)] in the order of its partition
        self.of_user = {}
        home = {}
        for event in events:
            user = event["value"]["user_id"]
            if home.setdefault(user, event["partition"]) != event["partition"]:
                raise Violation(f"the input has {user} in two partitions")
            self.of_user.setdefault(user, []).append(
                (event["value"]["timestamp_ms"], event["partition"], event["offset"],
                 number_of(event)))
        for rows in self.of_user.values():
            rows.sort(key=lambda row: row[2])

    def count(self):
        return sum(map(len, self.of_user.values()))

    def counts_before(self, committed):
        """{user: events before the committed offsets}"""
        found = {}
        for user, rows in self.of_user.items():
            limit = committed.get(rows[0][1], -1)
            found[user] = sum(1 for row in rows if row[2] < limit)
        return found


def number_of(event):
    """The loader's: p0, p1 ..."""
    return int(event["value"]["product_id"][1:])


def check_acknowledged(events, acknowledged):
    """Each acknowledged event is there, where the loader was told, and none is there twice."""
    seen = {}
    for event in events:
        number = number_of(event)
        if number in seen:
            raise Violation(f"the loader's event {number} is in the input twice")
        seen[number] = (event["partition"], event["offset"])
    for number, place in acknowledged.items():
        if seen.get(number) != place:
            raise Violation(f"the loader's event {number} was acknowledged at {place}, "
                            f"but is at {seen.get(number)}")


# -- the output, as it comes ----------------------------------------------------------------------

def place_of(record):
    return record["partition"], record["offset"]


class Live:
    """Fed with every record that the follower saw, in the order in which it saw them."""

    def __init__(self, topic):
        self.topic, self.total = topic, 0
        self.last_of = {}      # user: last record
        self.last_offset = {}  # partition: offset
        self.seen = {}         # (partition, offset): what_of

    def feed(self, record):
        where = (self.topic, *place_of(record))
        partition, offset = place_of(record)
        if offset <= self.last_offset.get(partition, -1):
            raise Violation(f"a reader saw offset {offset} of {self.topic}/{partition} after "
                            f"{self.last_offset[partition]}", where)
        self.last_offset[partition] = offset
        user = record["value"]["user_id"]
        self.check_next(user, record, self.last_of.get(user), where)
        if record["key"] != user:
            raise Violation(f"{record} has another key than its user", where)
        self.last_of[user] = record
        self.seen[(partition, offset)] = self.what_of(record)
        self.total += 1

    @staticmethod
    def what_of(record):
        return record["key"], record["timestamp"], record["value"]["event_count"]

    @staticmethod
    def check_next(user, record, before, where):
        count = record["value"]["event_count"]
        if count != (before["value"]["event_count"] if before else 0) + 1:
            kind = "lost" if not before or count > before["value"]["event_count"] else "repeated"
            raise Violation(
                f"{user}: count {count} at {place_of(record)} follows "
                f"{before['value']['event_count'] if before else 'nothing'}"
                f"{' at ' + str(place_of(before)) if before else ''} (something was {kind})", where)


class LiveRelay(Live):
    """Of relayed events: the loader numbers those of a user in their order."""

    @staticmethod
    def what_of(record):
        return record["key"], record["timestamp"], number_of(record)

    @staticmethod
    def check_next(user, record, before, where):
        if before and number_of(record) <= number_of(before):
            raise Violation(f"{user}: event {number_of(record)} at {place_of(record)} follows "
                            f"{number_of(before)} at {place_of(before)} (something was repeated)",
                            where)


# -- the output, when nothing is pending ----------------------------------------------------------

def check_frozen(topic, expected, output, committed, live=None):
    """Outputs = fold(input before the committed offsets); returns how many there are."""
    counts, homes = {}, {}
    for record in output:
        user, where = record["value"]["user_id"], (topic, *place_of(record))
        if homes.setdefault(user, record["partition"]) != record["partition"]:
            raise Violation(f"{user} has outputs in two partitions", where)
        k = counts[user] = counts.get(user, 0) + 1
        if record["value"]["event_count"] != k:
            raise Violation(f"{user}: output number {k}, at {place_of(record)}, says "
                            f"{record['value']['event_count']}", where)
        rows = expected.of_user.get(user, [])
        if k > len(rows):
            raise Violation(f"{user}: {len(rows)} events, but a count of {k} at "
                            f"{place_of(record)}", where)
        if record["timestamp"] != rows[k - 1][0]:
            raise Violation(f"{user}: count {k} at {place_of(record)} has time "
                            f"{record['timestamp']}, its event at {rows[k - 1][1:3]} has "
                            f"{rows[k - 1][0]}: another order", where)
    check_whole(topic, expected, counts, homes, committed)
    if live is not None:
        check_seen(topic, output, live)
    return len(output)


def check_relayed(topic, expected, output, committed, live=None):
    """Outputs = the input before the committed offsets, each event once and as it was, those of a
    user in their order; returns how many there are."""
    counts, homes = {}, {}
    for record in output:
        user, where = record["value"]["user_id"], (topic, *place_of(record))
        if homes.setdefault(user, record["partition"]) != record["partition"]:
            raise Violation(f"{user} has outputs in two partitions", where)
        k = counts[user] = counts.get(user, 0) + 1
        rows = expected.of_user.get(user, [])
        number, wanted = number_of(record), rows[k - 1][3] if k <= len(rows) else None
        if number != wanted:
            known = {row[3] for row in rows[:k - 1]}
            raise Violation(f"{user}: output number {k}, at {place_of(record)}, is event {number}"
                            f"{' once more' if number in known else ''}, not {wanted}", where)
        if record["timestamp"] != rows[k - 1][0]:
            raise Violation(f"event {number} at {place_of(record)} has time {record['timestamp']}, "
                            f"not {rows[k - 1][0]}", where)
    check_whole(topic, expected, counts, homes, committed)
    if live is not None:
        check_seen(topic, output, live)
    return len(output)


def check_whole(topic, expected, counts, homes, committed):
    """Outputs and offsets are of the same epochs."""
    for user, wanted in expected.counts_before(committed).items():
        have = counts.get(user, 0)
        if have != wanted:
            rows = expected.of_user[user]
            raise Violation(
                f"torn epoch: {user} has {have} outputs, but {wanted} of its events lie before the "
                f"committed offset {committed.get(rows[0][1])} of input partition {rows[0][1]} "
                f"(event {min(have, wanted) + 1} is at {rows[min(have, wanted)][1:3]})",
                (topic, homes.get(user, rows[0][1]), None))


def check_seen(topic, output, live):
    """What was once seen as committed stays."""
    there = {place_of(record): live.what_of(record) for record in output}
    for place, what in live.seen.items():
        if there.get(place) != what:
            raise Violation(f"a reader saw {what} at {place}, now there is {there.get(place)}",
                            (topic, *place))


# -- the changelog --------------------------------------------------------------------------------

def crc32c_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82f63b78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = crc32c_table()


def crc32c(data, crc=0):
    crc ^= 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ CRC_TABLE[(crc ^ byte) & 0xff]
    return crc ^ 0xffffffff


def parse_seal(value):
    version, incarnation, epoch, previous, count, crc, has_position = struct.unpack_from(
        "<BQQQIIB", value)
    offset = struct.unpack_from("<q", value, 34)[0] if has_position else None
    return {"version": version, "incarnation": incarnation, "epoch": epoch, "previous": previous,
            "count": count, "crc": crc, "offset": offset}


def gaps(records):
    """How many offsets between two records of changelogs hold none; markers take one an epoch."""
    last, missing = {}, 0
    for record in records:
        partition, offset = place_of(record)
        missing += max(0, offset - last.get(partition, -1) - 2)
        last[partition] = offset
    return missing


def check_sealed(topic, records, committed, crc_of_records=None, compacted=False):
    """The chain of seals of each partition of a changelog, oldest first; returns the number of
    epochs.  The last seal's source position is the committed offset.  Where the topic is compacted
    old seals and rows are gone: what is newest is a seal, and it is not ahead."""
    rows, last, epochs = {}, {}, 0
    for record in records:
        partition = record["partition"]
        key = bytes.fromhex(record["key"])
        value = None if record["value"] is None else bytes.fromhex(record["value"])
        if key != SEAL_KEY:
            rows.setdefault(partition, []).append((key, value))
            continue
        seal, where = parse_seal(value), (topic, *place_of(record))
        between = rows.pop(partition, [])
        epochs += 1
        if compacted:
            last[partition] = seal
            continue
        if seal["count"] != len(between):
            raise Violation(f"the seal of epoch {seal['epoch']} at {place_of(record)} counts "
                            f"{seal['count']} records, {len(between)} are there", where)
        if crc_of_records is not None and crc_of_records(between) != seal["crc"]:
            raise Violation(f"the seal at {place_of(record)} has another CRC than its records",
                            where)
        before = last.get(partition)
        if before and seal["previous"] != before["epoch"]:
            raise Violation(f"the seal at {place_of(record)} follows epoch {before['epoch']}, but "
                            f"says {seal['previous']}", where)
        last[partition] = seal
    for partition, between in rows.items():
        raise Violation(f"{len(between)} records of {topic}/{partition} have no seal",
                        (topic, partition, None))
    for partition, seal in last.items():
        if seal["offset"] is not None and seal["offset"] > committed.get(partition, -1):
            raise Violation(f"the last seal of {topic}/{partition} is at input offset "
                            f"{seal['offset']}, committed is {committed.get(partition)}",
                            (topic, partition, None))
    return epochs
