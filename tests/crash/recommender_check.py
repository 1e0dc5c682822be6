"""The independent checker of leat-recommender: what its topics must hold, from the definitions in
docs/recommender.md, in Python; reads only what `leat consume --meta` and `leat offsets` print.

    user-interactions, partition p   e1 e2 e1 e3 ... │ committed offset
       deduplicated by event_id          │    │
       ─► recommendations, partition p   r1 r2 r3        one for each, numbered in its session
       ─► sessions                       by user: the sessions that have ended, each once
       ─► item-popularity                latest per item = number of its interactions
       sessions ─► batch build           = the index that the server holds
"""
import json

from count_check import Violation, assert_same, by_partition

GAP_MS = 30 * 60_000
SESSION_ITEMS_MAX = 50


def event_of(record):
    """(user, item, event_id, session_id, time) of either form of an event."""
    value = record["value"]
    data = value.get("data", value)
    return (value["user_id"], data.get("item_id", data.get("product_id")), value["event_id"],
            value.get("session_id"), value.get("timestamp_ms", value.get("timestamp")))


class User:
    def __init__(self, gap_ms=GAP_MS):
        self.seen, self.sessions, self.gap_ms = set(), [], gap_ms

    def add(self, item, event_id, session_id, time_ms):
        """The number of the event in its session, None: a duplicate."""
        if event_id in self.seen:
            return None
        self.seen.add(event_id)
        last = self.sessions[-1] if self.sessions else None
        other = last and session_id and last["id"] and session_id != last["id"]
        if last is None or other or time_ms > last["last_ms"] + self.gap_ms:
            last = {"id": None, "start_ms": time_ms, "items": [], "times": [], "events": 0}
            self.sessions.append(last)
        last["id"] = session_id or last["id"]
        last["items"] = (last["items"] + [item])[-SESSION_ITEMS_MAX:]
        last["times"] = (last["times"] + [time_ms])[-SESSION_ITEMS_MAX:]
        last["last_ms"] = time_ms
        last["events"] += 1
        return last["events"]


def fold(records):
    """(recommendations as they must be, {user: User}, {item: count}) of a prefix of a partition."""
    users, expected, items = {}, [], {}
    for record in records:
        user, item, event_id, session_id, time_ms = event_of(record)
        number = users.setdefault(user, User()).add(item, event_id, session_id, time_ms)
        if number is None:
            continue
        items[item] = items.get(item, 0) + 1
        expected.append((user, event_id, number, time_ms, record["timestamp"]))
    return expected, users, items


def check_recommendations(partition, expected, written):
    found = [(row["key"], row["value"]["event_id"], row["value"]["session_event"],
              row["value"]["timestamp_ms"], row["value"]["accepted_ms"]) for row in written]
    assert_same(f"recommendations, partition {partition}", found, expected)


def session_value(user, session):
    return {"session_id": f"{session['id'] or user}@{session['start_ms']}", "user_id": user,
            "items": session["items"], "times_ms": session["times"],
            "start_ms": session["start_ms"], "last_ms": session["last_ms"],
            "event_count": session["events"]}


def check_sessions(users, written):
    """Each user's ended sessions in order; the newest may still be open."""
    by_user = {}
    for row in written:
        by_user.setdefault(row["value"]["user_id"], []).append(row["value"])
    for user, state in users.items():
        expected = [session_value(user, session) for session in state.sessions]
        found = by_user.pop(user, [])
        if found not in (expected, expected[:-1]):
            raise Violation(f"sessions of {user}: {len(found)} written, {len(expected)} begun; "
                            f"written {found[-2:]}, expected {expected[-2:]}")
    if by_user:
        raise Violation(f"sessions of users without an event: {list(by_user)[:3]}")


