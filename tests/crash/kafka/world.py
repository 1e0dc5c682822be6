"""One job on one cluster, with a loader, a reader beside it, and the judge.

    crash_kafka_load ──► input ──► processes a, b, c ... ──► output ──► crash_kafka_dump --follow
         │ acks                      │ changelog                             │ live: 1, 2, 3 ...
         └───────────────────────────┴──────── judge, when all is still ─────┘

Which job the processes are of, works.py says.  Names on the cluster begin with the world's
own prefix, so that many worlds share a broker.
"""
import json
import os
import random
import subprocess
import threading
import time

import hanging
import job
import judge
import kafka_wire
import segments
import tool
import works
from judge import Violation

INPUT = "user_events"
PARTITIONS = 4
UUID_BYTES = 36  # a member's id is INSTANCE-UUID
FIRST_MS = int(time.time() * 1000) - 3_600_000  # old records would fall to retention
TRANSACTION_TIMEOUT_S = 10  # leat's; the driver takes none from the URL
# Transactions of the dead are found soon, and nothing compacts what the judge wants to see.
BROKER_SETTINGS = {"transaction.abort.timed.out.transaction.cleanup.interval.ms": 500,
                   "log.cleaner.backoff.ms": 3_600_000, "group.min.session.timeout.ms": 500}
# The opposite: what was written a second ago may be compacted.
COMPACTING = {**BROKER_SETTINGS, "log.cleaner.backoff.ms": 200, "log.roll.ms": 1000,
              "log.cleaner.min.cleanable.ratio": 0.01, "log.cleaner.min.compaction.lag.ms": 0}
SLOWER = 6 if tool.SANITIZED else 1


def address(bootstrap):
    """(host, port) of the first broker."""
    host, _, port = bootstrap.partition(",")[0].rpartition(":")
    return host, int(port)


def client(name):
    return works.test_program(f"crash_kafka_{name}")


class BrokerGaveUp(Exception):
    """Transactions stay open for ever, and the broker says that it forgot their markers
    (hanging.py).  Nobody but the broker can mend that; the world is given up."""


