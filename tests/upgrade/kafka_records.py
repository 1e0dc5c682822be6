"""The topics of a Kafka broker as records, and put into another broker at the same offsets: seals
and committed positions speak of offsets.

    broker ─► dump ─► {"topics": [{name, partitions, compacted, ends, records}], "offsets": [...]}
    runs of records without a gap ─► transactions of the loader: the end of each takes an offset, as
    the end of the job's own did; a longer gap is an aborted transaction

What this does not show: the broker's own files, transactions that were open, what producers and
group members the broker knew, and where compaction stood."""
import os
import subprocess
import time

from programs import tool

BIN = os.path.join(os.path.dirname(tool.BIN), "tests")


def judge(bootstrap, topic, *arguments):
    """What crash_kafka_dump says, which shares no code with leat."""
    done = subprocess.run([os.path.join(BIN, "crash_kafka_dump"), "--bootstrap", bootstrap,
                           "--topic", topic, *arguments], capture_output=True, check=False,
                          timeout=120)
    if done.returncode != 0:
        raise tool.Failed(f"crash_kafka_dump {topic}: {done.returncode} {done.stderr.decode()}")
    return tool.json_lines(done.stdout.decode())


def settled(bootstrap, topic):
    """Its bounds, once the transactions that a killed process has left are over."""
    until = time.monotonic() + 60
    while True:
        bounds = judge(bootstrap, topic, "--bounds")
        if all(bound["stable"] == bound["end"] for bound in bounds):
            return bounds
        if time.monotonic() > until:
            raise tool.Failed(f"{topic}: a transaction stays open: {bounds}")
        time.sleep(0.5)


def under_way(stored, topic):
    """Data records of format 1 or 2 in a repartition topic behind what was read."""
    read = {partition: offset for name, partition, offset, _ in stored["offsets"] if name == topic}
    return sum(row[4][2:4] == "00" and row[1] >= read.get(row[0], 0)
               for kept in stored["topics"] if kept["name"] == topic for row in kept["records"])


def dump(programs, bootstrap, group):
    """All topics but Kafka's own, and what the group has committed."""
    rows = tool.json_lines(programs.run("leat", "topics", "--log", f"kafka:{bootstrap}",
                                        "--json").stdout)
    topics, offsets = [], []
    for row in rows:
        name = row["topic"]
        bounds = settled(bootstrap, name)
        if any(bound["begin"] != 0 for bound in bounds):
            raise tool.Failed(f"{name}: its beginning was deleted; it is too late to store it")
        records = [[r["partition"], r["offset"], r["timestamp"], r["key"], r["value"]]
                   for r in judge(bootstrap, name, "--hex")]
        topics.append({"name": name, "partitions": len(bounds),
                       "compacted": bool(row.get("compacted")),
                       "ends": {b["partition"]: b["end"] for b in bounds}, "records": records})
        for committed in judge(bootstrap, name, "--group", group):
            if committed["offset"] >= 0:
                offsets.append([name, committed["partition"], committed["offset"],
                                committed["metadata"]])
    return {"group": group, "topics": topics, "offsets": offsets}


# ---------------------------------------------------------------- at the same offsets

def runs(records, end):
    """[(kind, [records])] of one partition: kind C, A or P as kafka_load has them."""
    made, at, run = [], 0, []

    def gap(until):
        """From `at`, behind the run, to `until`: the run's own end, then nothing that is seen."""
        nonlocal run, at
        wide = until - at
        if wide == 0:
            return
        if run:
            made.append(("C", run))
            wide -= 1
        if wide == 1:
            raise tool.Failed("a gap that no transaction leaves")
        if wide > 1:
            first = until - wide
            made.append(("A", [[first + i, 0, "00", None] for i in range(wide - 1)]))
        run, at = [], until

    for offset, timestamp, key, value in records:
        gap(offset)
        run.append([offset, timestamp, key, value])
        at = offset + 1
    gap(end)
    if run:
        made.append(("P", run))
    return made


def word(text):
    return "-" if text is None else text


def commands(stored, prefix):
    """One transaction takes the next run of every partition that has one of its kind."""
    waiting = {}
    for topic in stored["topics"]:
        for partition in range(topic["partitions"]):
            rows = sorted(r[1:] for r in topic["records"] if r[0] == partition)
            waiting[topic["name"], partition] = runs(rows, topic["ends"][str(partition)])
    while any(waiting.values()):
        for kind in "CAP":
            taken = [(where, made.pop(0)[1]) for where, made in waiting.items()
                     if made and made[0][0] == kind]
            for (name, partition), records in taken:
                for offset, timestamp, key, value in records:
                    yield (f"R {prefix}{name} {partition} {offset} {timestamp} {word(key)} "
                           f"{word(value)}")
            if taken:
                yield kind
    for name, partition, offset, metadata in stored["offsets"]:
        yield (f"O {prefix}{stored['group']} {prefix}{name} {partition} {offset} "
               f"{metadata.encode().hex() or '-'}")


def load(programs, bootstrap, prefix, stored):
    log = f"kafka:{bootstrap}?leat.prefix={prefix}"
    for topic in stored["topics"]:
        programs.run("leat", "topics", "--log", log, "--create", topic["name"], "--partitions",
                     topic["partitions"], *(["--compacted"] if topic["compacted"] else []))
    text = "\n".join(commands(stored, prefix)) + "\n"
    done = subprocess.run([os.path.join(BIN, "upgrade_kafka_load"), bootstrap, prefix + "load"],
                          input=text.encode(), capture_output=True, check=False, timeout=300)
    if done.returncode != 0:
        raise tool.Failed(f"upgrade_kafka_load: {done.returncode} {done.stderr.decode()}")
    return log


def check_loaded(bootstrap, prefix, stored):
    """The other broker shows the same."""
    for topic in stored["topics"]:
        found = [[r["partition"], r["offset"], r["timestamp"], r["key"], r["value"]]
                 for r in judge(bootstrap, prefix + topic["name"], "--hex")]
        if sorted(found, key=lambda r: r[:2]) != sorted(topic["records"], key=lambda r: r[:2]):
            raise tool.Failed(f"{topic['name']} was not loaded as it was")