def check(events, recommendations, sessions, committed, partition_count, topic):
    """Raises Violation; returns ({item: count}, interactions counted)."""
    events = by_partition(events, partition_count, "user-interactions")
    recommendations = by_partition(recommendations, partition_count, "recommendations")
    by_partition(sessions, partition_count, "sessions")
    users, items = {}, {}
    for partition in range(partition_count):
        position = max(committed.get((topic, partition), 0), 0)
        expected, here, touched = fold(events[partition][:position])
        check_recommendations(partition, expected, recommendations[partition])
        users.update(here)
        for item, count in touched.items():
            items[item] = items.get(item, 0) + count
    check_sessions(users, sessions)
    return items, sum(items.values())


def check_accepted(events, acknowledged, attempted):
    there = {}
    for record in events:
        event_id = record["value"]["event_id"]
        there[event_id] = there.get(event_id, 0) + 1
    missing = [event_id for event_id in acknowledged if event_id not in there]
    if missing:
        raise Violation(f"{len(missing)} events answered with 202 are gone, such as {missing[0]}")
    foreign = [event_id for event_id in there if event_id not in acknowledged
               and event_id not in attempted]
    if foreign:
        raise Violation(f"events that nobody sent, such as {foreign[0]}")


def check_popularity(latest_of_topic, items):
    latest = {}
    for row in latest_of_topic: # offsets rise within a partition, and a key stays in one
        latest[row["key"]] = row["value"]["total"]
    if latest != items:
        wrong = [item for item in set(latest) | set(items) if latest.get(item) != items.get(item)]
        raise Violation(f"popularity of {len(wrong)} items is wrong, such as {wrong[0]}: "
                        f"{latest.get(wrong[0])}, not {items.get(wrong[0])}")


# ---------------------------------------------------------------- the session index, in one batch

def newest_first(items):
    """Distinct items by their newest click."""
    return list(dict.fromkeys(reversed(items)))


def build_index(sessions, options):
    """{"items": {item: (n, [numbers, newest first])}, "sessions": {number: (time, items)},
    "count": N}; a session's number is its place among the stored ones, oldest first."""
    counted = []
    for value in sessions:
        items = newest_first(value["items"])
        if options["min_session_items"] <= len(items) <= options["max_session_items"]:
            counted.append((value["last_ms"], value["session_id"].encode(), items))
    counted.sort(reverse=True)
    lists, stored = {}, {}
    for last_ms, name, items in counted:
        for item in items:
            lists.setdefault(item, []).append((last_ms, name, items))
    for item, found in lists.items():
        recent = found[:options["sessions_per_item"]]
        lists[item] = (len(found), [(last_ms, name) for last_ms, name, _ in recent])
        stored.update({(last_ms, name): items for last_ms, name, items in recent})
    numbers = {session: number for number, session in enumerate(sorted(stored))}
    return {"items": {item: (count, [numbers[session] for session in recent])
                      for item, (count, recent) in lists.items()},
            "sessions": {numbers[session]: (session[0], items)
                         for session, items in stored.items()},
            "count": len(counted)}


def read_dump(text):
    rows = [json.loads(line) for line in text.splitlines()]
    head, rows = rows[0], rows[1:]
    items = {row["item"]: (row["sessions"], row["recent"]) for row in rows if "item" in row}
    sessions = {row["session"]: (row["last_time_ms"], row["items"]) for row in rows
                if "session" in row}
    return head["options"], {"items": items, "sessions": sessions, "count": head["sessions"]}


def check_index(dump, sessions, whose):
    options, found = read_dump(dump)
    expected = build_index(sessions, options)
    for part, rows in expected.items():
        if found[part] == rows:
            continue
        if isinstance(rows, int):
            raise Violation(f"index of {whose}: {found[part]} sessions, a batch build has {rows}")
        wrong = [name for name in set(rows) | set(found[part])
                 if rows.get(name) != found[part].get(name)]
        raise Violation(f"index of {whose}: {len(wrong)} {part} differ from the batch build, such "
                        f"as {wrong[0]}: {found[part].get(wrong[0])}, not {rows.get(wrong[0])}")