class Loader:
    def __init__(self, bootstrap, topic, folder, users, seed):
        self.acks_path = os.path.join(folder, "acks")
        self.errors = open(os.path.join(folder, "loader.log"), "wb")
        self.process = subprocess.Popen(
            [client("load"), "--bootstrap", bootstrap, "--topic", topic, "--users", str(users),
             "--seed", str(seed), "--acks", self.acks_path, "--first-ms", str(FIRST_MS)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors)
        self.users = users

    def say(self, command):
        try:
            self.process.stdin.write(command.encode() + b"\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            raise tool.Failed(f"the loader has ended: see {self.errors.name}") from None

    def rate(self, per_second):
        self.say(f"rate {per_second}")

    def sync(self):
        """Waits until all is acknowledged; returns how many events there are."""
        self.say("sync")
        line = self.process.stdout.readline()
        if not line:
            raise tool.Failed(f"the loader has ended: see {self.errors.name}")
        return json.loads(line)["synced"]

    def acknowledged(self):
        """{number: (partition, offset)}"""
        with open(self.acks_path, encoding="ascii") as file:
            rows = [line.split() for line in file if line.endswith("\n")]
        return {int(row[0]): (int(row[1]), int(row[2])) for row in rows}

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()
        self.errors.close()


class Follower:
    """A read_committed reader of the output, from before the first record on."""

    def __init__(self, bootstrap, topic, folder, live):
        self.errors = open(os.path.join(folder, "follower.log"), "wb")
        self.process = subprocess.Popen([client("dump"), "--bootstrap", bootstrap, "--topic", topic,
                                         "--follow"], stdout=subprocess.PIPE, stderr=self.errors)
        self.live = live(topic)
        self.violation = None
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            try:
                with self.changed:
                    self.live.feed(json.loads(line))
                    self.changed.notify_all()
            except Violation as violation:
                self.violation = self.violation or violation

    def wait_for(self, total, timeout_s):
        """Until that many outputs were seen, or time is up; returns how many there are."""
        until = time.monotonic() + timeout_s
        with self.changed:
            while self.live.total < total and self.violation is None:
                left_s = until - time.monotonic()
                if left_s <= 0 or not self.changed.wait(left_s):
                    break
            return self.live.total

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.thread.join()
        self.process.stdout.close()
        self.errors.close()


class World:
    """`broker` is a kafka.Broker; `options` go into the log's URL; `listen` replaces its address
    for the job (a proxy's); `compacting`: the broker may take old records of changelogs away."""

    dump_timeout_s = 120 * SLOWER

    def __init__(self, broker, folder, name, seed, users=200, rate=1000, memory_only=False,
                 options=None, listen=None, work=works.UserCounts, snapshots=False,
                 compacting=False):
        self.broker, self.folder, self.name = broker, os.path.join(folder, name), name
        os.makedirs(self.folder)
        self.rng = random.Random(f"{seed}/{name}")
        self.prefix, self.rate, self.memory_only = f"{name}-", rate, memory_only
        self.work, self.output, self.compacting = work, work.output, compacting
        self.compacted = 0 # records of changelogs that the broker took away
        self.snapshot_dir = os.path.join(self.folder, "snapshots") if snapshots else None
        settings = {"leat.prefix": self.prefix, "session.timeout.ms": 2000 * SLOWER,
                    "heartbeat.interval.ms": 300, **(options or {})}
        query = "&".join(f"{key}={value}" for key, value in settings.items())
        self.log = f"kafka:{listen or broker.bootstrap}?{query}"
        self.epoch_ms = self.rng.choice([0, 1, 10, 10, 50])
        self.jobs, self.retired = {}, []
        self.exposed = self.survived = 0 # processes that saw a broker die, and lived on
        self.faults = 0 # kills, stops, broken requests, processes that came and went
        self.next_instance = 0
        with kafka_wire.Client(*address(broker.bootstrap)) as wire:
            for topic in (INPUT, self.output):
                wire.create_topic(self.prefix + topic, partitions=PARTITIONS, retention_ms="-1")
        self.loader = Loader(broker.bootstrap, self.prefix + INPUT, self.folder, users, seed)
        self.follower = Follower(broker.bootstrap, self.prefix + self.output, self.folder,
                                 work.live)

    # -- processes --------------------------------------------------------------------------------

    def new_job(self, name=None, folder=None, env=None):
        """An instance of its own name, or another process under a name that is taken."""
        if name is None:
            name = "abcdefghijklmnopqrstuvwxyz"[self.next_instance % 26] + \
                str(self.next_instance // 26 or "")
            self.next_instance += 1
        made = job.Job(name, folder or self.folder, lambda made: self.work.arguments(self, made),
                       self.memory_only, self.work.program(), env)
        made.log, made.workers = self.log, self.rng.choice([1, 2])
        return made

    def add(self, **others):
        made = self.new_job(**others)
        self.jobs[made.name] = made
        return made.up()

    def retire(self, name):
        made = self.jobs.pop(name)
        self.retired.append(made)
        return made

    def all_jobs(self):
        return [*self.jobs.values(), *self.retired]

    def outputs(self):
        return self.follower.live.total

    def wait_for_progress(self, more=1, timeout_s=30):
        """Until the reader has seen more outputs; a job that does not get on is a failure."""
        goal = self.outputs() + more
        until = time.monotonic() + timeout_s * SLOWER
        while self.follower.wait_for(goal, 0.5) < goal:
            self.check_processes()
            if time.monotonic() > until:
                self.give_up_what_hangs()
                raise tool.Failed(f"no output for {timeout_s * SLOWER} s: {self.state_of_jobs()}")

    def has_joined(self):
        """The group is at rest, and all processes are in it: a broker names members after them."""
        bootstrap, group = self.broker.bootstrap.split(","), self.prefix + self.work.group
        for each in bootstrap:  # one of them coordinates
            try:
                with kafka_wire.Client(*address(each)) as wire:
                    state, members = wire.group(group)
            except (kafka_wire.Refused, OSError):
                continue
            if state == "Stable":
                return {member[:-UUID_BYTES - 1] for member in members} >= set(self.jobs)
        return False

    def wait_until_joined(self, timeout_s=30):
        """Who is stopped before has no place yet that another could take."""
        until = time.monotonic() + timeout_s * SLOWER
        while not self.has_joined():
            self.check_processes()
            if time.monotonic() > until:
                raise tool.Failed(f"not in the group after {timeout_s * SLOWER} s: "
                                  f"{self.state_of_jobs()}")
            time.sleep(0.1)

    def state_of_jobs(self):
        lines = []
        for each in self.jobs.values():
            lines.append(f"{each.name}: pid {each.pid}, "
                         f"{'runs' if each.running else f'ended {each.exits}'}, {each.log_path}")
            if each.running:
                each.note(tool.stack_of(each.process))
        return "; ".join(lines) or "no job"

    # -- the judge --------------------------------------------------------------------------------

    def check_processes(self):
        """Nothing has ended in a way that a supervisor would not expect; the live reader is
        content."""
        if self.follower.violation:
            raise self.follower.violation
        for each in self.all_jobs():
            if each.unexpected:
                raise tool.Failed(f"job {each.name} ended with {each.unexpected}: "
                                  f"{each.log_path}\n{tail(each.log_path)}")
        for who, process in (("loader", self.loader.process), ("reader", self.follower.process)):
            if process.poll() is not None:
                raise tool.Failed(f"the {who} has ended: see {self.folder}/{who}.log")

    def dump(self, topic, *arguments, prefix=None):
        name = (self.prefix if prefix is None else prefix) + topic
        try:
            done = subprocess.run([client("dump"), "--bootstrap", self.broker.bootstrap, "--topic",
                                   name, *arguments], capture_output=True, check=False,
                                  timeout=self.dump_timeout_s)
        except subprocess.TimeoutExpired as problem:  # it waits for what is pending
            if "--bounds" not in arguments:
                self.give_up_what_hangs()
            raise tool.Failed(f"reading {topic}: {problem}") from problem
        if done.returncode == 3:
            return []
        if done.returncode != 0:
            raise tool.Failed(f"reading {topic}: {done.stderr.decode()}")
        return tool.json_lines(done.stdout.decode())

    def committed(self, topic=INPUT):
        return {row["partition"]: row["offset"]
                for row in self.dump(topic, "--group", self.prefix + self.work.group)}

    def expected(self):
        return judge.Expected(self.dump(INPUT))

    def settle(self, timeout_s=90):
        """No more input, and the job has worked off what there is; one that stands still ends after
        60 s (R31), and is started again."""
        self.loader.rate(0)
        wanted = self.work.wanted(self, self.loader.sync())
        until = time.monotonic() + timeout_s * SLOWER
        while self.follower.wait_for(wanted, 0.5) < wanted:
            self.check_processes()
            if time.monotonic() > until:
                self.give_up_what_hangs()
                raise tool.Failed(f"{self.outputs()} outputs of {wanted} after "
                                  f"{timeout_s * SLOWER} s: {self.state_of_jobs()}")
        return wanted

    def wait_until_nothing_is_pending(self, timeout_s=30):
        """Transactions of the dead are aborted by the broker in time."""
        until = time.monotonic() + timeout_s
        while True:
            bounds = self.bounds(self.topics())
            if all(stable == end for stable, end in bounds.values()):
                return
            if time.monotonic() > until:
                self.give_up_what_hangs()
                raise Violation(f"a transaction stays open for {timeout_s} s: {bounds}",
                                (self.output, 0, None))
            time.sleep(0.3)

    def topics(self):
        """Those with transactions on them; without the prefix they have on the cluster."""
        return [self.output, *self.work.sources, *self.work.inner]

    def bounds(self, topics, prefix=None):
        """{TOPIC-NUMBER, as the cluster says it: (stable, end)}"""
        prefix = self.prefix if prefix is None else prefix
        return {f"{prefix}{topic}-{row['partition']}": (row["stable"], row["end"])
                for topic in topics for row in self.dump(topic, "--bounds", prefix=prefix)}

    def what_hangs(self, seconds_apart=3):
        """Of the offsets of groups, too: one world at a time is at work."""
        def look():
            return {**self.bounds(self.topics()), **self.bounds(["__consumer_offsets"], prefix="")}

        before = look()
        time.sleep(seconds_apart)
        return hanging.still_open(before, look())

    def give_up_what_hangs(self):
        """Before a failure is told: is it the broker's?"""
        places = self.what_hangs()
        logs = [path for broker in self.broker.describe()["brokers"]
                for path in (broker["log"] + ".before", broker["log"]) if os.path.exists(path)]
        if hanging.is_the_brokers(places, hanging.lines_of(logs), self.prefix):
            raise BrokerGaveUp(f"transactions on {', '.join(sorted(places))} stay open")

    def check_frozen(self):
        """With no job at work, or nothing for it to do; returns the number of outputs."""
        self.check_processes()
        self.wait_until_nothing_is_pending()
        acknowledged = self.loader.acknowledged() # before the events: more may be on their way
        committed, output = self.committed(), self.dump(self.output)
        events = self.dump(INPUT)
        judge.check_acknowledged(events, acknowledged)
        count = self.work.check(self, judge.Expected(events), output, committed)
        self.check_changelogs()
        self.check_processes()
        return count

    def check_changelogs(self):
        for changelog, source in self.work.sources.items():
            records = self.dump(changelog, "--hex")
            self.compacted += judge.gaps(records)
            judge.check_sealed(changelog, records, self.committed(source),
                               compacted=self.compacting)

    def check_settled(self):
        """Everything worked off, and right; the load goes on afterwards."""
        wanted = self.settle()
        count = self.check_frozen()
        if count != wanted:
            raise Violation(f"{count} outputs of {wanted}", (self.output, 0, None))
        self.work.check_at_rest(self)
        return count

    def evidence(self, violation):
        """The batches and markers about the place that a violation names."""
        where = getattr(violation, "where", None)
        if where is None:
            return ""
        topic, partition, offset = where
        folders = [os.path.dirname(broker["log"]) + "/data"
                   for broker in self.broker.describe()["brokers"]]
        return segments.around(folders, self.prefix + topic.removeprefix(self.prefix), partition,
                               offset)

    # -- the end ----------------------------------------------------------------------------------

    def prove_state(self):
        """State is the fold of the input: one more event of each user counts on from it, from the
        directory as it is, and from nothing but the changelog.  Without state: it goes on."""
        for name in list(self.jobs):
            self.retire(name).end(job.signal.SIGTERM)
        survivors = [each for each in self.retired if each.state and os.path.isdir(each.state)]
        last = survivors[-1] if survivors else None
        names = [last.name] if last else []
        if self.work.sources or not last:
            names.append(None)
        for which in names:
            made = self.add(name=which)
            self.loader.say("each")
            self.check_settled()
            self.retire(made.name).end(job.signal.SIGTERM)
        self.check_processes()

    def close(self):
        for each in self.all_jobs():
            if each.process is not None and each.process.poll() is None:
                with each.lock:
                    each.wanted = False
                each.process.kill()
                each.process.wait()
        self.follower.close()
        self.loader.close()


def tail(path, lines=15):
    with open(path, encoding="utf-8", errors="replace") as file:
        return "".join(file.readlines()[-lines:])
